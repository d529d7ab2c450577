"""Requests counted: how many, how many tokens, how long, per engine and for all together.

Plain sums since the server started. Averages are made of them by those who show them, so that
nothing here depends on when anybody looks. Requests that still run are the manager's to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kolo.errors import Busy, KoloError
from kolo.manager.sink import Finished, NullSink
from kolo.types import Embedded, Generated, ModelInfo, Reranked


@dataclass(slots=True)
class Work:
    """Sums over requests that were answered; times in milliseconds."""

    requests: int = 0
    prompt_tokens: int = 0
    """The cached ones included."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    wall_ms: float = 0.0
    """Submit to the last frame."""
    generated: int = 0
    """Requests for text: those over which the following four are summed."""
    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    ttft_ms: float = 0.0
    decode_ms: float = 0.0
    """First token to the last."""

    def add(self, request: Finished) -> None:
        self.requests += 1
        self.wall_ms += request.wall_ms
        match request.result:
            case Generated(usage=usage, timings=timings):
                self.prompt_tokens += usage.prompt_tokens
                self.cached_tokens += usage.cached_tokens
                self.completion_tokens += usage.completion_tokens
                self.reasoning_tokens += usage.reasoning_tokens
                self.generated += 1
                self.queue_ms += timings.queue_ms
                self.prefill_ms += timings.prefill_ms
                self.ttft_ms += timings.ttft_ms
                self.decode_ms += timings.decode_ms
            case Embedded() | Reranked():
                self.prompt_tokens += request.result.prompt_tokens


@dataclass(slots=True)
class Tally:
    """What one engine, or all of them, did since the server started."""

    completed: Work = field(default_factory=Work)
    cancelled: Work = field(default_factory=Work)
    """The client went away; tokens until then were computed all the same."""
    failed: int = 0
    rejected: int = 0
    """Turned away before they began: the queue was full."""
    loads: int = 0
    load_ms: float = 0.0
    failed_loads: int = 0
    unloads: int = 0
    crashes: int = 0
    last_tps: float = 0.0
    """Tokens a second at which the last answer was written, after its first token."""
    updated_at: float = 0.0
    """When the last request ended: unix time in seconds, 0 for never."""

    @property
    def finished(self) -> int:
        """Requests that were taken and have ended, in whatever way."""
        return self.completed.requests + self.cancelled.requests + self.failed

    @property
    def prompt_tokens(self) -> int:
        return self.completed.prompt_tokens + self.cancelled.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        return self.completed.cached_tokens + self.cancelled.cached_tokens

    @property
    def completion_tokens(self) -> int:
        return self.completed.completion_tokens + self.cancelled.completion_tokens

    def end(self, request: Finished, now: float) -> None:
        self.updated_at = now
        if request.cancelled:
            self.cancelled.add(request)
        elif request.error is not None:
            self.failed += 1
        else:
            self.completed.add(request)
            if isinstance(request.result, Generated):
                self.last_tps = _rate(request.result)


class Completions(NullSink):
    """A sink of the manager that counts."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.overall = Tally()
        self._engines: dict[str, Tally] = {}
        self._loaded: set[str] = set()
        self._clock = clock

    def of(self, id: str) -> Tally:
        """The tally of an engine; one of zeros if it did nothing yet."""
        return self._engines.get(id) or Tally()

    def forget(self, id: str) -> None:
        """Keep no tally of an engine that is no more; the overall one keeps what it did."""
        self._engines.pop(id, None)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loaded.add(id)
        for tally in self._tallies(id):
            tally.loads += 1
            tally.load_ms += load_ms

    def unloaded(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        for tally in self._tallies(id):
            tally.unloads += 1

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        for tally in self._tallies(id):
            tally.crashes += 1

    def refused(self, id: str, error: KoloError) -> None:
        for tally in self._tallies(id):
            if isinstance(error, Busy) and id in self._loaded:
                tally.rejected += 1
            else:
                tally.failed_loads += 1

    def finished(self, id: str, request: Finished) -> None:
        now = self._clock()
        for tally in self._tallies(id):
            tally.end(request, now)

    def _tallies(self, id: str) -> tuple[Tally, Tally]:
        return self.overall, self._engines.setdefault(id, Tally())


def _rate(result: Generated) -> float:
    decode_ms = result.timings.decode_ms
    return result.usage.completion_tokens * 1000 / decode_ms if decode_ms else 0.0
