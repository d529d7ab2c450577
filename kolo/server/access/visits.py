"""The requests under way, whose they are, and how one is ended from outside.

A client that takes nothing of an answer for too long is given up: its answer would hold an engine,
and the connection its memory, for ever. The bound is on one piece of the answer, however the
protocol below (HTTP/1.1, HTTP/2) holds it up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kolo.manager.caller import account
from kolo.server.access.principal import Principal
from kolo.server.connection import PEER_UID
from kolo.server.patience import Patience

VISIT = "kolo.visit"
"""Where a request's scope has its visit."""
Asgi = Callable[..., Awaitable[Any]]

log = logging.getLogger(__name__)


class _UnreadError(Exception):
    """The client takes nothing."""


@dataclass(slots=True, eq=False)
class Visit:
    """One request, from its headers to the last byte of the reply."""

    address: str
    peer_uid: int | None
    receive: Asgi
    principal: Principal | None = None
    withdrawn_s: float | None = None
    """When its key was found to be valid no more."""
    _receiver: asyncio.Task[Any] | None = None
    _cut: bool = False

    @property
    def name(self) -> str:
        """Whose account it is: of the manager's kind."""
        return self.principal.name if self.principal is not None else ""

    def charge(self, n_tokens: int) -> None:
        if self.principal is not None:
            self.principal.charge(n_tokens)

    async def received(self) -> Any:
        """What the client sends; that it has left, once it was cut off."""
        if self._cut:
            return {"type": "http.disconnect"}
        self._receiver = asyncio.current_task()
        try:
            return await self.receive()
        except asyncio.CancelledError:
            if self._cut and self._receiver is not None:
                self._receiver.uncancel()
                return {"type": "http.disconnect"}
            raise
        finally:
            self._receiver = None

    def cut(self) -> None:
        """As if the client had left."""
        if not self._cut:
            self._cut = True
            if self._receiver is not None:
                self._receiver.cancel()


class Visits:
    """ASGI middleware."""

    def __init__(self, app: Asgi, send_timeout_s: Callable[[], float | None]) -> None:
        self.open: set[Visit] = set()
        self._app = app
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _has_two_lengths(scope["headers"]):
            await _refuse(send)
            return
        host, *_ = scope.get("client") or ("",)
        uid = (scope.get("state") or {}).get(PEER_UID)
        visit = scope[VISIT] = Visit(host or "", uid, receive)
        account.set(visit)
        seconds = self._send_timeout_s()
        self.open.add(visit)
        try:
            if seconds is None:
                await self._app(scope, visit.received, send)
            else:
                await self._patiently(scope, visit, send, seconds)
        finally:
            self.open.discard(visit)

    async def _patiently(self, scope: Any, visit: Visit, send: Asgi, seconds: float) -> None:
        patience = Patience(seconds)

        async def sent(message: Any) -> None:
            try:
                await patience.wait(send(message))
            except TimeoutError:
                raise _UnreadError from None

        try:
            await self._app(scope, visit.received, sent)
        except _UnreadError:
            log.info("%s took nothing of its answer for %g s", visit.address or "local", seconds)
        finally:
            patience.close()


def _has_two_lengths(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body is framed in two ways, of which whoever is before us may have taken the other:
    what follows could then be a request that nobody sent (RFC 9112, 6.3 and 11.2)."""
    found = {name for name, _ in headers if name in (b"content-length", b"transfer-encoding")}
    return len(found) == 2


async def _refuse(send: Asgi) -> None:
    """400, and the connection is closed: nothing after it is taken for a request."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
