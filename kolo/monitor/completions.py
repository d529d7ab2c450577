"""Requests counted: how many, how many tokens, how long, per engine and for all together.

What happens is told as it happens (``manager.sink``) and counted twice, for its engine and for
all: as sums and distributions since the server started (``Tally``), which whoever scrapes takes
differences of, and in windows that slide (``Sliding``). Requests that still run are the manager's
to tell.

Tokens count when they come, requests when they end. TTFT and ITL are those of the arrival of
tokens at the manager, which is all but what a client sees; queue and prefill times are the
worker's own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kolo.errors import Busy, KoloError
from kolo.manager.meter import Emission
from kolo.manager.sink import Finished, NullSink
from kolo.monitor.histogram import Histogram
from kolo.monitor.windows import Slice, Sliding
from kolo.snapshot import Totals, Windows
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
    """First token to the last; this and ``ttft_ms`` by when tokens came to the manager."""

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
                self.ttft_ms += request.ttft_ms or 0.0
                self.decode_ms += request.decode_ms
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
    emitted_tokens: int = 0
    """Tokens that came, of requests that have ended and of those that run."""
    computed_tokens: int = 0
    """Prompt tokens really computed, as the worker says once a second."""
    preemptions: int = 0
    """Requests put back in the queue for want of KV cells, likewise."""
    draft_tokens: int = 0
    draft_accepted: int = 0
    queue_ms: Histogram = field(default_factory=Histogram)
    prefill_ms: Histogram = field(default_factory=Histogram)
    ttft_ms: Histogram = field(default_factory=Histogram)
    itl_ms: Histogram = field(default_factory=Histogram)
    e2e_ms: Histogram = field(default_factory=Histogram)
    """These five as in ``snapshot.Window``."""
    loads: int = 0
    load_ms: float = 0.0
    loaded_at: float | None = None
    """When an engine was last loaded, in unix time."""
    failed_loads: int = 0
    unloads: Counter[str] = field(default_factory=Counter)
    """By reason: ``requested``, ``idle``, ``evicted``, ``changed`` or ``stopping``."""
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

    def totals(self) -> Totals:
        """As a snapshot shows it."""
        return Totals(
            done=self.completed.requests,
            failed=self.failed,
            cancelled=self.cancelled.requests,
            rejected=self.rejected,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.emitted_tokens,
            draft_tokens=self.draft_tokens,
            draft_accepted=self.draft_accepted,
            loads=self.loads,
            failed_loads=self.failed_loads,
            unloads=self.unloads.total(),
            crashes=self.crashes,
        )


class _Account:
    """A tally and its windows."""

    def __init__(self, started_s: float) -> None:
        self.tally = Tally()
        self.sliding = Sliding(started_s)

    def add(self, part: Slice, at_s: float) -> None:
        """Count ``part`` in both. What a tally keeps by how a request ended is not of a part."""
        self.sliding.add(part, at_s)
        tally = self.tally
        tally.emitted_tokens += part.counts["output_tokens"]
        tally.computed_tokens += part.counts["computed_tokens"]
        tally.draft_tokens += part.counts["draft_tokens"]
        tally.draft_accepted += part.counts["draft_accepted"]
        for name, values in part.measures.items():
            total: Histogram = getattr(tally, name)
            total.merge(values)

    def end(self, request: Finished, now: float) -> None:
        tally = self.tally
        tally.updated_at = now
        if request.cancelled:
            tally.cancelled.add(request)
        elif request.error is not None:
            tally.failed += 1
        else:
            tally.completed.add(request)
            if isinstance(request.result, Generated) and request.decode_ms:
                tally.last_tps = request.result.usage.completion_tokens * 1000 / request.decode_ms


class Completions(NullSink):
    """A sink of the manager that counts.

    ``clock`` is unix time, for people; ``steady`` never jumps, for windows, and is the event
    loop's.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._started_s = steady()
        self._overall = _Account(self._started_s)
        self._accounts: dict[str, _Account] = {}
        self._loaded: set[str] = set()

    @property
    def overall(self) -> Tally:
        """All engines, those that are no more included."""
        return self._overall.tally

    def of(self, id: str) -> Tally:
        """The tally of an engine; one of zeros if it did nothing yet."""
        account = self._accounts.get(id)
        return account.tally if account is not None else Tally()

    def windows(self, id: str | None = None, *, busy: bool) -> Windows:
        """The windows of an engine, or of all; ``busy`` as in ``Sliding.windows``."""
        account = self._overall if id is None else self._accounts.get(id)
        account = account or _Account(self._started_s)
        return account.sliding.windows(self._steady(), busy=busy)

    def forget(self, id: str) -> None:
        """Keep no tally of an engine that is no more; the overall one keeps what it did."""
        self._accounts.pop(id, None)

    # What the manager tells ----------------------------------------------------------------

    def emitted(self, id: str, emission: Emission) -> None:
        part = Slice()
        part.count("output_tokens", emission.tokens)
        if emission.ttft_ms:
            part.measure("ttft_ms").extend(emission.ttft_ms)
        if emission.itl_ms:
            part.measure("itl_ms").extend(emission.itl_ms)
        for itl_ms, n_tokens in emission.shared_itl_ms:
            part.measure("itl_ms").add(itl_ms, n_tokens)
        self._add(id, part, emission.at_s)

    def computed(self, id: str, prompt_tokens: int, preemptions: int = 0) -> None:
        """The worker has computed so many prompt tokens, and put back so many requests, since it
        was last asked."""
        part = Slice()
        part.count("computed_tokens", prompt_tokens)
        self._add(id, part)
        for account in self._both(id):
            account.tally.preemptions += preemptions

    def finished(self, id: str, request: Finished) -> None:
        now = self._clock()
        for account in self._both(id):
            account.end(request, now)
        self._add(id, _part_of(request))

    def refused(self, id: str, error: KoloError) -> None:
        if not (isinstance(error, Busy) and id in self._loaded):
            for account in self._both(id):
                account.tally.failed_loads += 1
            return
        for account in self._both(id):
            account.tally.rejected += 1
        part = Slice()
        part.count("rejected")
        self._add(id, part)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loaded.add(id)
        for account in self._both(id):
            account.tally.loads += 1
            account.tally.load_ms += load_ms
            account.tally.loaded_at = self._clock()

    def unloaded(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        for account in self._both(id):
            account.tally.unloads[unload_kind(reason)] += 1

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        for account in self._both(id):
            account.tally.crashes += 1

    def _both(self, id: str) -> tuple[_Account, _Account]:
        account = self._accounts.get(id)
        if account is None:
            account = self._accounts[id] = _Account(self._started_s)
        return self._overall, account

    def _add(self, id: str, part: Slice, at_s: float | None = None) -> None:
        at_s = self._steady() if at_s is None else at_s
        for account in self._both(id):
            account.add(part, at_s)


def unload_kind(reason: str) -> str:
    """The manager's reason for an unload, as one word of few."""
    if reason.startswith("evicted"):
        return "evicted"
    if reason == "the server is stopping":
        return "stopping"
    return reason if reason in ("requested", "idle") else "changed"


def _part_of(request: Finished) -> Slice:
    part = Slice()
    part.count("cancelled" if request.cancelled else "failed" if request.error else "done")
    if not request.cancelled and request.error is None:
        part.measure("e2e_ms").add(request.wall_ms)
    match request.result:
        case Generated(usage=usage, timings=timings):
            part.count("prompt_tokens", usage.prompt_tokens)
            part.count("cached_tokens", usage.cached_tokens)
            part.count("draft_tokens", timings.draft_tokens)
            part.count("draft_accepted", timings.draft_accepted)
            if request.ttft_ms is not None:
                part.count("prefilled_tokens", usage.prompt_tokens - usage.cached_tokens)
                part.measure("queue_ms").add(timings.queue_ms)
                part.measure("prefill_ms").add(timings.prefill_ms)
        case Embedded(prompt_tokens=prompt_tokens) | Reranked(prompt_tokens=prompt_tokens):
            part.count("prompt_tokens", prompt_tokens)
    return part
