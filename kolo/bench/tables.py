"""The figures of a run as cells of text, which every report of it is laid out from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from kolo.bench.metrics import METRICS
from kolo.bench.result import EngineCell, Figure, Ratio, Row, Run
from kolo.bench.stats import MIN_ROUNDS, figure, least
from kolo.bench.summary import RATIOS

MISSING = "\N{EN DASH}"


class Column(Struct, frozen=True):
    title: str
    cells: tuple[str, ...]
    numbers: bool = True


class Grid(Struct, frozen=True):
    """A table."""

    columns: list[Column]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return list(zip(*(column.cells for column in self.columns), strict=True))


GAP = 2
"""Between two columns on a terminal."""


def fitted(grid: Grid, width: int) -> list[Grid]:
    """The table in parts that are no wider than ``width``, if that can be: each begins with the
    columns that are no numbers."""
    names = [column for column in grid.columns if not column.numbers]
    room = width - sum(_width(column) + GAP for column in names)
    parts: list[list[Column]] = [[]]
    left = room
    for column in grid.columns:
        if not column.numbers:
            continue
        needed = _width(column) + GAP * bool(parts[-1])
        if parts[-1] and needed > left:
            parts.append([])
            left, needed = room, _width(column)
        parts[-1].append(column)
        left -= needed
    return [grid] if len(parts) == 1 else [Grid(names + part) for part in parts]


def _width(column: Column) -> int:
    return max(len(cell) for cell in (column.title, *column.cells))


LATENCIES = (
    ("TTFT p50", "ttft", "p50"),
    ("TTFT p95", "ttft", "p95"),
    ("TTFT p99", "ttft", "p99"),
    ("ITL p50", "itl", "p50"),
    ("ITL p95", "itl", "p95"),
    ("gap p95", "gap", "p95"),
    ("stall", "stall", "p50"),
)
RATES = (
    ("tok/s user", "user_tok_s", "p50"),
    ("tok/s out", "tok_s", "p50"),
    ("tok/s in", "prompt_tok_s", "p50"),
)


class Section(Struct, frozen=True):
    """A table of one workload. The heading is empty where there is only one."""

    heading: str
    grid: Grid


def main_sections(run: Run) -> list[Section]:
    """Latencies in milliseconds and rates, a row for each cell."""
    return [Section(heading, _main_grid(run, rows)) for heading, rows in _by_workload(run)]


def ratio_sections(run: Run) -> list[Section]:
    """How the other targets compare with the first; nothing for one target."""
    found = [(heading, [row for row in rows if row.ratios]) for heading, rows in _by_workload(run)]
    return [Section(heading, _ratio_grid(rows)) for heading, rows in found if rows]


def _by_workload(run: Run) -> list[tuple[str, list[Row]]]:
    names = list(dict.fromkeys(row.workload for row in run.summary))
    return [
        (name if len(names) > 1 else "", [row for row in run.summary if row.workload == name])
        for name in names
    ]


def _names(rows: Sequence[Row], *, target: bool) -> list[Column]:
    """The columns that tell rows apart."""
    columns = [
        Column("TARGET", tuple(row.target for row in rows), numbers=False),
        Column("PART", tuple(row.group or "all" for row in rows), numbers=False),
    ]
    shown = [
        each for each in columns if len(set(each.cells)) > 1 or (target and each is columns[0])
    ]
    return [*shown, Column("LOAD", tuple(row.load for row in rows), numbers=False)]


def _main_grid(run: Run, rows: Sequence[Row]) -> Grid:
    columns = _names(rows, target=False)
    columns.append(Column("REQ", tuple(str(row.requests) for row in rows)))
    if any(row.errors for row in rows):
        columns.append(Column("ERR", tuple(str(sum(row.errors.values())) for row in rows)))
    for title, key, stat in (*LATENCIES, *RATES):
        cells = tuple(number(getattr(row.figures[key], stat)) for row in rows)
        columns.append(Column(title, cells))
    if run.goals:
        columns.append(Column("goodput/s", tuple(_goodput(row) for row in rows)))
        columns.append(Column("GOAL", tuple(_goal(row) for row in rows)))
    if any(row.engine_tok_s is not None for row in rows):
        columns.append(Column("engine", tuple(number(row.engine_tok_s) for row in rows)))
        columns.append(Column("overhead", tuple(_percent(row.overhead_percent) for row in rows)))
    return Grid(columns)


def _ratio_grid(rows: Sequence[Row]) -> Grid:
    columns = _names(rows, target=True)
    for key, stat in RATIOS:
        name = f"{key}.{stat}"
        if any(name in row.ratios for row in rows):
            metric = METRICS[key]
            title = metric.title if metric.per == "round" else f"{metric.title} {stat}"
            cells = tuple(ratio_text(row.ratios.get(name)) for row in rows)
            columns.append(Column(title, cells))
    return Grid(columns)


def engine_grid(run: Run) -> Grid | None:
    """The engine alone; None where it was not measured."""
    cells = run.engine
    if not cells:
        return None
    columns = [
        Column("ENGINE", tuple(cell.target for cell in cells), numbers=False),
        Column("TEST", tuple(_test(cell) for cell in cells), numbers=False),
        Column("WIDTH", tuple(str(cell.width) for cell in cells)),
        Column("DEPTH", tuple(str(cell.depth) for cell in cells)),
        Column("tok/s", tuple(_mean_and_std(cell) for cell in cells)),
    ]
    return Grid([each for each in columns if each.title != "ENGINE" or len(set(each.cells)) > 1])


def remarks(run: Run) -> list[str]:
    """What stands below the tables: targets, machine, what is missing and why."""
    parts = (
        *(_about_climb, _about_targets, _about_work, _about_host, _about_costs),
        *(_about_errors, _about_missing),
    )
    return [*(line for part in parts for line in part(run)), *run.notes]


def number(value: float | None) -> str:
    """Three significant digits, or all before the point."""
    if value is None:
        return MISSING
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def ratio_text(ratio: Ratio | None) -> str:
    """``1.21 [1.18, 1.25]``."""
    if ratio is None:
        return MISSING
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def size(n_bytes: float) -> str:
    """``812 kB``, ``41 MB``, ``4.1 GB``."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= limit:
            amount = n_bytes / limit
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{n_bytes:.0f} B"


