"""What has been heard of one server: the last snapshot, the events, and graphs of both.

Takes messages, whoever they come from, and the state of the line that they come over. Knows no
clock of its own: ``now_s`` is any clock that does not jump.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from kolo.snapshot import Dropped, Event, Hello, Message, Refused, Snapshot
from kolo.top.series import Track

EVENTS_KEPT = 500
STALE_S = 3.5
"""Silence, beyond the interval, after which a line that seems open is called stale."""

LinkState = Literal["connecting", "missing", "live", "stale", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How the line to the server is."""

    state: LinkState
    detail: str = ""
    """What is wrong, for a person."""
    hint: str = ""
    retry_s: float | None = None
    """Until the next attempt, counted from when this is said."""
    note: str = ""
    """Said once, whatever the state: such as how much of a recording could be read."""


@dataclass(frozen=True, slots=True)
class Rewind:
    """What follows is not after what came before: begin with nothing."""


Told = Message | Link | Rewind


Past = dict[tuple[str, str], list[tuple[float, float | None]]]
"""Points by owner and name, oldest first, on the time axis of the tracks."""


@dataclass
class Picture:
    """All that a screen shows; a paused screen holds on to one."""

    hello: Hello | None = None
    snapshot: Snapshot | None = None
    snapshot_s: float = 0.0
    """When it came, on the caller's clock."""
    at_s: float = 0.0
    """Its time on the axis of the tracks."""
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    tracks: dict[tuple[str, str], Track] = field(default_factory=dict)
    history: Past = field(default_factory=dict)
    """As ``tracks``, from the time before this program began; replaced whole."""

    def track(self, owner: str, what: str) -> Track:
        """A track by owner ("" for the server, an engine's or a GPU's id) and name."""
        return self.tracks.get((owner, what)) or Track()

    def series(self, owner: str, what: str, span_s: float, n: int) -> list[float | None]:
        """The last ``span_s`` seconds as ``n`` values: what was seen, and what the server's
        history knows of the time before that."""
        before = self.history.get((owner, what), ()) if span_s > 60 else ()
        return self.track(owner, what).buckets(span_s, n, before=before)

    def copy(self) -> Picture:
        return Picture(
            hello=self.hello,
            snapshot=self.snapshot,
            snapshot_s=self.snapshot_s,
            at_s=self.at_s,
            events=deque(self.events, maxlen=EVENTS_KEPT),
            tracks={key: track.copy() for key, track in self.tracks.items()},
            history=self.history,
        )


class Session:
    """Feeds a ``Picture``."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.link = Link(state="connecting")
        self.link_s = 0.0
        """When the state of the line last changed, on the caller's clock."""
        self.missed = 0
        """Snapshots that this reader was too slow for, or that were dropped on the way."""
        self.news = 0
        """Rises with everything that changes the picture."""
        self._base_s = 0.0
        self._uptime_s = 0.0
        self._seen = 0
        self._server: tuple[int, float] | None = None

    def take(self, told: Told, now_s: float) -> None:
        self.news += 1
        match told:
            case Rewind():
                self._forget_all()
            case Link():
                self.link, self.link_s = told, now_s
            case Hello():
                self._greet(told, now_s)
            case Snapshot():
                self._see(told, now_s)
            case Event():
                self._hear(told)
            case Dropped():
                self.missed += told.snapshots
            case Refused():
                self.link = Link(state="missing", detail=told.message, hint=told.hint)
                self.link_s = now_s

    def _forget_all(self) -> None:
        history = self.picture.history
        self.picture = Picture(hello=self.picture.hello, history=history)
        self._base_s = self._uptime_s = 0.0
        self._seen = 0

    def quiet_s(self, now_s: float) -> float:
        """For how long nothing was heard."""
        return max(now_s - self.picture.snapshot_s, 0.0)

    def is_stale(self, now_s: float, interval_s: float) -> bool:
        """Whether what is shown is old: the line is down, or says nothing."""
        if self.link.state in ("stale", "missing", "connecting"):
            return self.picture.snapshot is not None
        if self.link.state == "ended":
            return False
        return (
            self.picture.snapshot is not None and self.quiet_s(now_s) > STALE_S + 2.0 * interval_s
        )

    def _greet(self, hello: Hello, now_s: float) -> None:
        server = (hello.server.pid, hello.server.started_at)
        if self._server is not None and server != self._server:
            self._begin_anew()
        self._server = server
        self.picture.hello = hello
        self.link, self.link_s = Link(state="live"), now_s

    def _begin_anew(self) -> None:
        """Another process: its counters begin at 0, its events at 1."""
        self._base_s += self._uptime_s
        self._uptime_s = 0.0
        self._seen = 0

    def _see(self, snapshot: Snapshot, now_s: float) -> None:
        if snapshot.uptime_s < self._uptime_s - 1.0:  # a hello was missed, or a replay went back
            if self._server is None:
                self.picture.tracks.clear()
            self._begin_anew()
        self._uptime_s = snapshot.uptime_s
        picture = self.picture
        picture.snapshot, picture.snapshot_s = snapshot, now_s
        picture.at_s = self._base_s + snapshot.uptime_s
        if self.link.state != "live":
            self.link, self.link_s = Link(state="live"), now_s
        self._plot(snapshot)

    def _hear(self, event: Event) -> None:
        if event.seq > self._seen:  # a server tells again what it kept, to whoever comes back
            self._seen = event.seq
            self.picture.events.append(event)

    def _plot(self, snapshot: Snapshot) -> None:
        windows = snapshot.windows
        self._add("", "out", windows.last_5s.output_tokens_per_s or 0.0)
        self._add("", "in", windows.last_5s.prompt_tokens_per_s or 0.0)
        self._add("", "running", snapshot.running)
        self._add("", "waiting", snapshot.waiting)
        self._add("", "ttft", windows.last_5s.ttft_ms.p50)
        host = snapshot.host
        self._add("", "cpu", host.cpu_percent)
        if host.memory_total_bytes and host.memory_available_bytes is not None:
            used = 1 - host.memory_available_bytes / host.memory_total_bytes
            self._add("", "memory", 100 * used)
        for gpu in snapshot.gpus:
            self._add(gpu.id, "gpu", gpu.utilization_percent)
        for engine in snapshot.engines:
            last = engine.windows.last_5s
            self._add(engine.id, "out", last.output_tokens_per_s or 0.0)
            self._add(engine.id, "in", last.prompt_tokens_per_s or 0.0)
            self._add(engine.id, "ttft", last.ttft_ms.p50)
            self._add(engine.id, "waiting", engine.waiting)
            if engine.kv is not None and engine.kv.total_tokens:
                share = engine.kv.used_tokens / engine.kv.total_tokens
                self._add(engine.id, "kv", 100 * min(share, 1.0))
        self._forget({engine.id for engine in snapshot.engines}, snapshot)

    def _add(self, owner: str, what: str, value: float | None) -> None:
        track = self.picture.tracks.get((owner, what))
        if track is None:
            track = self.picture.tracks[owner, what] = Track()
        track.add(self.picture.at_s, value)

    def _forget(self, engines: set[str], snapshot: Snapshot) -> None:
        """Tracks of engines and GPUs that are no more would only grow in number."""
        known = engines | {gpu.id for gpu in snapshot.gpus} | {""}
        if len(self.picture.tracks) > 8 * len(known) + 16:
            for key in [key for key in self.picture.tracks if key[0] not in known]:
                del self.picture.tracks[key]
