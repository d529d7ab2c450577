"""Readings that may block, taken on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


class Aside(Generic[T]):
    """Calls ``read`` off the event loop, one call at a time.

    A call that hangs (a driver in trouble, a network file system that is gone) costs its reading
    and nothing else: no second call is begun, nobody waits for it twice, and it does not keep the
    process from ending.
    """

    def __init__(self, name: str, read: Callable[[], T], clock: Callable[[], float]) -> None:
        self._name = name
        self._read = read
        self._clock = clock
        self._requests: SimpleQueue[asyncio.AbstractEventLoop | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way: asyncio.Future[None] | None = None
        self._latest: tuple[float, T] | None = None

    async def refresh(self, deadline_s: float) -> None:
        """Read anew, and wait for it at most ``deadline_s``; not for one that is late already."""
        if self._under_way is None or self._under_way.done():
            self._under_way = self._begin()
            await asyncio.wait({self._under_way}, timeout=deadline_s)

    def latest(self, max_age_s: float) -> T | None:
        """The last reading; None if there is none, or it is older than ``max_age_s``."""
        if self._latest is None or self._clock() - self._latest[0] > max_age_s:
            return None
        return self._latest[1]

    def close(self) -> None:
        """Let the thread end, as soon as it can."""
        if self._thread is not None:
            self._requests.put(None)
            self._thread = None

    def _begin(self) -> asyncio.Future[None]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        self._requests.put(loop)
        return loop.create_future()

    def _run(self) -> None:
        while (loop := self._requests.get()) is not None:
            try:
                readings = [self._read()]
            except Exception as error:  # a reading that fails is none; the next may do better
                log.debug("%s: %s", self._name, error)
                readings = []
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._took, readings)

    def _took(self, readings: list[T]) -> None:
        """``readings`` is one, or none."""
        for reading in readings:
            self._latest = (self._clock(), reading)
        if self._under_way is not None and not self._under_way.done():
            self._under_way.set_result(None)
