"""From a row of logits to one token.

llama.cpp's sampler chain does the sampling, but never on the full vocabulary where that can be
avoided: sorting 150,000 candidates costs milliseconds a token. So a plan is made once per
request from its parameters, splitting the chain in two:

- what touches few tokens (biases, penalties) is done on the row itself;
- the first truncating sampler (top_k, top_p, min_p, top_n_sigma) is turned into a bound that
  numpy finds in one pass, exact: it contains every token the sampler would have kept;
- the rest runs in llama.cpp's chain on those few candidates. A plain draw at a temperature,
  with nothing that truncates, is done here by inverse transform on the whole row.

A constraint is asked last, about the one token drawn; only when it refuses is the whole row
masked and the draw repeated. That leaves the distribution as if the mask had come first.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from kolo.engine.backend import Chain, Logits, TokenIds
from kolo.errors import BadParameter
from kolo.types import SAMPLER_NAMES, Sampling

_DEFAULTS: dict[str, float] = {
    "temperature": 0.8,
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "dry_multiplier": 0.0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": -1,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "min_keep": 0,
}
"""llama.cpp's own (``common_params_sampling``), used where neither request nor model says."""

_BREAKERS = ("\n", ":", '"', "*")

Steps = tuple[tuple[str, tuple[float, ...]], ...]
Bias = tuple[TokenIds, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Bound:
    """The first truncating sampler, as a condition on the row."""

    kind: str
    value: float
    temperature: float = 1.0
    min_keep: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request samples. ``steps`` is what remains for llama.cpp's chain."""

    greedy: bool
    steps: Steps
    seed: int
    bound: Bound | None = None
    draw_temperature: float | None = None
    """Set when all that remains is a draw at this temperature."""
    penalties: tuple[int, float, float, float] | None = None
    """last_n, repeat, frequency, presence; applied on the row, before everything else."""
    dry: bool = False
    breakers: tuple[str, ...] = _BREAKERS

    @property
    def plain(self) -> bool:
        """Nothing but the arg max of the row is needed."""
        return self.greedy and not self.steps and self.penalties is None


def make_plan(sampling: Sampling, model: Sampling, seed: int) -> Plan:
    """Resolve ``sampling`` over the model's defaults over llama.cpp's.

    Raises BadParameter for an unknown or repeated sampler name.
    """

    def value(name: str) -> float:
        for source in (getattr(sampling, name), getattr(model, name)):
            if source is not None:
                return cast("float", source)
        return _DEFAULTS[name]

    order = sampling.samplers or model.samplers or list(SAMPLER_NAMES)
    _check_order(order)
    steps = [step for name in order if (step := _step(name, value)) is not None]
    breakers = sampling.dry_sequence_breakers or model.dry_sequence_breakers or _BREAKERS
    penalties = None
    if steps and steps[0][0] == "penalties":
        last_n, repeat, frequency, presence = steps.pop(0)[1]
        penalties = (int(last_n), repeat, frequency, presence)
    dry = any(name == "dry" for name, _ in steps)
    if value("temperature") <= 0:
        kept = tuple(step for step in steps if step[0] in ("penalties", "dry"))
        return Plan(True, kept, seed, penalties=penalties, dry=dry, breakers=tuple(breakers))
    if value("mirostat"):
        kept = tuple(s for s in steps if s[0] in ("penalties", "dry", "temperature"))
        name = "mirostat" if value("mirostat") == 1 else "mirostat_v2"
        draw = (name, (value("mirostat_tau"), value("mirostat_eta")))
        return Plan(
            False, (*kept, draw), seed, penalties=penalties, dry=dry, breakers=tuple(breakers)
        )
    bound, rest = _split(steps, int(value("min_keep")))
    only_draw = all(name == "temperature" and args[1] == 0 for name, args in rest)
    temperature = math.prod(args[0] for _, args in rest) if only_draw else None
    return Plan(
        False,
        (*rest, ("dist", ())),
        seed,
        bound,
        temperature,
        penalties,
        dry,
        tuple(breakers),
    )


def _check_order(order: list[str]) -> None:
    for name in order:
        if name not in SAMPLER_NAMES:
            raise BadParameter(
                f"unknown sampler {name!r}",
                hint=f"samplers may be: {', '.join(SAMPLER_NAMES)}",
                param="samplers",
            )
    if len(set(order)) < len(order):
        raise BadParameter(
            "a sampler is named twice", hint="name each sampler once", param="samplers"
        )


def _step(name: str, value: object) -> tuple[str, tuple[float, ...]] | None:
    """One sampler of the chain, or None where its parameters make it do nothing."""
    of = cast("_Value", value)
    keep = of("min_keep")
    match name:
        case "penalties":
            args = (of("repeat_last_n"), of("repeat_penalty"))
            args = (*args, of("frequency_penalty"), of("presence_penalty"))
            idle = args[0] == 0 or args[1:] == (1.0, 0.0, 0.0)
        case "dry":
            args = (of("dry_multiplier"), of("dry_base"))
            args = (*args, of("dry_allowed_length"), of("dry_penalty_last_n"))
            idle = args[0] == 0 or args[3] == 0
        case "xtc":
            args = (of("xtc_probability"), of("xtc_threshold"), keep)
            idle = args[0] == 0 or args[1] > 0.5
        case "temperature":
            args = (of("temperature"), of("dynatemp_range"), of("dynatemp_exponent"))
            idle = False
        case "top_k":
            args = (of("top_k"),)
            idle = args[0] <= 0
        case "top_n_sigma":
            args = (of("top_n_sigma"),)
            idle = args[0] <= 0
        case "min_p":
            args = (of("min_p"), keep)
            idle = args[0] <= 0
        case _:
            args = (of(name), keep)
            idle = args[0] >= 1
    return None if idle else (name, args)


class _Value:
    def __call__(self, name: str) -> float: ...


def _split(steps: list[tuple[str, tuple[float, ...]]], min_keep: int) -> tuple[Bound | None, Steps]:
    """Turn the first truncating sampler into a bound.

    Only samplers that keep the order of the candidates may stand before it. top_k stays in
    the chain, which trims ties; the others are finished by their bound.
    """
    temperature = 1.0
    for at, (name, args) in enumerate(steps):
        if name == "dry":
            continue
        if name == "temperature" and args[1] == 0:
            temperature *= args[0]
        elif name == "top_k":
            return Bound("top_k", max(args[0], min_keep)), tuple(steps)
        elif name in ("top_p", "min_p", "top_n_sigma") and not _dry_before(steps, at):
            bound = Bound(name, args[0], temperature, min_keep)
            return bound, tuple(steps[:at] + steps[at + 1 :])
        else:
            break
    return None, tuple(steps)


def _dry_before(steps: list[tuple[str, tuple[float, ...]]], at: int) -> bool:
    return any(name == "dry" for name, _ in steps[:at])


# On a row ---------------------------------------------------------------------------------


def bounded(row: Logits, bound: Bound, margin: int) -> TokenIds:
    """Ids of the tokens that ``bound`` may keep, ascending.

    ``margin``: how many tokens a later step may push down, so that many more are kept.
    """
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
        ids = _exactly_top(row, bound.min_keep)
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


def _nucleus(row: Logits, top_p: float, temperature: float) -> npt.NDArray[np.intp]:
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


@dataclass(slots=True)
class Penalties:
    """Repeat, frequency and presence penalties, as llama.cpp's ``penalties`` sampler: each
    token seen in the last ``last_n`` is pushed by its count there."""

    last_n: int
    repeat: float
    frequency: float
    presence: float
    _window: deque[int] = field(default_factory=deque)
    _counts: dict[int, int] = field(default_factory=dict)

    def accept(self, token: int) -> None:
        self._window.append(token)
        self._counts[token] = self._counts.get(token, 0) + 1
        if 0 <= self.last_n < len(self._window):
            oldest = self._window.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]

    def apply(self, row: Logits) -> None:
        if not self._counts:
            return
        ids = np.fromiter(self._counts.keys(), dtype=np.int32, count=len(self._counts))
        counts = np.fromiter(self._counts.values(), dtype=np.float32, count=len(self._counts))
        values = row[ids]
        if self.repeat != 1.0:
            values = np.where(values <= 0, values * self.repeat, values / self.repeat)
        row[ids] = values - counts * np.float32(self.frequency) - np.float32(self.presence)


