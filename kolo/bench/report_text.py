"""A run as Markdown, CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import msgspec
from msgspec.structs import asdict

from kolo.bench.metrics import METRICS
from kolo.bench.result import Figure, Run, Sample
from kolo.bench.tables import Grid, Section, engine_grid, main_sections, ratio_sections, remarks

STATS = ("n", "mean", "std", "min", "p50", "p90", "p95", "p99", "max")


class SampleLine(Sample, frozen=True, omit_defaults=True, kw_only=True):
    """One request of a run, and where it belongs."""

    target: str
    workload: str
    load: str
    round: int


def markdown(run: Run) -> str:
    """Tables and remarks, to be pasted where people read them."""
    parts = list(_markdown_sections(main_sections(run)))
    ratios = ratio_sections(run)
    if ratios:
        parts.append(f"Over {run.targets[0].name}, ratios with 95 % intervals:")
        parts += _markdown_sections(ratios)
    engine = engine_grid(run)
    if engine is not None:
        parts.append(_markdown_table(engine))
    notes = "\n".join(f"- {line}" for line in remarks(run))
    return "\n\n".join([*parts, notes]) + "\n"


def csv_table(run: Run) -> str:
    """A line for each row and metric."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["target", "workload", "load", "group", "metric", "unit", *STATS])
    for row in run.summary:
        for key, figure in row.figures.items():
            if figure.n:
                unit = METRICS[key].unit if key in METRICS else "/s"
                names = [row.target, row.workload, row.load, row.group, key, unit]
                writer.writerow([*names, *(_plain(figure, stat) for stat in STATS)])
    for cell in run.engine:
        load = f"width {cell.width} depth {cell.depth}"
        for value in cell.tokens_per_s:
            writer.writerow([cell.target, "engine", load, cell.kind, "tok_s", "tok/s", 1, value])
    return out.getvalue()


def json_document(run: Run) -> bytes:
    """The whole document, indented."""
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"


def json_lines(run: Run) -> Iterator[bytes]:
    """A line for each request, with where it belongs."""
    for cell in run.cells:
        for round in cell.rounds:
            for sample in round.samples:
                line = SampleLine(
                    target=cell.target,
                    workload=cell.workload,
                    load=cell.load.name,
                    round=round.index,
                    **asdict(sample),
                )
                yield msgspec.json.encode(line) + b"\n"


def _markdown_sections(sections: list[Section]) -> Iterator[str]:
    for section in sections:
        if section.heading:
            yield f"**{section.heading}**"
        yield _markdown_table(section.grid)


def _plain(figure: Figure, stat: str) -> str:
    value = getattr(figure, stat)
    return "" if value is None else f"{value:.6g}"


def _markdown_table(grid: Grid) -> str:
    head = " | ".join(column.title for column in grid.columns)
    rule = "|".join("---:" if column.numbers else "---" for column in grid.columns)
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in grid.rows]
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {row} |" for row in rows)])
