"""``kolo bench compare``: what changed from one run to another."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from kolo.cli.options import Text
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.bench.compare import Change, Comparison
    from kolo.bench.tables import Grid


@click.command(
    "compare",
    cls=Command,
    short_help="Set two runs against each other.",
    examples=[
        ("kolo bench compare before last", "a named run, and the latest one"),
        ("kolo bench compare before.json after.json --json", "two documents, for a script"),
        (
            "kolo bench compare before last --fail-if 'ttft.p95>+10%' --fail-if 'tok_s<-5%'",
            "exit code 8 if it got slower",
        ),
    ],
)
@click.argument("a", type=Text())
@click.argument("b", type=Text())
@click.option(
    "--fail-if",
    "conditions",
    type=Text(),
    multiple=True,
    metavar="COND",
    help="METRIC.STAT, < or >, and a change in percent from A to B or a value of B: exit code 8 "
    "if it is so anywhere. What counts is the figure itself, not its interval.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with both runs' figures.")
def command(a: str, b: str, conditions: tuple[str, ...], as_json: bool) -> int:
    """Set run B against run A: the same workloads and loads, figure by figure.

    A run is a name it was saved under, "last", "last~1" for the one before, or the path of a
    document (kolo bench --json). The interval is of a bootstrap over rounds and requests, at
    95 %; a change is called better or worse only if it lies on one side of nothing.
    """
    from kolo.bench.compare import compare
    from kolo.bench.goals import parse_fail_if
    from kolo.bench.shelf import Shelf
    from kolo.bench.verdict import CHECK_FAILED
    from kolo.cli.output import talk
    from kolo.cli.table import print_json
    from kolo.paths import find_paths

    parsed = [parse_fail_if(each) for each in conditions]
    shelf = Shelf(find_paths(os.environ).state)
    found = compare(shelf.load(a), shelf.load(b), (a, b), parsed)
    if as_json:
        print_json(found)
    else:
        _print(found)
    for failure in found.failures:
        where = f" ({failure.where})" if failure.where else ""
        talk(f"failed: {failure.condition}: {failure.found}{where}")
    return CHECK_FAILED if found.failures else 0


def _print(found: Comparison) -> None:
    from kolo.cli.bench_reports import print_grid, print_remark
    from kolo.cli.output import look

    if found.changes:
        print_grid(_grid(found))
    how = look(sys.stdout)
    for line in found.remarks:
        print_remark(line, how)


def _grid(found: Comparison) -> Grid:
    from kolo.bench.metrics import METRICS
    from kolo.bench.tables import Column, Grid, number

    changes = found.changes

    def shown(change: Change, value: float | None) -> str:
        if value is not None and METRICS[change.metric].unit == "bytes":
            return f"{value / 1e6:.0f} MB"
        return number(value)

    columns = [
        Column("TARGET", tuple(each.target for each in changes), numbers=False),
        Column("WORKLOAD", tuple(each.workload for each in changes), numbers=False),
        Column("PART", tuple(each.group or "all" for each in changes), numbers=False),
        Column("LOAD", tuple(each.load for each in changes), numbers=False),
    ]
    columns = [each for each in columns if len(set(each.cells)) > 1]
    return Grid(
        [
            *columns,
            Column(
                "FIGURE",
                tuple(f"{METRICS[each.metric].title} {each.stat}" for each in changes),
                numbers=False,
            ),
            Column("A", tuple(shown(each, each.a) for each in changes)),
            Column("B", tuple(shown(each, each.b) for each in changes)),
            Column("CHANGE", tuple(_percent(each) for each in changes)),
            Column("95 % INTERVAL", tuple(_interval(each) for each in changes)),
            Column("", tuple(_mark(each) for each in changes), numbers=False),
        ]
    )


def _percent(change: Change) -> str:
    from kolo.bench.tables import MISSING

    return MISSING if change.percent is None else f"{change.percent:+.1f} %"


def _interval(change: Change) -> str:
    from kolo.bench.tables import MISSING

    ratio = change.ratio
    if ratio is None or ratio.low is None or ratio.high is None:
        return MISSING
    return f"{(ratio.low - 1) * 100:+.1f} … {(ratio.high - 1) * 100:+.1f}"


def _mark(change: Change) -> str:
    return {"better": "▲ better", "worse": "▼ worse"}.get(change.verdict, "")
