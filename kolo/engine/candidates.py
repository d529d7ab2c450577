"""Which tokens of a row of logits can be drawn at all, found without sorting the row.

Rows are 1-D float32 of the vocabulary's length; a banned token is -inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kolo.engine.backend import Logits, TokenIds

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Bound:
    """The first truncating sampler, as a condition on the row."""

    kind: str
    value: float
    temperature: float = 1.0
    min_keep: int = 0


def bounded(row: Logits, bound: Bound, margin: int) -> TokenIds:
    """Ids of the tokens that ``bound`` may keep, ascending.

    ``margin``: how many tokens a later step may push down, so that many more are kept.
    """
    ids: Indices
    match bound.kind:
        case "top_k":
            return _top(row, int(bound.value) + margin)
        case "min_p":
            limit = float(row.max()) + math.log(bound.value) * bound.temperature
            ids = np.flatnonzero(row >= limit)
        case "top_n_sigma":
            finite = row[row > -np.inf]
            limit = float(finite.max()) - bound.value * float(finite.std())
            ids = np.flatnonzero(row >= limit)
        case _:
            ids = _nucleus(row, bound.value, bound.temperature)
    if len(ids) < bound.min_keep:
        return _exactly_top(row, bound.min_keep)
    return ids.astype(np.int32)


_BLOCK = 64


def _top(row: Logits, count: int) -> TokenIds:
    """At least the ``count`` largest: every element not below the count-th largest block
    maximum. Two passes over the row instead of a partial sort of it."""
    blocks = len(row) // _BLOCK
    if count * 2 >= blocks:
        return _exactly_top(row, count)
    # A block is every ``blocks``-th element: numpy folds rows ten times faster than columns.
    maxima = row[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0)
    limit = np.partition(maxima, blocks - count)[blocks - count]
    if limit == -np.inf:
        return np.flatnonzero(row > -np.inf).astype(np.int32)
    return np.flatnonzero(row >= limit).astype(np.int32)


def _exactly_top(row: Logits, count: int) -> TokenIds:
    if count >= len(row):
        return np.arange(len(row), dtype=np.int32)
    ids = np.argpartition(row, len(row) - count)[len(row) - count :]
    ids.sort()
    return ids.astype(np.int32)


_BINS = 2048


def _nucleus(row: Logits, top_p: float, temperature: float) -> Indices:
    """The smallest set of most likely tokens whose probability reaches ``top_p``.

    Found without sorting the row: weights are summed in bins of equal logit width, the bin
    in which the sum crosses is sorted alone.
    """
    top = float(row.max())
    scaled = (row - top) / temperature
    live = np.flatnonzero(scaled > -30.0)
    scaled = scaled[live]
    weights = np.exp(scaled, dtype=np.float32)
    goal = top_p * float(weights.sum(dtype=np.float64))
    bins = np.minimum(scaled * (-_BINS / 30.0), _BINS - 1).astype(np.int32)
    mass = np.bincount(bins, weights=weights, minlength=_BINS).cumsum()
    crossing = int(np.searchsorted(mass, goal))
    inside = live[bins < crossing]
    edge = np.flatnonzero(bins == crossing)
    edge = edge[np.argsort(-scaled[edge], kind="stable")]
    before = float(mass[crossing - 1]) if crossing else 0.0
    needed = int(np.searchsorted(before + weights[edge].cumsum(dtype=np.float64), goal)) + 1
    return np.concatenate((inside, live[edge[:needed]]))


def draw(row: Logits, temperature: float, u: float) -> int:
    """One index of ``row`` by its softmax at ``temperature``; ``u`` is uniform in [0, 1)."""
    return _Wheel(_weights(row, temperature)).at(u)


_TRIES = 8


def draw_nucleus(
    row: Logits, bound: Bound, temperature: float, uniform: Callable[[], float]
) -> int | None:
    """One index at ``temperature`` of those that a ``top_p`` bound keeps, by rejection.

    An index drawn from all is taken if what is likelier than it does not reach ``top_p`` yet;
    the odds are then those within the nucleus, which is never formed. None when that has failed
    a few times, which is likely only at a high temperature.
    """
    weights = _weights(row, temperature)
    ranks = weights if temperature == bound.temperature else _weights(row, bound.temperature)
    goal = bound.value * float(ranks.sum())
    wheel = _Wheel(weights)
    for _ in range(_TRIES):
        index = wheel.at(uniform())
        if _mass_before(ranks, index) < goal:
            return index
    return None


def _mass_before(ranks: Logits, index: int) -> float:
    """The sum of all that is larger than one of ``ranks``, or equal and earlier."""
    own = ranks[index]
    larger = ranks > own
    few = np.count_nonzero(larger) * 16 < len(ranks)
    mass = ranks[np.flatnonzero(larger)].sum() if few else (ranks * larger).sum()
    return float(mass) + float(own) * np.count_nonzero(ranks[:index] == own)


def _weights(row: Logits, temperature: float) -> Logits:
    """The softmax of ``row``, without its denominator."""
    weights: Logits = row - row.max()
    if temperature != 1.0:
        weights /= np.float32(temperature)
    return np.exp(weights, out=weights)


class _Wheel:
    """Weights to draw from by inverse transform in two levels, so that the cumulative sum over a
    vocabulary is never formed: columns of a table, then what is in one."""

    _ROWS = 256

    def __init__(self, weights: Logits) -> None:
        self._weights = weights
        self._columns = len(weights) // self._ROWS
        body = weights[: self._columns * self._ROWS]
        self._table = body.reshape(self._ROWS, self._columns)
        self._rest = weights[len(body) :]
        sums = np.append(self._table.sum(axis=0), self._rest.sum())
        self._cumulated = sums.cumsum(dtype=np.float64)

    def at(self, u: float) -> int:
        goal = u * float(self._cumulated[-1])
        column = int(np.searchsorted(self._cumulated, goal, side="right"))
        column = min(column, self._columns)
        before = float(self._cumulated[column - 1]) if column else 0.0
        whole = column == self._columns
        inside = self._rest if whole else self._table[:, column]
        at = int(np.searchsorted(inside.cumsum(dtype=np.float64), goal - before, side="right"))
        index = self._table.size + at if whole else at * self._columns + column
        if at >= len(inside) or not self._weights[index]:
            return int(self._weights.argmax())  # rounding led past the last that may be drawn
        return index


def top_logprobs(row: Logits, token: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """Log-probability of ``token`` and of the ``count`` most likely, from raw logits."""
    top = float(row.max())
    total = top + math.log(float(np.exp(row - top, dtype=np.float32).sum(dtype=np.float64)))
    if not count:
        return float(row[token]) - total, []
    ids = _top(row, count)
    ids = ids[np.argsort(-row[ids], kind="stable")][:count]
    return float(row[token]) - total, [(int(i), float(row[i]) - total) for i in ids]
