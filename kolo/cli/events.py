"""A line per event: what a server's engines do, as a person wants to read it."""

from __future__ import annotations

import logging
import time
from typing import Any

from kolo.chat.stats import short_count
from kolo.cli.journal import Journal
from kolo.cli.table import size_text
from kolo.errors import Busy, EngineCrashed, EngineStopped, KoloError
from kolo.manager.sink import Finished, NullSink
from kolo.monitor.feed import Feed
from kolo.types import ModelInfo

TURNED_AWAY_EVERY_S = 10.0

log = logging.getLogger(__name__)


class EventPrinter(NullSink):
    """A sink of the manager. On a terminal a load is one line that is written over."""

    def __init__(self, journal: Journal) -> None:
        self.closing = False
        """All engines are being unloaded, and nobody needs to be told of each."""
        self._journal = journal
        self._loading: set[str] = set()
        self._loaded: set[str] = set()
        self._turned_away: dict[str, tuple[int, float]] = {}

    def say(self, text: str, level: int = logging.INFO, **fields: Any) -> None:
        """One line, for everything that happens to a server. ``fields`` are for machines."""
        log.log(level, "%s", text, extra={"fields": fields})

    async def hear_downloads(self, feed: Feed) -> None:
        """A line when a download begins and one when it ends, for as long as the feed runs."""
        under_way: set[str] = set()
        with feed.listen() as listener:
            while event := await listener.next():
                size = f" · {size_text(event.total_bytes)}" if event.total_bytes else ""
                match event.kind:
                    case "downloading" if event.engine not in under_way:
                        under_way.add(event.engine)
                        text = f"{event.engine} downloading from {event.url}{size}"
                        self.say(text, event="downloading", model=event.engine)
                    case "downloaded":
                        under_way.discard(event.engine)
                        text = f"{event.engine} downloaded{size}"
                        self.say(text, event="downloaded", model=event.engine)
                    case "download_failed":
                        under_way.discard(event.engine)
                        text = f"{event.engine} not downloaded: {event.reason}"
                        self.say(text, logging.WARNING, event="download_failed", model=event.engine)

    def loading(self, id: str, stage: str, fraction: float) -> None:
        if self._journal.live:
            self._journal.show(f"loading {id}", fraction)
        elif id not in self._loading:
            self.say(f"{id} loading", event="loading", engine=id)
        self._loading.add(id)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loading.discard(id)
        self._loaded.add(id)
        slots = f"{info.parallel} slots of " if info.parallel > 1 else ""
        text = f"{id} loaded in {load_ms / 1000:.1f} s · {slots}{short_count(info.n_ctx)} tokens"
        self.say(text, event="loaded", engine=id, load_ms=round(load_ms))

    def unloaded(self, id: str, reason: str) -> None:
        self._loading.discard(id)
        self._loaded.discard(id)
        if not self.closing:
            self.say(f"{id} unloaded ({reason})", event="unloaded", engine=id, reason=reason)

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        self.say(reason, logging.ERROR, event="crashed", engine=id)

    def refused(self, id: str, error: KoloError) -> None:
        if isinstance(error, Busy) and id in self._loaded:
            self._turn_away(id, error)
            return
        self._loading.discard(id)
        text = f"{id} could not be loaded: {error.message}{_hint(error)}"
        self.say(text, logging.ERROR, event="load_failed", engine=id, code=error.code)

    def finished(self, id: str, request: Finished) -> None:
        error = request.error
        if error is None or request.cancelled or error.http_status < 500:
            return
        if not isinstance(error, (EngineCrashed, EngineStopped)):  # told of the engine itself
            text = f"{id} request failed: {error.message}"
            self.say(text, logging.ERROR, event="failed", engine=id, code=error.code)

    def note(self, id: str, level: str, message: str) -> None:
        number = {"error": logging.ERROR, "warning": logging.WARNING}.get(level, logging.INFO)
        label = "" if number == logging.INFO else f" {level}"
        self.say(f"{id}{label}: {message}", number, event="note", engine=id)

    def _turn_away(self, id: str, error: Busy) -> None:
        """A crowd before the door is one line now and then."""
        count, told_at = self._turned_away.get(id, (0, -TURNED_AWAY_EVERY_S))
        now = time.monotonic()
        if now - told_at < TURNED_AWAY_EVERY_S:
            self._turned_away[id] = (count + 1, told_at)
            return
        more = f" ({count} more since the last such line)" if count else ""
        self._turned_away[id] = (0, now)
        text = f"{id} turned a request away: {error.message}{more}"
        self.say(text, logging.WARNING, event="rejected", engine=id)


def _hint(error: KoloError) -> str:
    return f"\n  try: {error.hint}" if error.hint and "\n" not in error.hint else ""
