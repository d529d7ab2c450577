"""``kolo config path``: which file the settings are read from."""

from __future__ import annotations

import os

import click

from kolo.cli.remote import json_option
from kolo.cli.root import Command


@click.command(
    "path",
    cls=Command,
    short_help="Print which file is read.",
    examples=[
        ("kolo config path", "whether or not it is there"),
        ('cp "$(kolo config path)" backup.toml', "for a script"),
    ],
)
@json_option("An object: file, exists, and whether KOLO_CONFIG names it.")
def command(as_json: bool) -> None:
    """Print the path of the settings file, whether or not it is there yet."""
    from kolo.cli.table import print_json
    from kolo.config.reading import find_file

    file, named = find_file(os.environ)
    if as_json:
        print_json({"file": str(file), "exists": file.is_file(), "named": named})
    else:
        click.echo(str(file))
