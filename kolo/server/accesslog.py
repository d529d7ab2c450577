"""A line for each request, when ``log.access`` asks for it: who, what, how it ended. Never what was
asked or answered, nor a query, which may hold anything."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from kolo.manager.caller import account
from kolo.server.drain import Asgi
from kolo.server.naming import request_id
from kolo.server.recent import ACCESS

log = logging.getLogger(ACCESS)


class AccessLog:
    """ASGI middleware."""

    def __init__(self, app: Asgi, wanted: Callable[[], bool]) -> None:
        self._app = app
        self._wanted = wanted

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not self._wanted():
            await self._app(scope, receive, send)
            return
        began_s, status, n_bytes = time.monotonic(), 0, 0

        async def counted(message: Any) -> None:
            nonlocal status, n_bytes
            status = message.get("status", status)
            n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            _tell(scope, status, n_bytes, (time.monotonic() - began_s) * 1000)


def _tell(scope: Any, status: int, n_bytes: int, took_ms: float) -> None:
    client, *_ = scope.get("client") or ("",)
    path = scope["path"].encode("unicode_escape").decode()
    fields = {
        "event": "access",
        "client": client,
        "method": scope["method"],
        "path": path,
        "status": status,
        "bytes": n_bytes,
        "duration_ms": round(took_ms, 1),
        "request_id": request_id.get(),
    }
    if who := account.get().name:
        fields["account"] = who
    how = status or "went away"
    text = f'{client} "{scope["method"]} {path}" {how} {n_bytes} B {took_ms:.0f} ms'
    log.info("%s", text, extra={"fields": fields})
