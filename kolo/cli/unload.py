"""``kolo unload``: have a running server unload an engine."""

from __future__ import annotations

import click

from kolo.cli import loop
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option, server_address, url_option
from kolo.cli.root import Command
from kolo.cli.table import print_json
from kolo.config import load_settings
from kolo.errors import Busy


@click.command(
    "unload",
    cls=Command,
    short_help="Unload an engine of a running server.",
    examples=[
        ("kolo unload qwen", "free its memory; the next request loads it again"),
        ("kolo unload qwen --force", "although it is answering, which then fails"),
        ("kolo unload fast --forget", "and have the server know this engine no more"),
    ],
)
@click.argument("id", type=Text())
@click.option("--force", is_flag=True, help="Also when requests are running, which then fail.")
@click.option(
    "--forget",
    is_flag=True,
    help="Also remove an engine that was added at run time; its file stays.",
)
@url_option
@json_option("One JSON object: id, unloaded (false if it was not loaded), forgotten.")
def command(id: str, force: bool, forget: bool, url: str | None, as_json: bool) -> None:
    """Have a running server unload the engine ID (kolo ps shows them) and free its memory.

    One that is not loaded is left as it is.
    """
    settings = load_settings()
    address = server_address(settings, url)
    unloaded = loop.run(_unload(address, id, force=force, forget=forget))
    if as_json:
        print_json({"id": id, "unloaded": unloaded, "forgotten": forget})
    elif forget:
        talk(f"{id} is forgotten")
    else:
        talk(f"{id} is unloaded" if unloaded else f"{id} was not loaded")


async def _unload(address: str, id: str, *, force: bool, forget: bool) -> bool:
    """Whether it was loaded."""
    from kolo.client import engines
    from kolo.client.http import Http

    async with Http(address) as http:
        try:
            unloaded = await engines.unload(http, id, force=force)
            if forget:
                await engines.forget(http, id, force=force)
            return unloaded
        except Busy as error:
            raise Busy(error.message, hint="--force, to fail what it is answering") from error
