"""The history of one server, as the rest of the server sees it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from kolo.config import HistorySettings
from kolo.monitor.completions import Completions
from kolo.monitor.eventlog import EventLog
from kolo.monitor.history import reader
from kolo.monitor.history.figures import Figure
from kolo.monitor.history.reader import HistoryRange, PastEvent, PastRun
from kolo.monitor.history.recorder import Recorder
from kolo.monitor.history.writer import Writer
from kolo.snapshot import Level, Snapshot

FILE = "history.db"
READERS = 2
"""Questions answered at a time; others wait for their turn."""
SAMPLE_S = 5.0

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class History:
    """Lives on one event loop."""

    def __init__(
        self,
        folder: Path,
        settings: HistorySettings,
        completions: Completions,
        tell: Callable[[Level, str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``folder`` is the state folder. ``tell`` is called on the event loop, with a level and
        a line, when something is wrong with the file, and when it is well again."""
        self.path = folder / FILE
        self._tell = tell
        self._clock = clock
        self._writer = Writer(self.path, settings, self._tell_loop, clock=clock)
        self._recorder = Recorder(completions, self._writer.put)
        self._turns = asyncio.Semaphore(READERS)
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def keeping(self, events: EventLog) -> AsyncIterator[None]:
        """Write what happens for as long as the block runs, and at its end what there is of the
        last minute. A disk that hangs then is left to itself."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        mute = events.listen(self._recorder.event)
        try:
            yield
        finally:
            mute()
            self._recorder.flush()
            if not await asyncio.to_thread(self._writer.close):
                log.warning("the last minute of the history could not be written to %s", self.path)

    async def sample(self, take: Callable[[], Awaitable[Snapshot]]) -> None:
        """Take a snapshot every ``SAMPLE_S``, on the full seconds of the clock so that a minute is
        all but exactly one, until cancelled."""
        while True:
            try:
                self._recorder.sample(await take())
            except Exception as error:  # a sample that fails costs itself, not those to come
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a sample for the history failed", "exception": error}
                )
            await asyncio.sleep(SAMPLE_S - self._clock() % SAMPLE_S)

    async def range(
        self,
        figures: list[Figure],
        *,
        name: str | None,
        from_at: float,
        to_at: float,
        step_s: int,
    ) -> HistoryRange:
        """See ``reader.read_range``; ``events`` and ``runs`` likewise."""
        return await self._ask(
            reader.read_range, self.path, figures,
            name=name, from_at=from_at, to_at=to_at, step_s=step_s,
        )  # fmt: skip

    async def events(
        self, *, engine: str | None, from_at: float, to_at: float, limit: int
    ) -> list[PastEvent]:
        return await self._ask(
            reader.read_events, self.path,
            engine=engine, from_at=from_at, to_at=to_at, limit=limit,
        )  # fmt: skip

    async def runs(
        self, *, engine: str | None, from_at: float, to_at: float, limit: int
    ) -> list[PastRun]:
        return await self._ask(
            reader.read_runs, self.path,
            engine=engine, from_at=from_at, to_at=to_at, limit=limit,
        )  # fmt: skip

    async def _ask(self, question: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        async with self._turns:
            return await asyncio.to_thread(question, *args, **kwargs)

    def _tell_loop(self, level: Level, text: str) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, level, text)
