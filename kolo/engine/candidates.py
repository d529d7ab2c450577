"""Which tokens of a row of logits can be drawn at all, found without sorting the row.

Rows are 1-D float32 of the vocabulary's length; a banned token is -inf.
"""

from __future__ import annotations

import math
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
    maxima = row[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
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
    """One index of ``row`` by its softmax at ``temperature``; ``u`` is uniform in [0, 1).

    Inverse transform in two levels, blocks then elements, so that the cumulative sum over a
    vocabulary is never formed.
    """
    weights = np.exp((row - row.max()) / np.float32(temperature), dtype=np.float32)
    blocks = len(row) // 256
    if blocks < 4:
        return _invert(weights, u)
    sums = weights[: blocks * 256].reshape(blocks, 256).sum(axis=1, dtype=np.float64)
    cumulated = np.append(sums, weights[blocks * 256 :].sum(dtype=np.float64)).cumsum()
    goal = u * cumulated[-1]
    block = int(np.searchsorted(cumulated, goal, side="right"))
    start = block * 256
    before = float(cumulated[block - 1]) if block else 0.0
    inside = weights[start : start + 256].cumsum(dtype=np.float64)
    at = int(np.searchsorted(inside, goal - before, side="right"))
    return start + min(at, len(inside) - 1)


def _invert(weights: Logits, u: float) -> int:
    cumulated = weights.cumsum(dtype=np.float64)
    at = int(np.searchsorted(cumulated, u * cumulated[-1], side="right"))
    return min(at, len(weights) - 1)


def top_logprobs(row: Logits, token: int, count: int) -> tuple[float, list[tuple[int, float]]]:
    """Log-probability of ``token`` and of the ``count`` most likely, from raw logits."""
    top = float(row.max())
    total = top + math.log(float(np.exp(row - top, dtype=np.float32).sum(dtype=np.float64)))
    if not count:
        return float(row[token]) - total, []
    ids = _exactly_top(row, count)
    ids = ids[np.argsort(-row[ids], kind="stable")]
    return float(row[token]) - total, [(int(i), float(row[i]) - total) for i in ids]
