"""All that watches one server, and the one sink through which the manager tells it."""

from __future__ import annotations

from kolo.errors import KoloError
from kolo.manager.sink import Finished, Sink, tell
from kolo.monitor.completions import Completions
from kolo.monitor.feed import Feed
from kolo.monitor.system import HostMonitor
from kolo.types import ModelInfo


class Monitor:
    """Made before the manager, which is given ``sink``. It reads; it changes nothing.

    ``sinks`` are told everything too, such as a command line that prints a line per event.
    """

    def __init__(self, *sinks: Sink) -> None:
        self.completions = Completions()
        self.feed = Feed()
        self.host = HostMonitor()
        self.sink: Sink = Tee(self.completions, self.feed, *sinks)


class Tee:
    """A sink that tells several; one that raises is reported and silences no other."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def loading(self, id: str, stage: str, fraction: float) -> None:
        for sink in self._sinks:
            tell(sink.loading, id, stage, fraction)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        for sink in self._sinks:
            tell(sink.loaded, id, info, load_ms)

    def unloaded(self, id: str, reason: str) -> None:
        for sink in self._sinks:
            tell(sink.unloaded, id, reason)

    def crashed(self, id: str, reason: str) -> None:
        for sink in self._sinks:
            tell(sink.crashed, id, reason)

    def refused(self, id: str, error: KoloError) -> None:
        for sink in self._sinks:
            tell(sink.refused, id, error)

    def finished(self, id: str, request: Finished) -> None:
        for sink in self._sinks:
            tell(sink.finished, id, request)

    def note(self, id: str, level: str, message: str) -> None:
        for sink in self._sinks:
            tell(sink.note, id, level, message)
