"""From snapshots and events to a batch per minute. On the event loop; nothing here waits.

What happened in a minute is the difference of two readings of the tallies, so that it is counted
once and in one place; what was is sampled with each snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from kolo.monitor.completions import Completions, Tally
from kolo.monitor.histogram import Histogram
from kolo.monitor.history.figures import EVERY, Batch, Cell, EventRow, Row, RunRow, Scope
from kolo.monitor.history.packing import merged, pack
from kolo.snapshot import Engine, Event, Gpu, Snapshot

MINUTE_S = 60
MAX_EVENTS = 2000
"""Of a minute; more are counted in one line."""
_DISTRIBUTIONS = ("queue_ms", "ttft_ms", "itl_ms", "e2e_ms")
_RUN_COUNTS = ("done", "failed", "prompt_tokens", "output_tokens")
_ENDS = ("unloaded", "evicted", "crashed")
_NOT_KEPT = ("loading",)
"""Stages of loads: of use while they pass, and many."""


class Recorder:
    def __init__(self, completions: Completions, put: Callable[[Batch], None]) -> None:
        """``put`` is given a batch after each minute, and by ``flush``."""
        self._completions = completions
        self._put = put
        self._minute: int | None = None
        self._uptime_s = 0.0
        self._cells: dict[tuple[Scope, str], dict[str, Cell]] = {}
        self._overall = _Reading()
        self._seen: dict[str, _Reading] = {}
        self._paths: dict[str, str] = {}
        self._events: list[EventRow] = []
        self._events_left_out = 0
        self._runs: dict[str, tuple[RunRow, dict[str, int]]] = {}
        """Engines that are loaded: their run, and what was counted before it."""
        self._changed_runs: list[RunRow] = []

    def sample(self, snapshot: Snapshot) -> None:
        """Take in what is. The first of a minute ends the minute before."""
        minute = int(snapshot.at) // MINUTE_S * MINUTE_S
        if self._minute is not None and minute != self._minute:
            self.flush()
        self._minute = minute
        self._sample_host(snapshot)
        for gpu in snapshot.gpus:
            self._sample_gpu(gpu)
        for engine in snapshot.engines:
            self._paths[engine.id] = engine.path
            self._sample_engine(engine)
        self._sample_all(snapshot)
        for id in self._seen.keys() - {engine.id for engine in snapshot.engines}:
            del self._seen[id]

    def event(self, event: Event) -> None:
        """Keep what happened; a load or its end changes an engine run too."""
        if event.kind in _NOT_KEPT:
            return
        if event.engine is not None and event.kind == "loaded":
            self._begin_run(event.engine, event)
        elif event.engine in self._runs and event.kind in _ENDS:
            self._end_run(event.engine, event.at, event.reason or event.kind)
        elif event.engine is not None and event.kind == "removed":
            reading = self._seen.pop(event.engine, _Reading())
            self._count(event.engine, reading, self._completions.of(event.engine))
        if len(self._events) >= MAX_EVENTS:
            self._events_left_out += 1
            return
        self._events.append(
            EventRow(
                at=event.at,
                kind=event.kind,
                level=event.level,
                engine=event.engine,
                text=event.text,
                reason=event.reason,
            )
        )

    def flush(self) -> None:
        """Hand over the minute so far. What follows in the same minute is added to it."""
        at = self._minute or 0
        self._count(EVERY, self._overall, self._completions.overall)
        for id, reading in self._seen.items():
            self._count(id, reading, self._completions.of(id))
        if self._events_left_out:
            text = f"{self._events_left_out} more events within a minute"
            self._events.append(
                EventRow(at=at, kind="note", level="warning", engine=None, text=text)
            )
        rows = [Row(scope, name, at, cells) for (scope, name), cells in self._cells.items()]
        if rows or self._events or self._changed_runs:
            self._put(Batch(rows, self._events, self._changed_runs))
        self._cells, self._events, self._changed_runs = {}, [], []
        self._events_left_out = 0
        self._paths = {id: path for id, path in self._paths.items() if id in self._seen}

    # What is -----------------------------------------------------------------------------

    def _sample_host(self, snapshot: Snapshot) -> None:
        host, server = snapshot.host, snapshot.server_process
        self._add("host", EVERY, "covered_s", max(snapshot.uptime_s - self._uptime_s, 0.0))
        self._uptime_s = snapshot.uptime_s
        self._gauge("host", EVERY, "host_cpu_percent", host.cpu_percent)
        if host.memory_total_bytes is not None and host.memory_available_bytes is not None:
            used = host.memory_total_bytes - host.memory_available_bytes
            self._gauge("host", EVERY, "host_memory_used_bytes", used)
        if server is not None:
            self._gauge("host", EVERY, "server_memory_bytes", server.rss_bytes)
            self._gauge("host", EVERY, "server_cpu_percent", server.cpu_percent)

    def _sample_gpu(self, gpu: Gpu) -> None:
        self._gauge("gpu", gpu.id, "gpu_utilization_percent", gpu.utilization_percent)
        self._gauge("gpu", gpu.id, "gpu_memory_used_bytes", gpu.memory_used_bytes)
        self._gauge("gpu", gpu.id, "gpu_power_w", gpu.power_w)
        self._gauge("gpu", gpu.id, "gpu_temperature_c", gpu.temperature_c)

    def _sample_engine(self, engine: Engine) -> None:
        self._seen.setdefault(engine.id, _Reading())
        if engine.state != "loaded":
            return
        self._gauge("engine", engine.id, "running", engine.running)
        self._gauge("engine", engine.id, "waiting", engine.waiting)
        if engine.kv is not None and engine.kv.total_tokens:
            share = engine.kv.used_tokens / engine.kv.total_tokens
            self._gauge("engine", engine.id, "kv_share", share)
        self._gauge("engine", engine.id, "device_bytes", engine.device_bytes)
        if engine.process is not None:
            self._gauge("engine", engine.id, "memory_bytes", engine.process.rss_bytes)
            self._gauge("engine", engine.id, "cpu_percent", engine.process.cpu_percent)

    def _sample_all(self, snapshot: Snapshot) -> None:
        """The gauges of all engines together: their largest sum is not the sum of the largest."""
        loaded = [engine for engine in snapshot.engines if engine.state == "loaded"]
        processes = [engine.process for engine in loaded if engine.process is not None]
        kvs = [engine.kv for engine in loaded if engine.kv is not None]
        cells = sum(kv.total_tokens for kv in kvs)
        self._gauge("engine", EVERY, "running", snapshot.running)
        self._gauge("engine", EVERY, "waiting", snapshot.waiting)
        if cells:
            self._gauge("engine", EVERY, "kv_share", sum(kv.used_tokens for kv in kvs) / cells)
        resident = sum(process.rss_bytes or 0 for process in processes)
        self._gauge("engine", EVERY, "memory_bytes", resident)
        device = sum(engine.device_bytes or 0 for engine in loaded)
        self._gauge("engine", EVERY, "device_bytes", device)
        percent = sum(process.cpu_percent or 0.0 for process in processes)
        self._gauge("engine", EVERY, "cpu_percent", percent)

    def _gauge(self, scope: Scope, name: str, figure: str, value: float | None) -> None:
        if value is None:
            return
        self._add(scope, name, f"{figure}_n", 1)
        self._add(scope, name, f"{figure}_sum", value)
        cells = self._cells[scope, name]
        highest = cells.get(f"{figure}_max", value)
        assert isinstance(highest, (int, float))
        cells[f"{figure}_max"] = max(highest, value)

    def _add(self, scope: Scope, name: str, column: str, by: float) -> None:
        if by:
            cells = self._cells.setdefault((scope, name), {})
            before = cells.get(column, 0)
            assert isinstance(before, (int, float))
            cells[column] = before + by

    # What happened -----------------------------------------------------------------------

    def _count(self, id: str, reading: _Reading, tally: Tally) -> None:
        """Add what a tally gained since it was last read."""
        for column, by in reading.gained(tally).items():
            if isinstance(by, bytes):
                cells = self._cells.setdefault(("engine", id), {})
                before = cells.get(column)
                cells[column] = merged(before if isinstance(before, bytes) else None, by) or by
            else:
                self._add("engine", id, column, by)

    def _begin_run(self, id: str, event: Event) -> None:
        load_ms = event.load_ms or 0.0
        run = RunRow(engine=id, path=self._paths.get(id, ""), loaded_at=event.at, load_ms=load_ms)
        self._runs[id] = (run, _counts(self._completions.of(id)))
        self._changed_runs.append(run)

    def _end_run(self, id: str, at: float, reason: str) -> None:
        run, before = self._runs.pop(id)
        now = _counts(self._completions.of(id))
        gained = {name: now[name] - before[name] for name in _RUN_COUNTS}
        path = run.path or self._paths.get(id, "")
        self._changed_runs.append(replace(run, path=path, ended_at=at, reason=reason, **gained))


class _Reading:
    """A tally as it was when last read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._histograms: dict[str, Histogram] = {}

    def gained(self, tally: Tally) -> dict[str, Cell]:
        """By column, what is not none."""
        counts = _counts(tally)
        if any(n < self._counts.get(name, 0) for name, n in counts.items()):
            self._counts, self._histograms = {}, {}  # forgotten, and begun anew
        gained: dict[str, Cell] = {
            name: by for name, n in counts.items() if (by := n - self._counts.get(name, 0))
        }
        self._counts = counts
        for name in _DISTRIBUTIONS:
            now: Histogram = getattr(tally, name)
            before = self._histograms.get(name)
            if now.n == (before.n if before is not None else 0):
                continue
            new = Histogram.of(now.counts, now.sum_millionths)
            self._histograms[name] = Histogram.of(now.counts, now.sum_millionths)
            if before is not None:
                new.subtract(before)
            gained[name] = pack(new)
        return gained


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "done": tally.completed.requests,
        "failed": tally.failed,
        "cancelled": tally.cancelled.requests,
        "rejected": tally.rejected,
        "prompt_tokens": tally.prompt_tokens,
        "cached_tokens": tally.cached_tokens,
        "output_tokens": tally.emitted_tokens,
        "draft_tokens": tally.draft_tokens,
        "draft_accepted": tally.draft_accepted,
        "preemptions": tally.preemptions,
    }
