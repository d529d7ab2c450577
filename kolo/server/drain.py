"""Counting the requests under way, so that a stop can wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from kolo.manager.caller import Trace, caller, trace
from kolo.server.naming import name_of, request_id

Asgi = Callable[..., Awaitable[Any]]
_TRACE_HEADERS = (b"traceparent", b"tracestate")


class Drain:
    """ASGI middleware: knows how many requests run, their bodies' sending included."""

    def __init__(self, app: Asgi) -> None:
        self.active = 0
        self.working = 0
        """Of these, those that a stop waits for: whoever only reads or follows is sent away."""
        self.stopping = False
        """No new work is taken any more."""
        self._app = app
        self._idle = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        works = scope["method"] not in ("GET", "HEAD")
        self.active += 1
        self.working += works
        if works:
            self._idle.clear()
        host, *_ = scope.get("client") or ("",)
        caller.set(host)
        request_id.set(name_of(scope["headers"]))
        trace.set(_trace(scope["headers"]))
        try:
            await self._app(scope, receive, send)
        finally:
            self.active -= 1
            self.working -= works
            if not self.working:
                self._idle.set()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing works; False if that takes longer than ``timeout_s``."""
        if not self.working:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


def _trace(headers: Iterable[tuple[bytes, bytes]]) -> Trace:
    """ASGI gives the names in lower case."""
    given = {name: value.decode("latin-1") for name, value in headers if name in _TRACE_HEADERS}
    return Trace(given.get(b"traceparent", ""), given.get(b"tracestate", ""))
