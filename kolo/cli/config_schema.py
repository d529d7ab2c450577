"""``kolo config schema``: the settings file as JSON Schema."""

from __future__ import annotations

import click

from kolo.cli.root import Command


@click.command(
    "schema",
    cls=Command,
    short_help="Print the JSON Schema of the settings file.",
    examples=[("kolo config schema > config.schema.json", "for an editor, or a check of your own")],
)
def command() -> None:
    """Print the JSON Schema (draft 7) of config.toml: every key, what it is for, its default.

    Editors that know TOML find it by the first line of the file that 'kolo config init' writes.
    """
    from kolo.config.json_schema import encoded

    click.echo(encoded(), nl=False)
