"""``kolo path``: the folders Kolo uses."""

from __future__ import annotations

import json
import os

import click

from kolo.cli.root import Command

NAMES = ("config", "data", "state", "cache", "runtime")


@click.command(
    "path",
    cls=Command,
    short_help="Show the folders Kolo reads and writes.",
    examples=[
        ("kolo path", "all of them"),
        ('ls "$(kolo path state)"', "one of them, for a script"),
    ],
)
@click.argument("name", required=False, type=click.Choice(NAMES), metavar="[NAME]")
@click.option("--json", "as_json", is_flag=True, help="An object, from name to path.")
def command(name: str | None, as_json: bool) -> None:
    """Show the folders Kolo reads and writes, whether or not they exist yet.

    config: config.toml. data: models. state: history and logs. cache: may be deleted.
    runtime: sockets.
    """
    from kolo.paths import find_paths

    paths = find_paths(os.environ)
    shown = {each: str(getattr(paths, each)) for each in NAMES if name in (None, each)}
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    elif name is not None:
        click.echo(shown[name])
    else:
        for each, path in shown.items():
            click.echo(f"{each:8} {path}")
