"""The answer to one Generate, as its reader sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from kolo.manager.mailbox import Mailbox
from kolo.types import Delta, Generated


class Stream:
    """Async iterator of deltas. Leaving it early, by any way, cancels the request.

    Read it with ``async for`` or ``next_batch``, by one task at a time, inside ``async with``::

        async with engine.submit(op) as stream:
            async for delta in stream:
                ...
        usage = stream.result.usage
    """

    def __init__(self, id: int, box: Mailbox, cancel: Callable[[int], None]) -> None:
        self.id = id
        self._box = box
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._taken: deque[Delta] = deque()
        self._left = False

    @property
    def result(self) -> Generated | None:
        """Usage and timings, once the request is done; None before, and after a failure."""
        result = self._box.result
        return result if isinstance(result, Generated) else None

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Delta:
        if not self._taken:
            self._taken.extend(await self.next_batch())
        if not self._taken:
            raise StopAsyncIteration
        return self._taken.popleft()

    async def next_batch(self) -> list[Delta]:
        """Every delta that waits, at least one; empty at the end. Raises how it failed."""
        if self._taken:
            batch = list(self._taken)
            self._taken.clear()
            return batch
        return [] if self._left else await self._box.take()

    async def aclose(self) -> None:
        """Read no more; the worker frees the slot within a step. Safe to call again."""
        self._left = True
        self._taken.clear()
        if not self._box.closed:
            self._cancel(self.id)

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """Cancel what was dropped unread; the collector may run on any thread."""
        if not self._left and not self._box.closed:
            with suppress(RuntimeError):  # the loop is closed, and the worker gone with it
                self._loop.call_soon_threadsafe(self._cancel, self.id)
