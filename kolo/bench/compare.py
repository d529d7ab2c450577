"""Two runs set against each other: what changed, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from kolo.bench.goals import Condition
from kolo.bench.metrics import METRICS, Better
from kolo.bench.result import Cell, Ratio, Run
from kolo.bench.stats import figure, ratio
from kolo.bench.summary import groups_of, values_by_round

SHOWN: tuple[tuple[str, str], ...] = (
    ("tok_s", "p50"),
    ("ttft", "p50"),
    ("ttft", "p95"),
    ("itl", "p50"),
    ("itl", "p95"),
    ("gap", "p95"),
    ("stall", "p50"),
    ("user_tok_s", "p50"),
    ("prompt_tok_s", "p50"),
    ("memory_bytes", "max"),
)
_RANKS: dict[str, float | None] = {
    "mean": None, "min": 0, "p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100
}  # fmt: skip


class Change(Struct, frozen=True, kw_only=True):
    """One figure in both runs."""

    target: str
    workload: str
    load: str
    group: str
    metric: str
    stat: str
    a: float | None
    b: float | None
    ratio: Ratio | None
    """B over A; its interval is of two independent runs."""

    @property
    def percent(self) -> float | None:
        return None if self.ratio is None else (self.ratio.value - 1) * 100

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the interval leaves no room for the other, else empty."""
        better: Better = METRICS[self.metric].better
        ratio = self.ratio
        if ratio is None or ratio.low is None or ratio.high is None or better == "neither":
            return ""
        if ratio.low <= 1 <= ratio.high:
            return ""
        return "better" if (ratio.low > 1) == (better == "higher") else "worse"


class Failure(Struct, frozen=True, kw_only=True):
    """A ``--fail-if`` that came true."""

    condition: str
    where: str
    found: str


class Comparison(Struct, kw_only=True):
    a: str
    b: str
    changes: list[Change]
    failures: list[Failure] = []
    remarks: list[str] = []
    """In what the two runs differ that they should not."""


def compare(
    a: Run, b: Run, names: tuple[str, str], conditions: Sequence[Condition] = ()
) -> Comparison:
    """Every figure of the cells that both runs have. The targets are matched by name, or, where
    each run has one, with each other."""
    found = Comparison(a=names[0], b=names[1], changes=[], remarks=differences(a, b))
    guarded = [(one.metric, one.stat) for one in conditions]
    wanted = dict.fromkeys([*SHOWN, *guarded])
    pairs = list(_pairs(a, b))
    for one, other in pairs:
        for group in groups_of(other):
            for metric, stat in wanted:
                change = _change(one, other, group, metric, stat, seed=b.seed)
                known = change.a is not None or change.b is not None
                if known or (metric, stat) in guarded:
                    found.changes.append(change)
    found.failures = [
        failure for condition in conditions for failure in _failures(condition, found.changes)
    ]
    if not pairs:
        found.remarks.append("the runs have no workload and load in common")
    return found


def differences(a: Run, b: Run) -> list[str]:
    """Why the runs may not be comparable."""
    lines = []
    facts = {
        "machine": [f"{run.host.cpu}, {run.host.usable_cpus} CPUs" for run in (a, b)],
        "GPUs": [", ".join(gpu.name for gpu in run.host.gpus) for run in (a, b)],
        "model": [_models(run) for run in (a, b)],
        "Kolo": [run.kolo for run in (a, b)],
        "server": [", ".join(target.build for target in run.targets) for run in (a, b)],
        "slots": [", ".join(str(target.slots) for target in run.targets) for run in (a, b)],
        "caching": ["on" if run.cached else "defeated" for run in (a, b)],
        "fields of requests": [str(run.body) for run in (a, b)],
    }
    for what, (one, other) in facts.items():
        if one != other:
            lines.append(f"{what}: {one or 'none'} in A, {other or 'none'} in B")
    for name, run in (("A", a), ("B", b)):
        if run.partial:
            lines.append(f"{name} was stopped before its end")
    return lines


def _models(run: Run) -> str:
    return ", ".join(f"{target.model} {target.model_sha256[:12]}".strip() for target in run.targets)


def _pairs(a: Run, b: Run) -> Iterator[tuple[Cell, Cell]]:
    alone = len(a.targets) == len(b.targets) == 1
    for other in b.cells:
        for one in a.cells:
            same_target = alone or one.target == other.target
            if same_target and (one.workload, one.load) == (other.workload, other.load):
                yield one, other


def _change(a: Cell, b: Cell, group: str, metric: str, stat: str, *, seed: int) -> Change:
    values = [values_by_round(cell, metric, group) for cell in (a, b)]
    figures = [figure([v for each in rounds for v in each]) for rounds in values]
    one, other = (getattr(each, stat) for each in figures)
    found = None
    if one is not None and other is not None:
        found = ratio(values[1], values[0], rank=_RANKS[stat], paired=False, seed=seed)
    return Change(
        target=b.target,
        workload=b.workload,
        load=b.load.name,
        group=group,
        metric=metric,
        stat=stat,
        a=one,
        b=other,
        ratio=found,
    )


def _failures(condition: Condition, changes: Sequence[Change]) -> Iterator[Failure]:
    """Where a condition holds; a figure that is not there fails it too, since it was to be
    guarded and is not."""
    guarded = [c for c in changes if (c.metric, c.stat) == (condition.metric, condition.stat)]
    if not guarded:
        yield Failure(condition=condition.text, where="", found="nothing to compare")
    for change in guarded:
        where = " ".join(
            part for part in (change.target, change.workload, change.group, change.load) if part
        )
        value = change.percent if condition.change else change.b
        if value is None:
            yield Failure(
                condition=condition.text, where=where, found="not told, or by too few samples"
            )
        elif condition.holds(value):
            unit = " %" if condition.change else f" {METRICS[condition.metric].unit}"
            sign = "+" if condition.change else ""
            yield Failure(condition=condition.text, where=where, found=f"{value:{sign}.1f}{unit}")