class Sampler:
    """The sampling state of one choice."""

    def __init__(self, plan: Plan, chain: Chain | None, bias: Bias | None, seed: int) -> None:
        self.plan = plan
        self._chain = chain
        self._bias = bias
        self._rng = random.Random(seed)
        self._penalties = Penalties(*plan.penalties) if plan.penalties else None
        self._history: set[int] = set()
        self._track = plan.dry and plan.bound is not None
        self.plain = plan.plain and bias is None
        self._banned: frozenset[int] = frozenset()
        if plan.plain and bias is not None and np.all(bias[1] == -np.inf):
            # Only bans and a greedy draw: look at the winner instead of writing to the row.
            self._banned = frozenset(bias[0].tolist())

    def prime(self, prompt: array[int]) -> None:
        """Penalties count the prompt too, as llama.cpp's do."""
        window = prompt
        if self._penalties and self._penalties.last_n > 0:
            window = prompt[-self._penalties.last_n :]
        if self._penalties:
            for token in window:
                self._penalties.accept(token)
        if self._chain is not None and any(s in ("penalties", "dry") for s, _ in self.plan.steps):
            for token in prompt:
                self._chain.accept(token)
        if self._track:
            self._history.update(prompt)

    def prepare(self, row: Logits) -> None:
        """Apply to the row, once, what precedes any drawing."""
        if self._banned:
            return
        if self._bias is not None:
            row[self._bias[0]] += self._bias[1]
        if self._penalties is not None:
            self._penalties.apply(row)

    def pick(self, row: Logits) -> int:
        """Draw from a prepared row. May be called again after masking the row."""
        plan = self.plan
        if plan.greedy and self._chain is None:
            token = int(row.argmax())
            if token in self._banned:
                assert self._bias is not None
                row[self._bias[0]] = -np.inf
                token = int(row.argmax())
            return token
        if plan.bound is None:
            if plan.draw_temperature is not None:
                return draw(row, plan.draw_temperature, self._rng.random())
            ids = np.flatnonzero(row > -np.inf).astype(np.int32)
        else:
            ids = bounded(row, plan.bound, len(self._history))
        if len(ids) == 1:
            return int(ids[0])
        if plan.draw_temperature is not None:
            return int(ids[draw(row[ids], plan.draw_temperature, self._rng.random())])
        assert self._chain is not None
        return self._chain.pick(ids, row[ids])

    def accept(self, token: int) -> None:
        if self._penalties is not None:
            self._penalties.accept(token)
        if self._chain is not None:
            self._chain.accept(token)
        if self._track:
            self._history.add(token)

    def close(self) -> None:
        if self._chain is not None:
            self._chain.close()
            self._chain = None


def needs_chain(plan: Plan) -> bool:
    """Whether llama.cpp's chain is needed at all for this plan."""
    if plan.greedy:
        return bool(plan.steps)
    return plan.draw_temperature is None


def top_logprobs(
    row: Logits, token: int, count: int
) -> tuple[float, list[tuple[int, float]]]:
    """Log-probability of ``token`` and of the ``count`` most likely, from raw logits."""
    top = float(row.max())
    total = top + math.log(float(np.exp(row - top, dtype=np.float32).sum(dtype=np.float64)))
    if not count:
        return float(row[token]) - total, []
    ids = _exactly_top(row, count)
    ids = ids[np.argsort(-row[ids], kind="stable")]
    return float(row[token]) - total, [(int(i), float(row[i]) - total) for i in ids]
