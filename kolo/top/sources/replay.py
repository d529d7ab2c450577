"""A recording, played at its own pace or another, back and forth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from kolo.top.recording import Recording
from kolo.top.session import Link, Rewind, Told

SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
RUN_UP_S = 60.0
"""After a jump, what lies so far before it is told at once, so that the graphs are there."""
LONGEST_PAUSE_S = 10.0
"""A hole in the recording is not waited out in full."""


class Replay:
    """Player of one file. UsageError if there is nothing to play."""

    name = "replay"

    def __init__(self, path: Path, *, speed: float = 1.0) -> None:
        self.recording = Recording(path)
        self.speed = speed
        self.paused = False
        self._at = 0
        self._jump: int | None = None
        self._changed = asyncio.Event()

    @property
    def position(self) -> tuple[int, int]:
        """Seconds played, of seconds there are."""
        moments = self.recording.moments
        first = next((m.at for m in moments if m.at), 0.0)
        here = next((m.at for m in moments[max(self._at - 1, 0) :] if m.at), first)
        last = next((m.at for m in reversed(moments) if m.at), first)
        return int(max(here - first, 0)), int(max(last - first, 0))

    def ask(self, interval_s: float) -> None:
        """A recording has the pace that it was made with."""

    def toggle(self) -> bool:
        """Halt, or go on; whether it is halted."""
        self.paused = not self.paused
        self._changed.set()
        return self.paused

    def faster(self, by: int) -> float:
        """The next of the speeds, up or down."""
        at = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        self.speed = SPEEDS[max(0, min(at + by, len(SPEEDS) - 1))]
        self._changed.set()
        return self.speed

    def seek(self, by_s: float) -> None:
        """Go on so many seconds later, or earlier."""
        moments = self.recording.moments
        at = min(max(self._at - 1, 0), len(moments) - 1)
        wanted = moments[at].at + by_s
        if by_s < 0:
            found = next((i for i in range(at, -1, -1) if 0 < moments[i].at <= wanted), 0)
        else:
            found = next((i for i in range(at, len(moments)) if moments[i].at >= wanted), -1)
        self._jump = found % len(moments)
        self._changed.set()

    async def told(self) -> AsyncGenerator[Told, None]:
        trouble = self.recording.trouble
        yield Link(state="live", note=f"{self.recording.path.name}: {trouble}" if trouble else "")
        while True:
            if self._jump is not None:
                async for told in self._run_up():
                    yield told
            if self._at >= len(self.recording.moments):
                yield Link(state="ended", detail="the recording is over")
                await self._until_changed(None)
                continue
            message = self.recording.message(self._at)
            self._at += 1
            if message is None:
                continue
            yield message
            await self._pace()

    async def _run_up(self) -> AsyncGenerator[Told, None]:
        assert self._jump is not None
        target, self._jump = self._jump, None
        moments = self.recording.moments
        begin_at = moments[target].at - RUN_UP_S
        yield Rewind()
        yield Link(state="live")
        for index in range(target):
            if moments[index].type == "hello" or moments[index].at >= begin_at:
                message = self.recording.message(index)
                if message is not None:
                    yield message
        self._at = target

    async def _pace(self) -> None:
        """Wait for as long as it took then; a halt takes as long as the person likes."""
        moments = self.recording.moments
        if self._at >= len(moments) or self._at == 0:
            return
        wait_s = moments[self._at].at - moments[self._at - 1].at
        wait_s = min(max(wait_s, 0.0), LONGEST_PAUSE_S)
        if not moments[self._at].at or not moments[self._at - 1].at:
            wait_s = 0.0
        loop = asyncio.get_running_loop()
        while (self.paused or wait_s > 0) and self._jump is None:
            begun_s, speed = loop.time(), self.speed
            await self._until_changed(None if self.paused else wait_s / speed)
            if not self.paused:
                wait_s -= (loop.time() - begun_s) * speed
                if wait_s < 0.001:
                    return

    async def _until_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