def _goodput(row: Row) -> str:
    return number(row.figures.get("goodput", Figure(n=0)).p50)


def _goal(row: Row) -> str:
    return "met" if row.goals_met else "missed"


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.1f} %"


def _test(cell: EngineCell) -> str:
    if cell.kind == "prefill":
        return f"prefill {cell.prompt_tokens}"
    return f"decode {cell.output_tokens}"


def _mean_and_std(cell: EngineCell) -> str:
    found = figure(cell.tokens_per_s)
    spread = "" if found.std is None else f" ± {number(found.std)}"
    return f"{number(found.mean)}{spread}"


def _about_climb(run: Run) -> list[str]:
    """What was looked for by going from load to load."""
    lines = []
    for target in run.targets:
        for info in run.workloads:
            rows = [
                row for row in run.summary if (row.target, row.workload) == (target.name, info.name)
            ]
            who = f"{target.name}, {info.name}" if len(run.workloads) > 1 else target.name
            if run.goals and rows:
                loads = dict.fromkeys(row.load for row in rows)
                met = [
                    load for load in loads if all(row.goals_met for row in rows if row.load == load)
                ]
                held = f"held up to {met[-1]}" if met else "held at no load"
                lines.append(f"{who}: {', '.join(run.goals)} {held}")
            if run.sweep and rows:
                best = max(rows, key=lambda row: row.figures["tok_s"].p50 or 0.0)
                output = number(best.figures["tok_s"].p50)
                lines.append(f"{who}: the most output, {output} tok/s, was at {best.load}")
    return lines


