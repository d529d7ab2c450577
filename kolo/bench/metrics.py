"""What is measured, with its formula: the one table that every report goes by."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Literal, NamedTuple

from kolo.bench.result import Round, Sample

Better = Literal["lower", "higher", "neither"]


class Metric(NamedTuple):
    """Values of a round. A metric per request has one for each that was answered."""

    key: str
    title: str
    unit: str
    better: Better
    per: Literal["request", "gap", "round"]
    formula: str
    values: Callable[[Round, list[Sample]], list[float]]
    """Of the samples that were answered, or those of one group."""


def _each(pick: Callable[[Sample], float | None]) -> Callable[[Round, list[Sample]], list[float]]:
    def values(round: Round, samples: list[Sample]) -> list[float]:
        found = (pick(sample) for sample in samples)
        return [value for value in found if value is not None]

    return values


def _itl(sample: Sample) -> float | None:
    if sample.ttft_ms is None or sample.e2e_ms is None or sample.output_tokens < 2:
        return None
    if not sample.gaps_ms:  # all came in one read: what is between tokens cannot be seen
        return None
    return (sample.e2e_ms - sample.ttft_ms) / (sample.output_tokens - 1)


def _user_rate(sample: Sample) -> float | None:
    itl = _itl(sample)
    return 1000 / itl if itl else None


def _prompt_rate(sample: Sample) -> float | None:
    computed = _computed(sample)
    return computed / sample.ttft_ms * 1000 if computed is not None and sample.ttft_ms else None


def _computed(sample: Sample) -> float | None:
    if sample.prompt_tokens is None:
        return None
    return sample.prompt_tokens - (sample.cached_tokens or 0)


def _per_read(sample: Sample) -> float | None:
    return sample.output_tokens / (len(sample.gaps_ms) + 1) if sample.ttft_ms else None


def _gaps(round: Round, samples: list[Sample]) -> list[float]:
    return [gap for sample in samples for gap in sample.gaps_ms]


def _rate(pick: Callable[[Sample], int]) -> Callable[[Round, list[Sample]], list[float]]:
    def values(round: Round, samples: list[Sample]) -> list[float]:
        if not round.elapsed_s or not round.samples:
            return []
        return [sum(map(pick, samples)) / round.elapsed_s]

    return values


def _energy(round: Round, samples: list[Sample]) -> list[float]:
    tokens = sum(sample.output_tokens for sample in round.samples)
    return [] if round.energy_j is None or not tokens else [round.energy_j / tokens]


def _optional(value: float | None) -> list[float]:
    return [] if value is None else [value]


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "ttft", "TTFT", "ms", "lower", "request",
            "first read that brings text - request handed to the system",
            _each(lambda sample: sample.ttft_ms),
        ),
        Metric(
            "itl", "ITL", "ms", "lower", "request",
            "(E2E - TTFT) / (output tokens - 1); others call it TPOT; none for an answer in one "
            "read",
            _each(_itl),
        ),
        Metric(
            "gap", "gap", "ms", "lower", "gap",
            "between two reads that bring text, of all requests together; pieces that come in "
            "one read count as one (others call this, by piece, ITL)",
            _gaps,
        ),
        Metric(
            "stall", "stall", "ms", "lower", "round",
            "the longest gap of a round",
            lambda round, samples: sorted(_gaps(round, samples))[-1:],
        ),
        Metric(
            "e2e", "E2E", "ms", "lower", "request",
            "read with the last piece - request handed to the system",
            _each(lambda sample: sample.e2e_ms),
        ),
        Metric(
            "queue", "queue", "ms", "lower", "request",
            "submit to the start of prefill, as the server tells (timings.queue_ms)",
            _each(lambda sample: sample.queue_ms),
        ),
        Metric(
            "prefill", "prefill", "ms", "lower", "request",
            "start of prefill to the first token, as the server tells (timings.prompt_ms)",
            _each(lambda sample: sample.prefill_ms),
        ),
        Metric(
            "user_tok_s", "tok/s user", "tok/s", "higher", "request",
            "1000 / ITL: how fast one user sees text grow",
            _each(_user_rate),
        ),
        Metric(
            "tok_s", "tok/s out", "tok/s", "higher", "round",
            "output tokens of all requests / (first request sent to last one ended)",
            _rate(lambda sample: sample.output_tokens),
        ),
        Metric(
            "total_tok_s", "tok/s all", "tok/s", "higher", "round",
            "as tok/s out, prompt tokens counted too (cached ones included)",
            _rate(lambda sample: sample.output_tokens + (sample.prompt_tokens or 0)),
        ),
        Metric(
            "prompt_tok_s", "tok/s in", "tok/s", "higher", "request",
            "(prompt tokens - cached) / TTFT: prefill as a user sees it, waiting included",
            _each(_prompt_rate),
        ),
        Metric(
            "req_s", "req/s", "/s", "higher", "round",
            "answered requests / (first request sent to last one ended)",
            _rate(lambda sample: 1),
        ),
        Metric(
            "prompt_tokens", "prompt tokens", "tokens", "neither", "request",
            "as the server counts (usage.prompt_tokens)",
            _each(lambda sample: sample.prompt_tokens),
        ),
        Metric(
            "cached_tokens", "cached tokens", "tokens", "neither", "request",
            "of the prompt, not computed again (usage.prompt_tokens_details.cached_tokens)",
            _each(lambda sample: sample.cached_tokens),
        ),
        Metric(
            "computed_tokens", "computed tokens", "tokens", "lower", "request",
            "prompt tokens - cached tokens",
            _each(_computed),
        ),
        Metric(
            "output_tokens", "output tokens", "tokens", "neither", "request",
            "as the server counts (usage.completion_tokens); pieces, if it does not",
            _each(lambda sample: sample.output_tokens),
        ),
        Metric(
            "per_read", "tokens/read", "tokens", "neither", "request",
            "output tokens / reads that brought text: how bunched they come",
            _each(_per_read),
        ),
        Metric(
            "late", "late", "ms", "lower", "request",
            "sent - due, for loads with a rate; large values mean the client could not keep up",
            _each(lambda sample: sample.late_ms),
        ),
        Metric(
            "memory_bytes", "memory", "bytes", "lower", "round",
            "highest resident memory of the server's processes seen in the round (every 0.5 s)",
            lambda round, samples: _optional(round.memory_bytes),
        ),
        Metric(
            "device_bytes", "GPU memory", "bytes", "lower", "round",
            "highest memory in use on all GPUs seen in the round (every 0.5 s)",
            lambda round, samples: _optional(round.device_bytes),
        ),
        Metric(
            "j_per_token", "J/token", "J", "lower", "round",
            "energy that all GPUs took in the round / output tokens",
            _energy,
        ),
    )
}  # fmt: skip

GOODPUT = "goodput"
GOODPUT_FORMULA = (
    "requests that keep every --goal by themselves / (first request sent to last one ended); "
    "a goal's percentile does not matter here"
)
STATS: dict[str, str] = {
    "mean": "mean",
    "min": "min",
    "p50": "p50",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "max": "max",
}


def answered(samples: list[Sample], group: str | None = None) -> list[Sample]:
    """The samples that are no errors, of one group or of all."""
    return [
        sample
        for sample in samples
        if sample.error is None and (group is None or sample.group == group)
    ]


_GENERAL = {
    "percentiles": "interpolated between neighbours; the p-th is given from 100/(100-p) samples "
    "on: p90 from 10, p95 from 20, p99 from 100",
    "ratio": "of the same figure over all rounds, to the first target; in brackets the 95 % "
    "interval of a bootstrap over rounds and the samples in them, from 5 rounds on",
    "engine": "output tok/s of the engine alone for the same work: width * output / (width * "
    "prompt / prefill rate + width * output / decode rate)",
    "overhead": "engine / tok/s out - 1: how much faster the engine is than the path above it",
}


def formulas() -> str:
    """Every metric and how it is computed, for people."""
    lines = []
    for metric in METRICS.values():
        unit = "" if metric.unit in ("tokens", "bytes") else f" ({metric.unit})"
        lines += [f"{metric.key}: {metric.title}{unit}", _set_in(metric.formula)]
    lines += [f"{GOODPUT}: goodput (/s)", _set_in(GOODPUT_FORMULA)]
    for name, text in _GENERAL.items():
        lines += [name, _set_in(text)]
    return "\n".join(lines)


def _set_in(text: str) -> str:
    return textwrap.fill(text, 84, initial_indent="    ", subsequent_indent="    ")
