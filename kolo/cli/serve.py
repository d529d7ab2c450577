"""``kolo serve``: an HTTP server over all models, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from kolo.cli.address import check_loopback
from kolo.cli.named import plan
from kolo.cli.options import Text
from kolo.cli.root import Command
from kolo.config import load_settings
from kolo.paths import find_paths


@click.command(
    "serve",
    cls=Command,
    short_help="Serve models over HTTP.",
    examples=[
        ("kolo serve", "what the settings name and the built-in model, each loaded when asked for"),
        ("kolo serve ./qwen.gguf --ctx 8192 --parallel 8", "one more, loaded at once"),
        ("kolo serve --models-dir ~/models --port 9000", "every model of a folder"),
    ],
)
@click.argument("models", nargs=-1, type=Text(), metavar="[MODEL]...")
@click.option("--host", type=Text(), metavar="H", help="Address to listen on.")
@click.option("--port", type=int, metavar="P", help="Port to listen on; 0 takes a free one.")
@click.option(
    "--parallel", type=int, metavar="N", help="Requests that a model answers at the same time."
)
@click.option("--ctx", type=int, metavar="N", help="Tokens of context for each request.")
@click.option("--threads", type=int, metavar="N", help="Threads while generating.")
@click.option("--gpu-layers", type=int, metavar="N", help="Layers on GPUs; -1 is all.")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Serve every .gguf file in DIR, and in its folders, by its name.",
)
@click.option(
    "--allow-unauthenticated",
    is_flag=True,
    help="Listen beyond this machine although anybody there can then use it.",
)
def command(
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    models_dir: Path | None,
    allow_unauthenticated: bool,
    **loading: int | None,
) -> int:
    """Serve models over HTTP, in OpenAI's API and others, until it is told to stop.

    Each model is loaded when it is first asked for; a MODEL named here is loaded at once and
    known by that reference and by its file's name. --parallel, --ctx, --threads and
    --gpu-layers are for the MODELs named, and for all others whose own settings do not say.

    Ctrl-C (or SIGTERM) stops it: running answers may end first, and a second one ends them.
    """
    flags = {name: value for name, value in loading.items() if value is not None}
    overrides: dict[str, tuple[str, Any]] = {
        f"engine.{name}": (f"--{name.replace('_', '-')}", value) for name, value in flags.items()
    }
    if host is not None:
        overrides["server.host"] = ("--host", host)
    if port is not None:
        overrides["server.port"] = ("--port", port)
    settings = load_settings(overrides=overrides)
    if not allow_unauthenticated:
        check_loopback(settings.server.host)
    what = plan(settings, models, flags, models_dir)
    paths = find_paths(os.environ)
    paths.create()

    from kolo.cli.serving import run  # the web framework: --help is quick without it

    return asyncio.run(run(what, paths))
