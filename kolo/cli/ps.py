"""``kolo ps``: the engines of a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kolo.cli import loop
from kolo.cli.output import printable
from kolo.cli.remote import json_option, quiet_option, server_address, url_option
from kolo.cli.root import Command
from kolo.cli.table import print_engines, print_json
from kolo.config import load_settings

if TYPE_CHECKING:
    from kolo.client.engines import EngineView


@click.command(
    "ps",
    cls=Command,
    short_help="Show the engines of a running server.",
    examples=[
        ("kolo ps", "what is loaded, how busy it is, and what else there is"),
        ("kolo ps -q", "the ids alone, for a script"),
        ("kolo ps --json | jq '.[] | select(.in_flight > 0)'", "the busy ones"),
    ],
)
@quiet_option("The ids alone.")
@url_option
@json_option("An array of objects, with times in seconds and sizes in bytes.")
def command(url: str | None, quiet: bool, as_json: bool) -> None:
    """Show the engines of a running server: all that can be asked for, the loaded ones first.

    SLOTS: requests under way of those that fit, and how many wait. CTX: tokens for each
    request. IDLE: how long it was not used, of the time after which it is unloaded.
    """
    engines = loop.run(_engines(server_address(load_settings(), url)))
    if quiet:
        for engine in engines:
            click.echo(printable(engine.engine_id))
    elif as_json:
        print_json(engines)
    else:
        print_engines(engines)


async def _engines(address: str) -> list[EngineView]:
    from kolo.client.engines import engines
    from kolo.client.http import Http

    async with Http(address) as http:
        return await engines(http)
