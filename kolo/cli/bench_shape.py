"""``kolo bench --shape``: what this machine would do with a model that is not there yet."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from kolo.bench.foresee import foresee
from kolo.bench.known_outlooks import remember
from kolo.bench.report_outlook import lines
from kolo.bench.shapes import parse
from kolo.cli import loop
from kolo.cli.bench_progress import Ticker
from kolo.cli.output import fitting, look, printable
from kolo.cli.table import print_json
from kolo.config import load_settings
from kolo.errors import UsageError
from kolo.manager.machine import available
from kolo.paths import find_paths


def run(
    *,
    shape: str,
    form: str,
    keep: bool,
    quiet: bool,
    threads: int | None,
    gpu_layers: int | None,
    ctx_tokens: int | None,
    parallel: int | None,
    **_: Any,
) -> int:
    """Make it, time it, and say what came out.

    ``kolo show`` and ``kolo pull`` quote it, unless it was loaded as they would not load it. All
    other options are at their defaults.
    """
    if form not in ("table", "json"):
        raise UsageError(
            f"-o {form} is for a load on the model, and none was asked for",
            hint="-o json, or say what is to be measured, such as -c 1,8",
        )
    if ctx_tokens is not None or parallel is not None:
        raise UsageError(
            "--shape tries several lengths of context and numbers of slots by itself",
            hint="leave --ctx and --parallel out, or say what is to be measured, such as -c 1,8",
        )
    given = {"threads": threads, "gpu_layers": gpu_layers}
    params = {name: value for name, value in given.items() if value is not None}
    wanted = parse(shape)
    settings = load_settings()
    settings = replace(settings, engine=replace(settings.engine, **params))
    ticker = Ticker(quiet=quiet)
    with ticker:
        outlook = loop.run(foresee(wanted, settings, ticker.say, keep=keep))
    if not params:
        remember(outlook, find_paths(os.environ).state)
    if form == "json":
        print_json(msgspec.to_builtins(outlook))
    else:
        how = look(sys.stdout)
        for line in lines(outlook, available()):
            click.echo(fitting(printable(line), how))
    return 0
