"""Percentiles, and intervals by the bootstrap.

A percentile is interpolated between its two neighbours (type 7 of Hyndman and Fan 1996, numpy's
default). One that so few samples cannot carry is not given: the p-th needs 100/(100 - p) of them,
so 20 for p95 and 100 for p99.

The interval of a ratio is from a two-level bootstrap: rounds are drawn with replacement, then the
samples of each drawn round. Targets that took turns in the same rounds are drawn together (paired),
since what slowed a round slowed all of them. As rounds are few, the percentiles that bound it are
further out than 2.5 and 97.5, so that it covers 95 % ("expanded percentile interval", Hesterberg,
What Teachers Should Know About the Bootstrap, 2015); with fewer than MIN_ROUNDS nothing helps, for
all of three rounds lie on one side by chance every fourth time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from kolo.bench.result import Figure, Ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2000
MIN_ROUNDS = 5
_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
"""Student's t, 97.5 %, for 1 degree of freedom and more; beyond it is near 1.96 + 2.5 / df."""
BLOCK_SAMPLES = 1 << 20
"""Drawn at a time: 8 MB."""
MOST_SAMPLES = 2000
"""Of a round that has more, so many evenly spaced quantiles stand in when resampling."""


def percentile(values: Sequence[float], rank: float) -> float | None:
    """The ``rank``-th percentile of sorted ``values``; None where there are too few."""
    n = len(values)
    if n == 0 or n < least(rank):
        return None
    place = (n - 1) * rank / 100
    below = math.floor(place)
    above = min(below + 1, n - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def least(rank: float) -> int:
    """How many samples the ``rank``-th percentile needs."""
    return 1 if rank <= 50 else math.ceil(100 / (100 - rank) - 1e-9)


def figure(values: Sequence[float]) -> Figure:
    """The distribution of ``values``; ``std`` is of a sample (n - 1)."""
    if not values:
        return Figure(n=0)
    ordered = sorted(values)
    n = len(ordered)
    mean = math.fsum(ordered) / n
    square = math.fsum((value - mean) ** 2 for value in ordered)
    return Figure(
        n=n,
        mean=mean,
        std=math.sqrt(square / (n - 1)) if n > 1 else None,
        min=ordered[0],
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p95=percentile(ordered, 95),
        p99=percentile(ordered, 99),
        max=ordered[-1],
    )


Rounds = Sequence[Sequence[float]]
"""Samples by round."""


def ratio(
    new: Rounds, base: Rounds, *, rank: float | None = 50, paired: bool, seed: int = 0
) -> Ratio | None:
    """The percentile of ``new`` (None: the mean) over that of ``base``, over all rounds, and its
    95 % interval where both have MIN_ROUNDS. None where ``base`` is 0 or one of them is empty."""
    import numpy as np

    one, other = _columns(new), _columns(base)
    if not one or not other:
        return None
    value = _over(_centre(np.concatenate(one), rank), _centre(np.concatenate(other), rank))
    if value is None:
        return None
    if min(len(one), len(other)) < MIN_ROUNDS or (paired and len(one) != len(other)):
        return Ratio(value=value)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(one), size=(RESAMPLES, len(one)))
    others = rows if paired else rng.integers(len(other), size=(RESAMPLES, len(other)))
    above, below = _resampled(one, rows, rank, rng), _resampled(other, others, rank, rng)
    ratios = above[below != 0] / below[below != 0]
    tail = 100 * _tail(min(len(one), len(other)))
    low, high = np.percentile(ratios, [tail, 100 - tail]) if len(ratios) else (value, value)
    return Ratio(value=value, low=float(low), high=float(high))


def _tail(n_rounds: int) -> float:
    """The share of resamples to leave out at each end for so many rounds."""
    df = n_rounds - 1
    t = _T_975[df - 1] if df <= len(_T_975) else 1.96 + 2.5 / df
    return NormalDist().cdf(-math.sqrt(n_rounds / df) * t)


def _columns(rounds: Rounds) -> list[NDArray[np.float64]]:
    import numpy as np

    columns = [np.asarray(column, dtype=float) for column in rounds if len(column)]
    ranks = np.linspace(0, 100, MOST_SAMPLES)
    return [
        np.percentile(column, ranks) if len(column) > MOST_SAMPLES else column for column in columns
    ]


def _resampled(
    columns: list[NDArray[np.float64]],
    rows: NDArray[np.int64],
    rank: float | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The centre of each resample: of the rounds in a row of ``rows``, with their samples drawn
    anew. Rounds of one length are drawn together, which is many times quicker."""
    import numpy as np

    pool = np.concatenate(columns)
    lengths = np.array([len(column) for column in columns])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    if len(set(lengths.tolist())) == 1:
        length = int(lengths[0])
        step = max(BLOCK_SAMPLES // (rows.shape[1] * length), 1)
        found = []
        for at in range(0, len(rows), step):
            begins = np.repeat(starts[rows[at : at + step]], length, axis=1)
            drawn = pool[begins + rng.integers(length, size=begins.shape)]
            found.append(_centres(drawn, rank))
        return np.concatenate(found)
    centres = np.empty(len(rows))
    for at, row in enumerate(rows):
        sizes = np.repeat(lengths[row], lengths[row])
        places = np.repeat(starts[row], lengths[row]) + rng.integers(sizes)
        centres[at] = _centres(pool[places][None, :], rank)[0]
    return centres


def _centres(values: NDArray[np.float64], rank: float | None) -> NDArray[np.float64]:
    """The percentile, or mean, of each row; as ``np.percentile``, which sorts far more."""
    import numpy as np

    if rank is None:
        means: NDArray[np.float64] = values.mean(axis=1)
        return means
    place = (values.shape[1] - 1) * rank / 100
    below = math.floor(place)
    above = min(below + 1, values.shape[1] - 1)
    parted = np.partition(values, (below, above), axis=1)
    centres: NDArray[np.float64] = parted[:, below] + (parted[:, above] - parted[:, below]) * (
        place - below
    )
    return centres


def _centre(values: NDArray[np.float64], rank: float | None) -> float:
    return float(_centres(values[None, :], rank)[0])


def _over(new: float, base: float) -> float | None:
    return new / base if base else None
