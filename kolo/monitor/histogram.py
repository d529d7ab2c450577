"""A distribution of positive values in a few hundred counters, which can be merged and taken apart.

Buckets grow by a constant factor, so that any value is told within ``ACCURACY`` of itself, whatever
its size (the logarithmic mapping of DDSketch: Masson, Rim, Lee, VLDB 2019). Counts of buckets add
up: the percentile of a merge is that of all values together, which no mean of percentiles is. And
they subtract, which is what lets a window slide.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, repeat
from math import ceil, log

from kolo.snapshot import Summary

ACCURACY = 0.01
"""Relative error of a percentile."""
SMALLEST = 1e-3
"""Values up to this are one; of milliseconds that is a microsecond."""

_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOWEST = ceil(log(SMALLEST, _GROWTH))
_UNITS = 1_000_000
"""The sum is kept in millionths, as an integer: what is taken out leaves no rounding behind."""


class Histogram:
    """Buckets by number; bucket k holds the values over growth^(k-1) and up to growth^k."""

    __slots__ = ("_counts", "_sum", "n")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.n = 0
        self._counts: Counter[int] = Counter()
        self._sum = 0
        self.extend(values)

    def __eq__(self, other: object) -> bool:
        """Whether no question could tell them apart."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self._counts, self._sum) == (other._counts, other._sum)

    __hash__ = None  # type: ignore[assignment]

    def add(self, value: float, count: int = 1) -> None:
        """``count`` times ``value``; a negative one counts as 0."""
        self._counts[_bucket(value)] += count
        self._sum += round(value * _UNITS) * count if value > 0 else 0
        self.n += count

    def extend(self, values: Iterable[float]) -> None:
        """Each of ``values`` once. A loop in C: this is done for every token."""
        given = values if isinstance(values, list) else list(values)
        if not given:
            return
        if min(given) <= SMALLEST:
            for value in given:
                self.add(value)
            return
        self._counts.update(map(ceil, map(log, given, repeat(_GROWTH))))
        self._sum += round(sum(given) * _UNITS)
        self.n += len(given)

    def merge(self, other: Histogram) -> None:
        """Take in all values of ``other``."""
        counts = self._counts
        for bucket, count in other._counts.items():
            counts[bucket] += count
        self._sum += other._sum
        self.n += other.n

    def subtract(self, other: Histogram) -> None:
        """Take out the values of ``other``, all of which were taken in before."""
        counts = self._counts
        for bucket, count in other._counts.items():
            left = counts[bucket] - count
            if left:
                counts[bucket] = left
            else:
                del counts[bucket]
        self._sum -= other._sum
        self.n -= other.n

    @classmethod
    def of(cls, counts: Mapping[int, int], sum_millionths: int) -> Histogram:
        """What ``counts`` and ``sum_millionths`` of another say."""
        made = cls()
        made._counts.update(counts)
        made._sum, made.n = sum_millionths, made._counts.total()
        return made

    @property
    def counts(self) -> Mapping[int, int]:
        """Values by number of bucket, in no order."""
        return self._counts

    @property
    def sum_millionths(self) -> int:
        return self._sum

    @property
    def sum(self) -> float:
        return self._sum / _UNITS

    @property
    def mean(self) -> float | None:
        return self._sum / _UNITS / self.n if self.n else None

    def quantiles(self, *shares: float) -> list[float] | None:
        """The values below which these shares of all lie, rising, 0 to 1; None when empty.

        A share falls on the value of rank ``ceil(share * n)``, as numpy's ``inverted_cdf``.
        """
        if not self.n:
            return None
        found: list[float] = []
        ranks = iter([max(ceil(share * self.n), 1) for share in shares])
        rank = next(ranks, None)
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            while rank is not None and rank <= seen:
                found.append(_middle(bucket))
                rank = next(ranks, None)
        return found

    def at_most(self, bounds: Sequence[float]) -> list[int]:
        """How many values are no larger than each of ``bounds``, which rise. A value within
        ``ACCURACY`` of a bound may count on either side of it."""
        buckets = sorted(self._counts)
        totals = [0, *accumulate(self._counts[bucket] for bucket in buckets)]
        return [totals[bisect_right(buckets, _last_within(bound))] for bound in bounds]

    def summary(self) -> Summary:
        """For a snapshot, to three decimals."""
        values = self.quantiles(0.5, 0.95, 0.99, 1.0)
        if values is None:
            return _EMPTY
        p50, p95, p99, highest = (round(value, 3) for value in values)
        mean = round(self._sum / _UNITS / self.n, 3)
        return Summary(n=self.n, mean=mean, p50=p50, p95=p95, p99=p99, max=highest)


_EMPTY = Summary()


def _last_within(bound: float) -> int:
    """The last bucket that is told as no more than ``bound``."""
    bucket = _bucket(bound)
    return bucket if _middle(bucket) <= bound else bucket - 1


def _bucket(value: float) -> int:
    return ceil(log(value, _GROWTH)) if value > SMALLEST else _LOWEST


def _middle(bucket: int) -> float:
    """The value that is off by no more than ``ACCURACY`` from all of a bucket."""
    return 2 * _GROWTH**bucket / (_GROWTH + 1)
