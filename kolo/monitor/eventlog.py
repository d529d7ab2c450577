"""What happened, in words: the last events of a server, and each new one to who listens.

A crowd is one line: requests that are turned away or fail one after another are told at most once
in ``CROWD_S`` per engine, with how many there were.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kolo.errors import Busy, EngineCrashed, EngineStopped, KoloError
from kolo.manager.sink import Finished, NullSink
from kolo.monitor import feed
from kolo.monitor.completions import unload_kind
from kolo.snapshot import Event, EventKind, Level
from kolo.types import ModelInfo

KEPT = 1000
CROWD_S = 10.0


@dataclass(slots=True)
class _Crowd:
    """Events of one kind of an engine, the first of which was told."""

    told_at_s: float
    untold: int = 0


class EventLog(NullSink):
    """A sink of the manager. ``clock`` is unix time, ``steady`` never jumps."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._seq = 0
        self._listeners: list[Callable[[Event], None]] = []
        self._stages: dict[str, str] = {}
        self._loaded: set[str] = set()
        self._downloading: set[str] = set()
        self._crowds: dict[tuple[str, EventKind], _Crowd] = {}

    def recent(self) -> list[Event]:
        """The last ``KEPT`` events, oldest first."""
        return list(self._events)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` with each event from now on; what is returned ends that. One that
        raises is reported and silences no other."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def add(
        self,
        kind: EventKind,
        text: str,
        *,
        engine: str | None = None,
        level: Level = "info",
        reason: str = "",
        stage: str = "",
        load_ms: float | None = None,
    ) -> None:
        """Something happened; ``text`` is one line."""
        self._seq += 1
        event = Event(
            seq=self._seq,
            at=round(self._clock(), 3),
            level=level,
            kind=kind,
            engine=engine,
            text=" ".join(text.split()),
            reason=reason,
            stage=stage,
            load_ms=None if load_ms is None else round(load_ms, 1),
        )
        self._events.append(event)
        for listener in [*self._listeners]:
            try:
                listener(event)
            except Exception as error:  # whoever listens, the others must hear
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a listener of events failed: {listener!r}", "exception": error}
                )

    # What the manager tells ----------------------------------------------------------------

    def loading(self, id: str, stage: str, fraction: float) -> None:
        if self._stages.get(id) != stage:
            self._stages[id] = stage
            self.add("loading", f"{id} loading: {stage}", engine=id, stage=stage)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._stages.pop(id, None)
        self._loaded.add(id)
        text = f"{id} loaded in {load_ms / 1000:.1f} s"
        self.add("loaded", text, engine=id, load_ms=load_ms)

    def unloaded(self, id: str, reason: str) -> None:
        self._gone(id)
        kind: EventKind = "evicted" if unload_kind(reason) == "evicted" else "unloaded"
        self.add(kind, f"{id} unloaded ({reason})", engine=id, reason=reason)

    def crashed(self, id: str, reason: str) -> None:
        self._gone(id)
        self.add("crashed", reason, engine=id, level="error", reason=reason)

    def refused(self, id: str, error: KoloError) -> None:
        if isinstance(error, Busy) and id in self._loaded:
            self._crowd("rejected", id, f"{id} turned a request away: {error.message}", "warning")
            return
        self._gone(id)
        text = f"{id} could not be loaded: {error.message}"
        self.add("load_failed", text, engine=id, level="error", reason=error.message)

    def finished(self, id: str, request: Finished) -> None:
        error = request.error
        if error is None or request.cancelled or error.http_status < 500:
            return
        if not isinstance(error, (EngineCrashed, EngineStopped)):  # told of the engine itself
            self._crowd("failed", id, f"{id} request failed: {error.message}", "error")

    def note(self, id: str, level: str, message: str) -> None:
        levels: dict[str, Level] = {"error": "error", "warning": "warning"}
        self.add("note", f"{id}: {message}", engine=id, level=levels.get(level, "info"))

    def removed(self, id: str) -> None:
        """The engine is known no more."""
        self._crowds = {of: crowd for of, crowd in self._crowds.items() if of[0] != id}
        self.add("removed", f"{id} removed", engine=id)

    def heard(self, told: feed.Event) -> None:
        """Of what the feed passes on, downloads: each when it begins and when it ends."""
        match told.kind:
            case "downloading" if told.engine not in self._downloading:
                self._downloading.add(told.engine)
                self.add("download", f"downloading {told.engine}")
            case "downloaded":
                self._downloading.discard(told.engine)
                self.add("download", f"downloaded {told.engine}")
            case "download_failed":
                self._downloading.discard(told.engine)
                text = f"download of {told.engine} ended: {told.reason}"
                self.add("download", text, level="warning", reason=told.reason)

    def _gone(self, id: str) -> None:
        self._stages.pop(id, None)
        self._loaded.discard(id)

    # Crowds --------------------------------------------------------------------------------

    def _crowd(self, kind: EventKind, id: str, text: str, level: Level) -> None:
        now_s = self._steady()
        crowd = self._crowds.get((id, kind))
        if crowd is not None and now_s - crowd.told_at_s < CROWD_S:
            crowd.untold += 1
            return
        more = f" ({crowd.untold} more since the last such line)" if crowd and crowd.untold else ""
        self._crowds[id, kind] = _Crowd(now_s)
        self.add(kind, text + more, engine=id, level=level)
