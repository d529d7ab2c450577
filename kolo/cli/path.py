"""``kolo path``: the folders Kolo uses, and the socket of its monitor."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.paths import Paths

FOLDERS = ("config", "data", "state", "cache", "runtime")
NAMES = (*FOLDERS, "prefixes", "monitor")


def _socket(paths: Paths, *, required: bool) -> dict[str, str]:
    """The only path that a setting can change; a wrong setting does not hide the others."""
    from kolo.cli.output import talk
    from kolo.config import load_settings
    from kolo.errors import ConfigError
    from kolo.monitor.place import socket_path

    try:
        return {"monitor": str(socket_path(load_settings(), paths))}
    except ConfigError as error:
        if required:
            raise
        talk(f"monitor: {error.message}")
        return {}


@click.command(
    "path",
    cls=Command,
    short_help="Show the folders Kolo reads and writes.",
    examples=[
        ("kolo path", "all of them"),
        ('ls "$(kolo path state)"', "one of them, for a script"),
        ('socat - UNIX-CONNECT:"$(kolo path monitor)" | jq .', "what a running server does"),
    ],
)
@click.argument("name", required=False, type=click.Choice(NAMES), metavar="[NAME]")
@click.option("--json", "as_json", is_flag=True, help="An object, from name to path.")
def command(name: str | None, as_json: bool) -> None:
    """Show the folders and the socket that Kolo uses, whether or not they exist yet.

    config: config.toml. data: models. state: history and logs. cache: may be deleted.
    runtime: sockets. prefixes: what engines had cached when they were unloaded; may be deleted.
    monitor: the socket on which a server says what it does.
    """
    from kolo.paths import find_paths

    paths = find_paths(os.environ)
    shown = {each: str(getattr(paths, each)) for each in FOLDERS if name in (None, each)}
    if name in (None, "prefixes"):
        shown["prefixes"] = str(paths.prefixes)
    if name in (None, "monitor"):
        shown |= _socket(paths, required=name is not None)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    elif name is not None:
        click.echo(shown[name])
    else:
        from kolo.cli.grid import print_line

        for each, path in shown.items():
            print_line(f"{each:8} {path}")
