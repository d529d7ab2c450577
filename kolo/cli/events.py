"""A line per event: what a server's engines do, as a person wants to read it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kolo.chat.stats import short_count
from kolo.cli.output import Status, look, talk
from kolo.cli.table import size_text
from kolo.errors import Busy, EngineCrashed, EngineStopped, KoloError
from kolo.manager.sink import Finished, NullSink
from kolo.monitor.feed import Feed
from kolo.types import ModelInfo

TURNED_AWAY_EVERY_S = 10.0


class EventPrinter(NullSink):
    """A sink of the manager. On a terminal a load is one line that is written over."""

    def __init__(self) -> None:
        self.closing = False
        """All engines are being unloaded, and nobody needs to be told of each."""
        self._status = Status()
        self._live = look(sys.stderr).terminal
        self._loading: set[str] = set()
        self._loaded: set[str] = set()
        self._turned_away: dict[str, tuple[int, float]] = {}

    def say(self, text: str) -> None:
        """One line with the time, for everything that happens to a server."""
        with _to_nobody():
            self._status.clear()
            talk(f"{time.strftime('%H:%M:%S')} {text}")

    async def hear_downloads(self, feed: Feed) -> None:
        """A line when a download begins and one when it ends, for as long as the feed runs."""
        under_way: set[str] = set()
        with feed.listen() as listener:
            while event := await listener.next():
                size = f" · {size_text(event.total_bytes)}" if event.total_bytes else ""
                match event.kind:
                    case "downloading" if event.engine not in under_way:
                        under_way.add(event.engine)
                        self.say(f"{event.engine} downloading from {event.url}{size}")
                    case "downloaded":
                        under_way.discard(event.engine)
                        self.say(f"{event.engine} downloaded{size}")
                    case "download_failed":
                        under_way.discard(event.engine)
                        self.say(f"{event.engine} not downloaded: {event.reason}")

    def close(self) -> None:
        """Leave no half line."""
        with _to_nobody():
            self._status.clear()

    def loading(self, id: str, stage: str, fraction: float) -> None:
        if self._live:
            with _to_nobody():
                self._status.show(f"loading {id}", fraction)
        elif id not in self._loading:
            self.say(f"{id} loading")
        self._loading.add(id)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loading.discard(id)
        self._loaded.add(id)
        slots = f"{info.parallel} slots of " if info.parallel > 1 else ""
        self.say(f"{id} loaded in {load_ms / 1000:.1f} s · {slots}{short_count(info.n_ctx)} tokens")

    def unloaded(self, id: str, reason: str) -> None:
        self._loading.discard(id)
        self._loaded.discard(id)
        if not self.closing:
            self.say(f"{id} unloaded ({reason})")

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        self.say(reason)

    def refused(self, id: str, error: KoloError) -> None:
        if isinstance(error, Busy) and id in self._loaded:
            self._turn_away(id, error)
            return
        self._loading.discard(id)
        self.say(f"{id} could not be loaded: {error.message}{_hint(error)}")

    def finished(self, id: str, request: Finished) -> None:
        error = request.error
        if error is None or request.cancelled or error.http_status < 500:
            return
        if not isinstance(error, (EngineCrashed, EngineStopped)):  # told of the engine itself
            self.say(f"{id} request failed: {error.message}")

    def note(self, id: str, level: str, message: str) -> None:
        self.say(f"{id} {level}: {message}")

    def _turn_away(self, id: str, error: Busy) -> None:
        """A crowd before the door is one line now and then."""
        count, told_at = self._turned_away.get(id, (0, -TURNED_AWAY_EVERY_S))
        now = time.monotonic()
        if now - told_at < TURNED_AWAY_EVERY_S:
            self._turned_away[id] = (count + 1, told_at)
            return
        more = f" ({count} more since the last such line)" if count else ""
        self._turned_away[id] = (0, now)
        self.say(f"{id} turned a request away: {error.message}{more}")


class LogLines(logging.Handler):
    """What our libraries and the server log, among the events."""

    def __init__(self, printer: EventPrinter) -> None:
        super().__init__(logging.WARNING)
        self._printer = printer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._printer.say(self.format(record))
        except Exception:
            self.handleError(record)


@contextmanager
def _to_nobody() -> Iterator[None]:
    """A terminal that is gone is no reason to stop serving: from then on nobody is told."""
    try:
        yield
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(nothing, fd)
        os.close(nothing)


def _hint(error: KoloError) -> str:
    return f"\n  try: {error.hint}" if error.hint and "\n" not in error.hint else ""
