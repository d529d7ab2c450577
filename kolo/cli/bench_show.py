"""``kolo bench show``: a kept run again, in any form."""

from __future__ import annotations

import os

import click

from kolo.cli.bench import FORMATS
from kolo.cli.options import Text
from kolo.cli.root import Command


@click.command(
    "show",
    cls=Command,
    short_help="Show a run that was kept.",
    examples=[
        ("kolo bench show", "the latest"),
        ("kolo bench show before -o html > before.html", "a named one, with plots"),
    ],
)
@click.argument("run", type=Text(), default="last")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    help="How the run is written.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
def command(run: str, form: str, as_json: bool) -> None:
    """Show a RUN that was kept: a name, "last", "last~1" for the one before, or a document."""
    from kolo.bench.shelf import Shelf
    from kolo.bench.summary import summarize
    from kolo.cli.bench_reports import write_report
    from kolo.paths import find_paths

    found = Shelf(find_paths(os.environ).state).load(run)
    found.summary = summarize(found)
    write_report(found, "json" if as_json else form)
