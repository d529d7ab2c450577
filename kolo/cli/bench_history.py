"""``kolo bench history``: the runs that were kept, and how they went."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from kolo.cli.options import Text
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.bench.result import Run
    from kolo.bench.tables import Grid

BARS = "▁▂▃▄▅▆▇█"
BARS_SHOWN = 12


class Entry(Struct, frozen=True, kw_only=True):
    """One row of a kept run."""

    started: float
    """Unix time in seconds."""
    name: str
    """Empty for a run without one."""
    partial: bool
    model: str
    target: str
    workload: str
    load: str
    tok_s: float | None
    ttft_ms: float | None
    itl_ms: float | None
    errors: int
    seed: int
    kolo: str


@click.command(
    "history",
    cls=Command,
    short_help="List the runs that were kept.",
    examples=[
        ("kolo bench history", "all, the oldest first"),
        ("kolo bench history qwen --json | jq '.[-1]'", "of one model, for a script"),
    ],
)
@click.argument("model", required=False, type=Text())
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N rows.")
@click.option("-q", "--quiet", is_flag=True, help="The names alone, of runs that have one.")
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
def command(model: str | None, last: int | None, quiet: bool, as_json: bool) -> None:
    """List the runs that were kept, of one MODEL or of all, a line for each load.

    Runs under a name stay for ever; of the others the last 50 do. TREND draws the output rate of
    the same model, target, workload and load up to that run. A column that would say the same in
    every line is left out.
    """
    from kolo.bench.shelf import Shelf
    from kolo.cli.bench_reports import print_grid
    from kolo.cli.output import printable, talk
    from kolo.cli.table import print_json
    from kolo.paths import find_paths

    entries: list[Entry] = []
    for name, run in Shelf(find_paths(os.environ).state).all():
        entries += (one for one in _entries(name, run) if model in (None, one.model))
    if last is not None:
        entries = entries[-last:]
    if quiet:
        for name in dict.fromkeys(one.name for one in entries if one.name):
            click.echo(printable(name))
    elif as_json:
        print_json(entries)
    elif entries:
        print_grid(_grid(entries))
    else:
        what = "no run was kept yet" if model is None else f"no run of {model!r} was kept"
        talk(f"{what}: kolo bench")


def _entries(name: str, run: Run) -> Iterator[Entry]:
    models = {target.name: target.model for target in run.targets}
    for row in run.summary:
        yield Entry(
            started=run.started,
            name=name,
            partial=run.partial,
            model=models.get(row.target, ""),
            target=row.target,
            workload=row.workload,
            load=f"{row.load} {row.group}".strip(),
            tok_s=row.figures["tok_s"].p50,
            ttft_ms=row.figures["ttft"].p50,
            itl_ms=row.figures["itl"].p50,
            errors=sum(row.errors.values()),
            seed=run.seed,
            kolo=run.kolo,
        )


def _grid(entries: list[Entry]) -> Grid:
    from kolo.bench.tables import MISSING, Column, Grid, number

    columns = [
        Column("NAME", tuple(one.name or MISSING for one in entries), numbers=False),
        Column("MODEL", tuple(one.model for one in entries), numbers=False),
        Column("TARGET", tuple(one.target for one in entries), numbers=False),
        Column("WORKLOAD", tuple(one.workload for one in entries), numbers=False),
    ]
    return Grid(
        [
            Column("WHEN", tuple(_when(one) for one in entries), numbers=False),
            *(each for each in columns if len(set(each.cells)) > 1),
            Column("LOAD", tuple(one.load for one in entries), numbers=False),
            Column("tok/s", tuple(number(one.tok_s) for one in entries)),
            Column("TTFT", tuple(number(one.ttft_ms) for one in entries)),
            Column("ITL", tuple(number(one.itl_ms) for one in entries)),
            Column("TREND", tuple(_trends(entries))),
        ]
    )


def _when(entry: Entry) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.started))
    return f"{stamp} partial" if entry.partial else stamp


def _trends(entries: list[Entry]) -> Iterator[str]:
    """For each entry the rates of those before it that measured the same, as bars from 0."""
    seen: dict[tuple[str, str, str, str], list[float]] = {}
    for one in entries:
        rates = seen.setdefault((one.model, one.target, one.workload, one.load), [])
        rates.append(one.tok_s or 0.0)
        shown = rates[-BARS_SHOWN:]
        top = max(shown) or 1.0
        yield "".join(BARS[round(rate / top * (len(BARS) - 1))] for rate in shown)
