"""Windows of the demo: counted from what the made-up engines really did."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from kolo.snapshot import Summary, Totals, Window, Windows

SPANS_S = (5.0, 60.0, 900.0)


@dataclass
class Tick:
    """What happened in one short time."""

    at_s: float
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0
    computed: int = 0
    decode_s: float = 0.0
    """Time that answers spent being written, each for itself."""
    prefill_s: float = 0.0
    queue_ms: list[float] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)
    itl_ms: list[float] = field(default_factory=list)
    e2e_ms: list[float] = field(default_factory=list)


class Tally:
    """Ticks of the last 15 minutes, and totals."""

    def __init__(self) -> None:
        self._ticks: deque[Tick] = deque()
        self.loads = self.unloads = self.crashes = 0
        self._sums = Tick(0.0)

    def add(self, tick: Tick) -> None:
        self._ticks.append(tick)
        while self._ticks[0].at_s < tick.at_s - SPANS_S[-1]:
            self._ticks.popleft()
        for name in ("done", "failed", "cancelled", "prompt", "cached", "output"):
            setattr(self._sums, name, getattr(self._sums, name) + getattr(tick, name))

    @property
    def ticks(self) -> Iterable[Tick]:
        return self._ticks

    def windows(self, now_s: float) -> Windows:
        return windows([self], now_s)

    def totals(self) -> Totals:
        sums = self._sums
        return Totals(
            done=sums.done,
            failed=sums.failed,
            cancelled=sums.cancelled,
            prompt_tokens=sums.prompt,
            cached_tokens=sums.cached,
            output_tokens=sums.output,
            loads=self.loads,
            unloads=self.unloads,
            crashes=self.crashes,
        )


def windows(tallies: Iterable[Tally], now_s: float) -> Windows:
    """Of several engines together."""
    ticks = [tick for tally in tallies for tick in tally.ticks]
    short, minute, long = (
        _window([tick for tick in ticks if tick.at_s > now_s - span_s], span_s, now_s)
        for span_s in SPANS_S
    )
    return Windows(last_5s=short, last_1m=minute, last_15m=long)


def total(tallies: Iterable[Tally]) -> Totals:
    each = [tally.totals() for tally in tallies]
    names = ("done", "failed", "cancelled", "prompt_tokens", "cached_tokens", "output_tokens",
             "loads", "unloads", "crashes")  # fmt: skip
    return Totals(**{name: sum(getattr(one, name) for one in each) for name in names})


def _window(ticks: list[Tick], span_s: float, now_s: float) -> Window:
    covered_s = min(span_s, max(now_s, 0.1))
    done, output = sum(t.done for t in ticks), sum(t.output for t in ticks)
    failed, cancelled = sum(t.failed for t in ticks), sum(t.cancelled for t in ticks)
    prompt, cached = sum(t.prompt for t in ticks), sum(t.cached for t in ticks)
    computed, decode_s = sum(t.computed for t in ticks), sum(t.decode_s for t in ticks)
    prefill_s = sum(t.prefill_s for t in ticks)
    ended = done + failed + cancelled
    return Window(
        span_s=span_s,
        covered_s=covered_s,
        done=done,
        failed=failed,
        cancelled=cancelled,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        requests_per_s=ended / covered_s if ended else None,
        output_tokens_per_s=output / covered_s if output else None,
        prompt_tokens_per_s=computed / covered_s if computed else None,
        prefill_tokens_per_s=computed / prefill_s if prefill_s else None,
        decode_tokens_per_s=output / decode_s if decode_s else None,
        cached_share=cached / prompt if prompt else None,
        queue_ms=_summary([v for t in ticks for v in t.queue_ms]),
        ttft_ms=_summary([v for t in ticks for v in t.ttft_ms]),
        itl_ms=_summary([v for t in ticks for v in t.itl_ms]),
        e2e_ms=_summary([v for t in ticks for v in t.e2e_ms]),
    )


def _summary(values: list[float]) -> Summary:
    if not values:
        return Summary()
    values.sort()
    n = len(values)
    p50, p95, p99 = (values[min(int(n * share), n - 1)] for share in (0.5, 0.95, 0.99))
    return Summary(n=n, mean=sum(values) / n, p50=p50, p95=p95, p99=p99, max=values[-1])
