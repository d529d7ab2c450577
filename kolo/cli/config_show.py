"""``kolo config show``: the settings that hold, and where each came from."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from kolo.cli.options import Text
from kolo.cli.remote import json_option
from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.config.rows import Row


@click.command(
    "show",
    cls=Command,
    short_help="Show the settings that hold.",
    examples=[
        ("kolo config show --changed --origin", "what is not at its default, and why"),
        ("kolo config show server engine.sampling", "some sections"),
        ("kolo --profile work config show", "as they are with a profile"),
        ("kolo config show --json | jq '.[] | select(.source == \"env\")'", "for a script"),
    ],
)
@click.argument("keys", nargs=-1, type=Text(), metavar="[KEY]...")
@click.option("--origin", is_flag=True, help="Say of each where it came from.")
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@click.option("--reveal", is_flag=True, help="Show what is secret too.")
@json_option("An array of objects: key, value, source and what else is known of its origin.")
def command(
    keys: tuple[str, ...], origin: bool, changed: bool, reveal: bool, as_json: bool
) -> None:
    """Show the settings that hold, those of KEY or section alone, as lines of TOML.

    What stands behind a # is not set, and found out when it is needed. What is secret, as its name
    says (key, token, secret, password), is not shown.
    """
    from kolo.cli.table import print_json
    from kolo.config import load_settings
    from kolo.config.rows import rows

    shown = _asked(rows(load_settings(os.environ), reveal=reveal), keys)
    if changed:
        shown = [row for row in shown if row.origin != "default"]
    if as_json:
        print_json([_described(row) for row in shown])
    else:
        for line in _lines(shown, origin=origin):
            click.echo(line)


def _asked(all_rows: list[Row], keys: tuple[str, ...]) -> list[Row]:
    """The rows of ``keys``, which may be sections. BadParameter for one that names nothing."""
    if not keys:
        return all_rows
    from kolo.config.naming import find_key
    from kolo.toml import shown_key

    wanted = []
    for key in keys:
        if not any(row.key == key or row.key.startswith(f"{key}.") for row in all_rows):
            found = find_key(key)
            key = shown_key(found.path)
        wanted.append(key)
    return [
        row
        for row in all_rows
        if any(row.key == key or row.key.startswith(f"{key}.") for key in wanted)
    ]


def _described(row: Row) -> dict[str, Any]:
    from kolo.config.rows import origin_parts

    about = {"key": row.key, "value": row.value, **origin_parts(row.origin)}
    return {**about, "secret": True} if row.secret else about


def _lines(shown: list[Row], *, origin: bool) -> list[str]:
    from kolo.cli.output import dim, look, printable
    from kolo.toml import written

    how = look(sys.stdout)
    lines = []
    for row in shown:
        line = f"#{row.key} =" if row.value is None else f"{row.key} = {written(row.value)}"
        if origin:
            # Behind a value of several lines the comment stands on the last.
            line += f"  # {'found out when needed' if row.value is None else row.origin}"
        line = printable(line) if how.terminal else line
        lines.append(dim(line, how) if row.origin == "default" else line)
    return lines
