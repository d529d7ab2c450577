"""What happened in the last 5 seconds, minute and quarter of an hour, exactly as it slides.

What is counted goes into a slice per second. A window is the sum of its slices, kept up as slices
enter and leave, so that looking costs nothing for the 900 seconds behind it. The windows share the
slices.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from kolo.monitor.histogram import Histogram
from kolo.snapshot import Window, Windows

SPANS_S = (5, 60, 900)
"""From the shortest to the longest."""
LATE_S = 60.0
"""Tokens are told once more come, which takes as long as the next prompt."""

Count = Literal[
    "done",
    "failed",
    "cancelled",
    "rejected",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "computed_tokens",  # of prompts, as the worker's counter rises
    "prefilled_tokens",  # of prompts, those of requests that ended: what prefill_ms is about
    "draft_tokens",
    "draft_accepted",
]
Measure = Literal["queue_ms", "prefill_ms", "ttft_ms", "itl_ms", "e2e_ms"]


class Slice:
    """Counts and distributions of some time."""

    __slots__ = ("counts", "measures")

    def __init__(self) -> None:
        self.counts: Counter[Count] = Counter()
        self.measures: dict[Measure, Histogram] = {}

    def count(self, name: Count, by: int = 1) -> None:
        if by:
            self.counts[name] += by

    def measure(self, name: Measure) -> Histogram:
        """The distribution of ``name``, to be added to."""
        found = self.measures.get(name)
        if found is None:
            found = self.measures[name] = Histogram()
        return found

    def merge(self, other: Slice) -> None:
        for name, by in other.counts.items():
            self.counts[name] += by
        for measure, values in other.measures.items():
            self.measure(measure).merge(values)

    def subtract(self, other: Slice) -> None:
        for name, by in other.counts.items():
            self.counts[name] -= by
        for measure, values in other.measures.items():
            self.measures[measure].subtract(values)


class Sliding:
    """The windows of one engine, or of all.

    Each time given is a reading of one clock, from any zero. A clock that goes back counts as
    standing still: nothing is counted twice, and nothing in a past that is not just over.
    """

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._now_s = started_s
        self._slices: dict[int, Slice] = {}
        """By second."""
        self._sums = {span_s: Slice() for span_s in SPANS_S}
        self._begins = {span_s: int(started_s) - span_s for span_s in SPANS_S}
        """By window, its first second."""

    def add(self, part: Slice, at_s: float) -> None:
        """Count ``part``, which happened at ``at_s``: now, or up to ``LATE_S`` ago."""
        self._advance(at_s)
        second = int(at_s if self._now_s - at_s <= LATE_S else self._now_s)
        self._slices.setdefault(second, Slice()).merge(part)
        for span_s, begin in self._begins.items():
            if second >= begin:
                self._sums[span_s].merge(part)

    def windows(self, now_s: float, *, busy: bool) -> Windows:
        """All three. ``busy`` says that something runs, so that no output is 0 and not unknown."""
        self._advance(now_s)
        age_s = self._now_s - self._started_s
        last_5s, last_1m, last_15m = (
            window(of, span_s, min(age_s, self._now_s - self._begins[span_s]), busy)
            for span_s, of in self._sums.items()
        )
        return Windows(last_5s=last_5s, last_1m=last_1m, last_15m=last_15m)

    def _advance(self, now_s: float) -> None:
        self._now_s = max(self._now_s, now_s)
        for span_s, begin in self._begins.items():
            now_begins = int(self._now_s) - span_s
            if now_begins == begin:
                return
            # A clock may leap by years, over which there is nothing but what is known.
            leaps = now_begins - begin > len(self._slices)
            for second in [*self._slices] if leaps else range(begin, now_begins):
                if begin <= second < now_begins and second in self._slices:
                    self._sums[span_s].subtract(self._slices[second])
                    if span_s == SPANS_S[-1]:
                        del self._slices[second]
            self._begins[span_s] = now_begins


def window(of: Slice, span_s: float, covered_s: float, busy: bool) -> Window:
    """What a snapshot says of ``of``, which happened in ``covered_s`` seconds."""
    if not busy and not any(of.counts.values()):
        return Window(span_s=span_s, covered_s=round(covered_s, 3))
    count = of.counts
    ended = count["done"] + count["failed"] + count["cancelled"]
    prefill, itl = of.measure("prefill_ms"), of.measure("itl_ms")
    return Window(
        span_s=span_s,
        covered_s=round(covered_s, 3),
        done=count["done"],
        failed=count["failed"],
        cancelled=count["cancelled"],
        rejected=count["rejected"],
        prompt_tokens=count["prompt_tokens"],
        cached_tokens=count["cached_tokens"],
        output_tokens=count["output_tokens"],
        requests_per_s=_ratio(ended, covered_s),
        output_tokens_per_s=_ratio(count["output_tokens"], covered_s),
        prompt_tokens_per_s=_ratio(count["computed_tokens"], covered_s),
        prefill_tokens_per_s=_ratio(count["prefilled_tokens"] * 1000, prefill.sum),
        decode_tokens_per_s=_ratio(itl.n * 1000, itl.sum),
        cached_share=_ratio(count["cached_tokens"], count["prompt_tokens"]),
        draft_tokens=count["draft_tokens"],
        draft_accepted_share=_ratio(count["draft_accepted"], count["draft_tokens"]),
        queue_ms=of.measure("queue_ms").summary(),
        prefill_ms=prefill.summary(),
        ttft_ms=of.measure("ttft_ms").summary(),
        itl_ms=itl.summary(),
        e2e_ms=of.measure("e2e_ms").summary(),
    )


def _ratio(value: float, by: float) -> float | None:
    return round(value / by, 4) if by > 0 else None
