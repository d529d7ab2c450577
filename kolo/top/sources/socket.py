"""The monitor socket of a server on this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from kolo.monitor import subscribe
from kolo.snapshot import Message
from kolo.top.session import Told
from kolo.top.sources.base import keep_up


class Socket:
    name = ""

    def __init__(self, path: Path, *, interval_s: float = 1.0) -> None:
        self._path = path
        self._interval_s = interval_s
        self._link: subscribe.Link | None = None

    def ask(self, interval_s: float) -> None:
        self._interval_s = interval_s
        if self._link is not None:
            self._link.ask(interval_s)

    def told(self) -> AsyncGenerator[Told, None]:
        return keep_up(self.once, interval_s=lambda: self._interval_s)

    async def once(self) -> AsyncGenerator[Message, None]:
        """One connection, to its end. Raises as ``monitor.subscribe.connect``."""
        async with subscribe.connect(self._path, interval_s=self._interval_s) as link:
            self._link = link
            try:
                yield link.hello
                async for message in link:
                    yield message
            finally:
                self._link = None
