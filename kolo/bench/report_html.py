"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape

from kolo.bench.metrics import METRICS
from kolo.bench.result import Row, Run
from kolo.bench.summary import groups_of, values_by_round
from kolo.bench.svg import Line, chart
from kolo.bench.tables import Grid, Section, engine_grid, main_sections, ratio_sections, remarks

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1c1f24; --faint: #667; --rule: #ddd }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15181c; --text: #e4e7eb; --faint: #99a; --rule: #333a }
}
body { font: 15px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--text);
  max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin-top: 2rem }
h3 { font-size: .95rem; margin: 1rem 0 .3rem }
.faint, dt { color: var(--faint) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--rule); text-align: left }
th.n, td.n { text-align: right }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1.5rem }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: var(--text) }
svg .title { font-weight: 600; font-size: 13px } svg .mid { text-anchor: middle }
svg .end { text-anchor: end } svg .grid { stroke: var(--rule) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dd { margin: 0 }
"""
BY_LOAD = (
    ("tok_s", "p50"),
    ("user_tok_s", "p50"),
    ("ttft", "p50"),
    ("ttft", "p95"),
    ("gap", "p95"),
)
DISTRIBUTIONS = ("ttft", "itl", "gap", "e2e")
POINTS = 200
"""Of a distribution: more could not be seen."""


def page(run: Run) -> str:
    """The document, tables, plots, remarks and formulas."""
    title = ", ".join(dict.fromkeys(target.model for target in run.targets)) or "engine"
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.started))
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>kolo bench: {escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">kolo bench {escape(run.kolo)}, {when}, {run.elapsed_s:.0f} s'
        f"{', stopped before its end' if run.partial else ''}</p>",
    ]
    parts += _sections(main_sections(run))
    ratios = ratio_sections(run)
    if ratios:
        parts.append(f"<h2>Over {escape(run.targets[0].name)}</h2>")
        parts += _sections(ratios)
    engine = engine_grid(run)
    if engine is not None:
        parts += ["<h2>The engine alone</h2>", _table(engine)]
    plots = [plot for plot in (*_by_load(run), *_distributions(run)) if plot]
    if plots:
        parts.append(f'<div class="plots">{"".join(plots)}</div>')
    lines = "".join(f"<li>{escape(line)}</li>" for line in remarks(run))
    parts.append(f"<h2>Remarks</h2><ul>{lines}</ul>")
    formulas = "".join(
        f"<dt>{escape(metric.title)}</dt><dd>{escape(metric.formula)}</dd>"
        for metric in METRICS.values()
    )
    parts.append(f"<h2>How it is computed</h2><dl>{formulas}</dl></html>")
    return "\n".join(part for part in parts if part) + "\n"


def _sections(sections: list[Section]) -> Iterator[str]:
    for section in sections:
        if section.heading:
            yield f"<h3>{escape(section.heading)}</h3>"
        yield _table(section.grid)


def _table(grid: Grid) -> str:
    kinds = [' class="n"' if column.numbers else "" for column in grid.columns]
    head = "".join(
        f"<th{kind}>{escape(column.title)}</th>"
        for kind, column in zip(kinds, grid.columns, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in grid.rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _by_load(run: Run) -> Iterator[str]:
    """How a figure grows with the load, where there are several."""
    for workload in dict.fromkeys(row.workload for row in run.summary):
        rows = [row for row in run.summary if row.workload == workload]
        loads = {row.concurrency or row.rate for row in rows}
        if len(loads) < 2:
            continue
        by_rate = any(row.rate is not None for row in rows)
        for key, stat in BY_LOAD:
            metric = METRICS[key]
            lines = [
                Line(name, points)
                for name in dict.fromkeys(map(_series_name, rows))
                if (points := _points(rows, name, key, stat))
            ]
            yield chart(
                f"{metric.title} {stat}, {workload}",
                "requests per second" if by_rate else "users",
                metric.unit,
                lines,
                log_x=True,
            )


def _points(rows: list[Row], name: str, key: str, stat: str) -> list[tuple[float, float]]:
    found = []
    for row in rows:
        value = getattr(row.figures[key], stat)
        if _series_name(row) == name and value is not None:
            found.append((float(row.concurrency or row.rate or 0), value))
    return sorted(found)


def _series_name(row: Row) -> str:
    return f"{row.target} {row.group}".strip()


def _distributions(run: Run) -> Iterator[str]:
    """Share of the samples at or below a value, for each workload and load."""
    for workload in dict.fromkeys(cell.workload for cell in run.cells):
        for load in dict.fromkeys(c.load.name for c in run.cells if c.workload == workload):
            cells = [c for c in run.cells if (c.workload, c.load.name) == (workload, load)]
            for key in DISTRIBUTIONS:
                lines = []
                for cell in cells:
                    for group in groups_of(cell):
                        values = sorted(v for r in values_by_round(cell, key, group) for v in r)
                        if len(values) > 1:
                            name = f"{cell.target} {group}".strip()
                            lines.append(Line(name, _shares(values), steps=True))
                metric = METRICS[key]
                title = f"{metric.title}, {workload}, {load}"
                yield chart(title, metric.unit, "% of samples at or below", lines, log_x=True)


def _shares(values: list[float]) -> list[tuple[float, float]]:
    """Points of the distribution of sorted values, POINTS at most."""
    n = len(values)
    step = max(n // POINTS, 1)
    picked = [*range(0, n, step), n - 1]
    return [(values[at], (at + 1) / n * 100) for at in dict.fromkeys(picked)]
