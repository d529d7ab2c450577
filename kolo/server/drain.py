"""Counting the requests under way, so that a stop can wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Asgi = Callable[..., Awaitable[Any]]


class Drain:
    """ASGI middleware: knows how many requests run, their bodies' sending included."""

    def __init__(self, app: Asgi) -> None:
        self.active = 0
        self.stopping = False
        """No new work is taken any more."""
        self._app = app
        self._idle = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.active += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self.active -= 1
            if not self.active:
                self._idle.set()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs; False if that takes longer than ``timeout_s``."""
        if not self.active:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
