"""``kolo config init``: a settings file with every key in it, to be uncommented."""

from __future__ import annotations

import os

import click

from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command


@click.command(
    "init",
    cls=Command,
    short_help="Write a settings file with every key explained.",
    examples=[
        ("kolo config init", "config.toml, where kolo config path says"),
        ("KOLO_CONFIG=./kolo.toml kolo config init", "elsewhere"),
    ],
)
@click.option("--force", is_flag=True, help="Although there is one, which is kept beside it.")
@json_option("An object: file, schema, kept.")
def command(force: bool, as_json: bool) -> None:
    """Write a settings file in which every key stands behind a #, with its default and what it is
    for; and beside it the JSON Schema that its first line names, by which editors complete.
    """
    from kolo.cli.table import print_json
    from kolo.config.example import SCHEMA_NAME, example_text
    from kolo.config.json_schema import encoded
    from kolo.config.reading import find_file
    from kolo.config.writing import copy_aside, write_text
    from kolo.errors import UsageError

    file, _ = find_file(os.environ)
    kept = None
    if file.exists():
        if not force:
            raise UsageError(f"{file} is there already", hint="kolo config edit, or --force")
        kept = copy_aside(file)
    schema = file.with_name(SCHEMA_NAME)
    write_text(file, example_text())
    write_text(schema, encoded())
    if as_json:
        kept_as = str(kept) if kept else None
        print_json({"file": str(file), "schema": str(schema), "kept": kept_as})
        return
    if kept is not None:
        talk(f"what was there is {kept} now")
    talk(f"{file} is written: uncomment what you want, by kolo config edit")
    talk(f"{schema}: with it editors complete and check (Even Better TOML, taplo)")
