"""Where one request's answer waits for its reader.

The reader may be slow; the worker and the other readers must not notice. So a mailbox never
refuses a delta: once a few wait, a new one is merged into the last of its choice, and what
waits is bounded by the answer's own size, not by how many pieces it came in.
"""

from __future__ import annotations

import asyncio

from kolo.deltas import merge
from kolo.errors import KoloError, from_info
from kolo.types import Delta, Result

UNMERGED = 8
"""Deltas that may wait before merging begins, so that a reader that keeps up sees each step."""


class Mailbox:
    """Filled by the worker's reader, emptied by one consumer. Lives on one event loop."""

    def __init__(self) -> None:
        self.result: Result | None = None
        self.error: KoloError | None = None
        self._waiting: list[Delta] = []
        self._discarding = False
        self._ended: set[int] = set()
        """Choices whose last delta has come."""
        self._news = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the worker has said its last word; deltas may still wait to be read."""
        return self.result is not None or self.error is not None

    def put(self, delta: Delta) -> None:
        """Add a delta, merged into a waiting one where that loses nothing."""
        if self._discarding:
            return
        if delta.finish is not None:
            self._ended.add(delta.index)
        if len(self._waiting) < UNMERGED or not merge(self._waiting, delta):
            self._waiting.append(delta)
        self._news.set()

    def put_ends(self, id: int, n: int) -> None:
        """The last delta of each of ``n`` choices that was cut off."""
        for index in range(n):
            if index not in self._ended:
                self.put(Delta(id, index, "", 0, finish="cancelled"))

    def finish(self, result: Result) -> None:
        """The request is done; nothing follows."""
        self.result = result
        self._news.set()

    def fail(self, error: KoloError) -> None:
        """The request failed; deltas that wait are still read first."""
        self.error = error
        self._news.set()

    def discard(self) -> None:
        """Drop what waits and what will come: nobody reads any more."""
        self._discarding = True
        self._waiting.clear()

    async def take(self) -> list[Delta]:
        """Everything that waits, at least one delta; empty once the request is done.

        Raises the error of a failed request after its last delta has been taken.
        """
        while not self._waiting and not self.closed:
            self._news.clear()
            await self._news.wait()
        if self._waiting:
            taken, self._waiting = self._waiting, []
            return taken
        if self.error is not None:
            raise from_info(self.error.info())
        return []

    async def outcome(self) -> Result:
        """Wait for the end and return the result, or raise the error; deltas are dropped."""
        self.discard()
        while not self.closed:
            self._news.clear()
            await self._news.wait()
        if self.error is not None:
            raise from_info(self.error.info())
        assert self.result is not None
        return self.result
