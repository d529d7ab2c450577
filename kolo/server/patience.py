"""A timeout for waits that are many and mostly short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Waits for one thing after another, each for at most ``seconds``.

    ``asyncio.timeout`` sets and drops a timer for each wait; a stream waits for each token. This
    has one timer, which looks at its time whether the wait under way is too old. Used by one
    task at a time; close it when done.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        """Waits; None between two waits."""
        self._since_s = self._loop.time()
        self._expired = False
        self._timer = self._loop.call_at(self._since_s + seconds, self._look)

    async def wait(self, thing: Awaitable[T]) -> T:
        """What ``thing`` comes to. TimeoutError cancels it; a cancel from outside is passed on."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._since_s = self._loop.time()
        self._task = task
        try:
            return await thing
        except asyncio.CancelledError:
            if self._expired and task.uncancel() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._task = None
            self._expired = False

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        due_s = self._since_s + self.seconds
        if self._task is not None and due_s <= now_s:
            self._expired = True
            self._task.cancel()
            due_s = now_s + self.seconds
        self._timer = self._loop.call_at(max(due_s, now_s + self.seconds / 8), self._look)
