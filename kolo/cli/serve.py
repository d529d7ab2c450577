"""``kolo serve``: an HTTP server over all models, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from kolo.cli.address import check_exposure
from kolo.cli.named import Plan, plan
from kolo.cli.options import Text
from kolo.cli.remote import json_option
from kolo.cli.serve_options import ServeCommand
from kolo.config import load_settings
from kolo.config.rows import value_of
from kolo.paths import find_paths


@click.command(
    "serve",
    cls=ServeCommand,
    short_help="Serve models over HTTP.",
    examples=[
        ("kolo serve", "what the settings name and the built-in model, each loaded when asked for"),
        ("kolo serve ./qwen.gguf --ctx 8192 --parallel 8", "one more, loaded at once"),
        ("kolo serve --models-dir ~/models --port 9000", "every model of a folder"),
    ],
)
@click.argument("models", nargs=-1, type=Text(), metavar="[MODEL]...")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Serve every .gguf file in DIR, and in its folders, by its name.",
)
@json_option("One JSON object, on one line, when it listens: url, pid, models, loading, monitor.")
def command(
    models: tuple[str, ...],
    models_dir: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Serve models over HTTP, in OpenAI's API and others, until it is told to stop.

    Each model is loaded when it is first asked for; a MODEL named here is loaded at once and
    known by that reference and by its file's name. Options of how models are loaded are for the
    MODELs named, and for all others whose own settings do not say.

    Ctrl-C (or SIGTERM) stops it: running answers may end first, and a second one ends them.
    SIGHUP has it read its settings anew (kolo reload), SIGUSR1 open its log anew.

    Every option is a key of config.toml and a variable too: --stop-timeout is stop_timeout in
    [server], and KOLO_SERVER_STOP_TIMEOUT.
    """
    assert isinstance(command, ServeCommand)
    overrides = command.overrides(given)

    def read() -> Plan:
        """Everything, as it is now: at the start, and for each reload."""
        settings = load_settings(overrides=overrides)
        flags = {
            key.removeprefix("engine."): value_of(settings, key)
            for key in overrides
            if key.startswith("engine.")
        }
        return plan(settings, models, flags, models_dir)

    what = read()
    paths = find_paths(os.environ)
    paths.create()
    check_exposure(what.settings, paths)

    from kolo.cli.serving import run  # the web framework: --help is quick without it

    return asyncio.run(run(what, paths, read, as_json=as_json))
