"""The sums of a run, made from its samples alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kolo.bench.goals import Condition, kept, parse_goal
from kolo.bench.metrics import GOODPUT, METRICS, answered
from kolo.bench.result import Cell, EngineCell, Figure, Row, Run, Sample
from kolo.bench.stats import figure, least, ratio

RATIOS = (
    ("ttft", "p50"),
    ("ttft", "p95"),
    ("itl", "p50"),
    ("gap", "p95"),
    ("stall", "p50"),
    ("tok_s", "p50"),
)
"""What several targets are compared by."""
_RANKS = {"p50": 50.0, "p95": 95.0}


def summarize(run: Run) -> list[Row]:
    """A row for each cell, or for each group of a cell that has groups, in the run's order; with
    ratios to the first target where there are several."""
    goals = [parse_goal(text) for text in run.goals]
    rows = [row for cell in run.cells for row in rows_of(cell, goals)]
    _add_ratios(run, rows)
    _add_engine(run, rows)
    return rows


def rows_of(cell: Cell, goals: Sequence[Condition]) -> list[Row]:
    """One row for each group of the cell's requests."""
    return [_row(cell, group, goals) for group in groups_of(cell)]


def groups_of(cell: Cell) -> list[str]:
    """The groups of the cell's requests; one empty name where there are none."""
    found = {sample.group for round in cell.rounds for sample in round.samples}
    return sorted(found) or [""]


def values_by_round(cell: Cell, key: str, group: str) -> list[list[float]]:
    """The values of a metric, one list for each round."""
    metric = METRICS[key]
    return [metric.values(round, answered(round.samples, group)) for round in cell.rounds]


def goals_of(row: Row, goals: Sequence[Condition]) -> bool:
    """Whether the row meets all goals. One that cannot be told is not met."""
    for goal in goals:
        value = goal.of(row.figures[goal.metric])
        if value is None or not goal.holds(value):
            return False
    return True


def _row(cell: Cell, group: str, goals: Sequence[Condition]) -> Row:
    samples = [s for round in cell.rounds for s in round.samples if s.group == group]
    figures = {
        key: figure([value for values in values_by_round(cell, key, group) for value in values])
        for key in METRICS
    }
    row = Row(
        target=cell.target,
        workload=cell.workload,
        load=cell.load.name,
        concurrency=cell.load.concurrency,
        rate=cell.load.rate,
        group=group,
        requests=sum(sample.error is None for sample in samples),
        errors=dict(Counter(sample.error for sample in samples if sample.error is not None)),
        figures=figures,
    )
    if goals:
        row.figures[GOODPUT] = _goodput(cell, group, goals)
        row.goals_met = goals_of(row, goals)
    return row


def _goodput(cell: Cell, group: str, goals: Sequence[Condition]) -> Figure:
    rates = []
    for round in cell.rounds:
        good: list[Sample] = [
            sample for sample in answered(round.samples, group) if kept(list(goals), sample)
        ]
        if round.elapsed_s:
            rates.append(len(good) / round.elapsed_s)
    return figure(rates)


def _add_ratios(run: Run, rows: list[Row]) -> None:
    """Ratios to the first target, under the same workload, load and group."""
    if len(run.targets) < 2:
        return
    first = run.targets[0].name
    cells = {(cell.target, cell.workload, cell.load.name): cell for cell in run.cells}
    for row in rows:
        base = cells.get((first, row.workload, row.load))
        if row.target == first or base is None:
            continue
        cell = cells[row.target, row.workload, row.load]
        for key, stat in RATIOS:
            rounds = [values_by_round(each, key, row.group) for each in (cell, base)]
            if min(sum(map(len, each)) for each in rounds) < least(_RANKS[stat]):
                continue
            found = ratio(*rounds, rank=_RANKS[stat], paired=True, seed=run.seed)
            if found is not None:
                row.ratios[f"{key}.{stat}"] = found


def _add_engine(run: Run, rows: list[Row]) -> None:
    """What the engine alone would do with a row's work, and what the path above it costs."""
    infos = {info.name: info for info in run.workloads}
    for row in rows:
        info = infos.get(row.workload)
        if info is None or info.kind != "fixed" or row.concurrency is None:
            continue
        ideal = engine_rate(
            [cell for cell in run.engine if cell.target == row.target],
            row.concurrency,
            info.prompt_tokens or 0,
            info.output_tokens or 0,
        )
        measured = row.figures["tok_s"].p50
        if ideal is not None and measured:
            row.engine_tok_s = ideal
            row.overhead_percent = (ideal / measured - 1) * 100


def engine_rate(
    cells: Sequence[EngineCell], width: int, prompt_tokens: int, output_tokens: int
) -> float | None:
    """Output tokens per second of the engine alone, for ``width`` requests side by side: their
    prompts read, then their answers grown. None where it was not measured."""
    prefill = _median(cells, "prefill", width, prompt_tokens=prompt_tokens)
    decode = _median(cells, "decode", width, output_tokens=output_tokens)
    if not prefill or not decode:
        return None
    output = width * output_tokens
    return output / (width * prompt_tokens / prefill + output / decode)


def _median(cells: Sequence[EngineCell], kind: str, width: int, **sizes: int) -> float | None:
    for cell in cells:
        same = all(getattr(cell, name) == value for name, value in sizes.items())
        if cell.kind == kind and cell.width == width and same:
            return figure(cell.tokens_per_s).p50
    return None
