"""Conditions on metrics as people write them: ``ttft.p95<500ms``, ``tok_s<-5%``."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from kolo.bench.metrics import METRICS, STATS, Metric
from kolo.bench.result import Figure, Round, Sample
from kolo.errors import UsageError

_CONDITION = re.compile(
    r"\s*(?P<key>[a-z0-9_]+)(?:\.(?P<stat>[a-z0-9]+))?\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<sign>[+-]?)(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|[A-Za-z/]*)\s*"
)
_SCALE = {
    "ms": {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001},
    "tok/s": {"": 1.0, "tok/s": 1.0},
    "/s": {"": 1.0, "/s": 1.0},
    "J": {"": 1.0, "J": 1.0},
    "tokens": {"": 1.0, "tokens": 1.0},
    "bytes": {"": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": 2**30},
}


class Condition(Struct, frozen=True):
    """``change`` is True for one on a change in percent, which ``value`` then is."""

    text: str
    metric: str
    stat: str
    op: Literal["<", "<=", ">", ">="]
    value: float
    change: bool

    def holds(self, value: float) -> bool:
        match self.op:
            case "<":
                return value < self.value
            case "<=":
                return value <= self.value
            case ">":
                return value > self.value
        return value >= self.value

    def of(self, figure: Figure) -> float | None:
        """The number of a figure that the condition is on."""
        found: float | None = getattr(figure, self.stat)
        return found


def parse_goal(text: str) -> Condition:
    """A condition that has to hold, such as ``ttft.p95<500ms``. UsageError if it is none."""
    goal = _parse(text, "--goal")
    if goal.change:
        raise UsageError(f"--goal {text!r}: a goal is a value, not a change", hint="ttft.p95<500ms")
    return goal


def parse_fail_if(text: str) -> Condition:
    """A condition that must not hold, such as ``ttft.p95>+10%`` (B over A) or ``itl>20ms`` (B
    alone). UsageError if it is none."""
    return _parse(text, "--fail-if")


def kept(goals: list[Condition], sample: Sample) -> bool:
    """Whether one request keeps all goals that a single request can keep."""
    for goal in goals:
        metric = METRICS[goal.metric]
        if metric.per == "round":
            continue
        values = metric.values(Round(index=0), [sample])
        if not values or not all(goal.holds(value) for value in values):
            return False
    return True


def _parse(text: str, option: str) -> Condition:
    example = "ttft.p95<500ms" if option == "--goal" else "'ttft.p95>+10%'"
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} {text!r} is no condition", hint=example)
    metric = METRICS.get(match["key"])
    if metric is None:
        keys = ", ".join(METRICS)
        raise UsageError(f"{option} {text!r}: no metric {match['key']!r}", hint=f"one of: {keys}")
    stat = match["stat"] or "p50"
    if stat not in STATS:
        raise UsageError(
            f"{option} {text!r}: no statistic {stat!r}", hint=f"one of: {', '.join(STATS)}"
        )
    number = float(match["sign"] + match["number"])
    change = match["unit"] == "%"
    return Condition(
        text=text.strip(),
        metric=metric.key,
        stat=stat,
        op=match["op"],  # type: ignore[arg-type]
        value=number if change else number * _scale(metric, match["unit"], option, text),
        change=change,
    )


def _scale(metric: Metric, unit: str, option: str, text: str) -> float:
    known = _SCALE[metric.unit]
    if unit not in known:
        units = " or ".join(each for each in known if each)
        raise UsageError(
            f"{option} {text!r}: {metric.key} is not in {unit}", hint=f"{units}, or a change in %"
        )
    return known[unit]
