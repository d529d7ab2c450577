"""``kolo reload``: have a running server read its settings anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kolo.cli import loop
from kolo.cli.output import talk
from kolo.cli.remote import json_option, server_address, url_option
from kolo.cli.root import Command
from kolo.cli.table import print_json
from kolo.config import load_settings

if TYPE_CHECKING:
    from kolo.cli.replies import Reloaded


@click.command(
    "reload",
    cls=Command,
    short_help="Have a server read its settings anew.",
    examples=[
        ("kolo reload", "after a change of config.toml; no answer under way is cut"),
        ("kolo reload --json", "what has changed, for a program"),
    ],
)
@url_option
@json_option("One JSON object: file, settings, needs_restart, engines_changed, engines_removed.")
def command(url: str | None, as_json: bool) -> None:
    """Have a running server read its settings anew, as SIGHUP does.

    Engines of which the settings say the same are not touched. One that is another now finishes
    what it began, and is loaded anew when it is next asked for. Settings with a mistake change
    nothing.
    """
    told = loop.run(_reload(server_address(load_settings(), url)))
    if as_json:
        print_json(told)
        return
    changes = [
        ("heeded now", told.settings),
        ("engines to be loaded anew", told.engines_changed),
        ("engines removed", told.engines_removed),
        ("heeded only after a restart", told.needs_restart),
    ]
    for what, which in changes:
        if which:
            talk(f"{what}: {', '.join(which)}")
    if not any(which for _, which in changes):
        talk("nothing has changed")


async def _reload(address: str) -> Reloaded:
    from kolo.cli.replies import Reloaded
    from kolo.client.http import Http

    async with Http(address) as http:
        told: Reloaded = await http.post("/models", None, Reloaded, query={"reload": "1"})
        return told