def _about_targets(run: Run) -> list[str]:
    lines = []
    for target in run.targets:
        what = {"kolo": "a running server", "private": "a server of its own", "openai": ""}
        parts = [f"{target.model} at {target.url}"]
        parts += [text for text in (what[target.kind], target.build) if text]
        if target.slots:
            parts.append(f"{target.slots} slots")
        if target.n_ctx:
            parts.append(f"{target.n_ctx} tokens of context")
        if target.model_sha256:
            parts.append(f"sha256 {target.model_sha256[:12]}")
        lines.append(f"{target.name}: {', '.join(parts)}")
    return lines


def _about_work(run: Run) -> list[str]:
    lines = [f"{info.name}: {info.about}" for info in run.workloads]
    lines.append(
        f"{run.planned_rounds} round{'s' * (run.planned_rounds != 1)}"
        + (", targets taking turns" if len(run.targets) > 1 else "")
        + f", seed {run.seed}; times in ms, medians where no percentile is named"
    )
    return lines


def _about_host(run: Run) -> list[str]:
    host = run.host
    parts = [host.cpu, f"{host.usable_cpus} CPUs", size(host.memory_bytes)]
    parts += [gpu.name for gpu in host.gpus]
    if host.load_before is not None:
        parts.append(f"{host.load_before:.0%} busy before".replace("%", " %"))
    lines = [", ".join(parts)]
    if host.throttled:
        lines.append(f"the processor was throttled {host.throttled} times: it was too hot")
    if host.quota_throttled_s and host.quota_throttled_s > 0.05:
        lines.append(f"a processor quota held this process up for {host.quota_throttled_s:.1f} s")
    if host.steal and host.steal > 0.01:
        lines.append(f"the hypervisor took {host.steal:.1%} of the processors".replace("%", " %"))
    return lines


def _about_costs(run: Run) -> list[str]:
    lines = []
    for target in run.targets:
        rows = [row for row in run.summary if row.target == target.name]
        parts = []
        for key, words in (("memory_bytes", "memory"), ("device_bytes", "GPU memory")):
            peak = max((row.figures[key].max or 0 for row in rows), default=0)
            if peak:
                parts.append(f"{size(peak)} {words} at most")
        queues = [row.figures["queue"].p50 for row in rows if row.figures["queue"].n]
        if queues:
            parts.append(f"{number(max(each or 0.0 for each in queues))} ms in the queue at worst")
        energy = [row.figures["j_per_token"].p50 for row in rows if row.figures["j_per_token"].n]
        if energy:
            parts.append(f"{number(min(each for each in energy if each))} J/token at best")
        prompt, cached = _prompts(run, target.name)
        if prompt and cached / prompt >= 0.005:
            share = f"{cached / prompt:.0%}".replace("%", " %")
            parts.append(f"{prompt - cached} prompt tokens computed, {share} cached")
        if parts:
            lines.append(f"{target.name}: {', '.join(parts)}")
    return lines


def _prompts(run: Run, target: str) -> tuple[int, int]:
    samples = [
        sample
        for cell in run.cells
        if cell.target == target
        for round in cell.rounds
        for sample in round.samples
    ]
    cached = sum(sample.cached_tokens or 0 for sample in samples)
    return sum(sample.prompt_tokens or 0 for sample in samples), cached


def _about_errors(run: Run) -> list[str]:
    lines = []
    for cell in run.cells:
        failed = [s for round in cell.rounds for s in round.samples if s.error is not None]
        for (kind, detail), n in Counter((s.error, s.detail) for s in failed).most_common(3):
            lines.append(f"{cell.target}, {cell.load.name}: {n} x {kind}: {detail}")
    return lines


def _about_missing(run: Run) -> list[str]:
    """Why a percentile is not there."""
    lines = []
    fewest = min((row.figures["ttft"].n for row in run.summary), default=0)
    needed = [f"p{rank} needs {least(rank)}" for rank in (95, 99) if fewest < least(rank)]
    if needed and fewest:
        lines.append(
            f"{' and '.join(needed)} requests, the fewest here are {fewest}: more --rounds or -n"
        )
    if len(run.targets) > 1 and run.planned_rounds < MIN_ROUNDS:
        lines.append(f"intervals need {MIN_ROUNDS} rounds")
    return lines
