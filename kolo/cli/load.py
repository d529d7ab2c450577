"""``kolo load``: have a running server load a model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from kolo.beacon import find_server
from kolo.cli import loop
from kolo.cli.foreseen import show_outlook
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option, server_address, url_option
from kolo.cli.root import Command
from kolo.cli.table import LoadBar, engine_line, print_json
from kolo.client.names import file_of
from kolo.config import Settings, load_settings
from kolo.units import parse_duration

if TYPE_CHECKING:
    from kolo.manager.outlook import Outlook


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else float(parse_duration(value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None


@click.command(
    "load",
    cls=Command,
    short_help="Load a model into a running server.",
    examples=[
        ("kolo load qwen", "a model that the server has, so that the first request is quick"),
        ("kolo load ./qwen.gguf --id fast --ctx 4096", "a file, as an engine of its own name"),
        ("kolo load qwen --pin", "one that is never unloaded to make room, nor when idle"),
        ("kolo load qwen --ctx 32768 --dry-run", "would it fit, and what would go for it"),
    ],
)
@click.argument("model", type=Text())
@click.option(
    "--id", type=Text(), metavar="ID", help="Load it as another engine, known by this name."
)
@click.option(
    "--ctx", type=click.IntRange(8, 2**27), metavar="N", help="Tokens of context for each request."
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Requests answered at the same time.",
)
@click.option(
    "--gpu-layers", type=click.IntRange(-1, 10_000), metavar="N", help="Layers on GPUs; -1 is all."
)
@click.option("--pin", is_flag=True, help="Never unload it to make room, nor when idle.")
@click.option(
    "--ttl",
    "ttl_s",
    callback=_seconds,
    metavar="TIME",
    help="Unload it when unused for so long, such as 10m; 0 is never.",
)
@click.option(
    "--wait/--no-wait", default=True, help="Wait until it is loaded, which is the default."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Load nothing: show what it would take, whether that fits (exit code 5 if not), and "
    "what would be unloaded for it. Without a server, on this machine as it is.",
)
@url_option
@json_option("The engine as one JSON object, as kolo ps --json shows it.")
def command(
    model: str,
    wait: bool,
    url: str | None,
    pin: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Have a running server load MODEL: a name it knows, or a path to a .gguf file.

    A file is known by --id, else by its name without .gguf. An engine that is added this way is
    there again when the server is started anew; kolo unload --forget removes it.
    """
    settings = load_settings()
    how = {
        "model": str(file_of(model, settings) or model),
        **({"pin": True} if pin else {}),
        **{name: value for name, value in options.items() if value is not None},
    }
    if dry_run:
        return show_outlook(loop.run(_foresee(settings, url, how)), as_json=as_json)
    loop.run(_load(server_address(settings, url), how, wait, as_json))
    return 0


async def _foresee(settings: Settings, url: str | None, how: dict[str, Any]) -> Outlook:
    address = find_server(settings, url=url)
    if address is not None:
        from kolo.client.engines import foresee
        from kolo.client.http import Http

        async with Http(address) as http:
            return await foresee(http, how)
    from kolo.manager.manager import Manager

    sizes = ("ctx", "parallel", "gpu_layers")
    overrides: dict[str, Any] = {name: how[name] for name in sizes if name in how}
    async with Manager(settings) as manager:
        return await manager.foresee(how["model"], overrides=overrides, id=how.get("id"))


async def _load(address: str, how: dict[str, Any], wait: bool, as_json: bool) -> None:
    from kolo.client.engines import find_engine, load, start_load
    from kolo.client.http import Http

    async with Http(address) as http:
        began_s = time.monotonic()
        if wait:
            with LoadBar(how.get("id") or how["model"]) as bar:
                id = await load(http, how, bar.show)
        else:
            id = await start_load(http, how)
        took_s = time.monotonic() - began_s
        engine = await find_engine(http, id)
    if as_json:
        print_json(engine)
    elif engine is not None:
        took = f" · took {took_s:.1f} s" if wait and took_s >= 0.1 else ""
        talk(f"{engine_line(engine)}{took}")
