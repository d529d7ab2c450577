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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from kolo.engine.backend import Chain, Logits, TokenIds
from kolo.engine.candidates import Bound, bounded, draw, draw_nucleus
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

_PARAMETERS = {
    "penalties": ("repeat_last_n", "repeat_penalty", "frequency_penalty", "presence_penalty"),
    "dry": ("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"),
    "xtc": ("xtc_probability", "xtc_threshold", "min_keep"),
    "temperature": ("temperature", "dynatemp_range", "dynatemp_exponent"),
    "top_k": ("top_k",),
    "top_n_sigma": ("top_n_sigma",),
    "min_p": ("min_p", "min_keep"),
    "top_p": ("top_p", "min_keep"),
    "typical_p": ("typical_p", "min_keep"),
}
"""What each sampler of llama.cpp takes, in the order of its ``llama_sampler_init_*``."""

_BREAKERS = ("\n", ":", '"', "*")

Steps = tuple[tuple[str, tuple[float, ...]], ...]
Bias = tuple[TokenIds, npt.NDArray[np.float32]]


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
    def draws_nucleus(self) -> bool:
        """All that remains is a draw from what ``top_p`` keeps."""
        bound = self.bound
        nucleus = bound is not None and bound.kind == "top_p" and bound.min_keep <= 1
        return nucleus and self.draw_temperature is not None

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


def in_force(defaults: Sampling) -> Sampling:
    """What holds for a request that sets nothing: ``defaults``, and llama.cpp's own beneath."""
    given = {
        name: value
        for name in Sampling.__struct_fields__
        if (value := getattr(defaults, name)) is not None
    }
    own = {"samplers": list(SAMPLER_NAMES), "dry_sequence_breakers": list(_BREAKERS), "seed": -1}
    return Sampling(**{**_DEFAULTS, **own, **given})


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


def _step(name: str, of: Callable[[str], float]) -> tuple[str, tuple[float, ...]] | None:
    """One sampler of the chain, or None where its parameters make it do nothing."""
    args = tuple(of(parameter) for parameter in _PARAMETERS[name])
    match name:
        case "penalties":
            idle = args[0] == 0 or args[1:] == (1.0, 0.0, 0.0)
        case "dry":
            idle = args[0] == 0 or args[3] == 0
        case "xtc":
            idle = args[0] == 0 or args[1] > 0.5
        case "top_p" | "typical_p":
            idle = args[0] >= 1
        case "temperature":
            idle = False
        case _:
            idle = args[0] <= 0
    return None if idle else (name, args)


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
            if plan.draws_nucleus:
                assert plan.draw_temperature is not None
                drawn = draw_nucleus(row, plan.bound, plan.draw_temperature, self._rng.random)
                if drawn is not None:
                    return drawn
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
