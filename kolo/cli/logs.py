"""``kolo logs``: what a server said, and what llama.cpp says for each engine."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlencode

import click
import msgspec

from kolo.cli import loop
from kolo.cli.options import Text
from kolo.cli.output import printable, talk
from kolo.cli.remote import json_option, url_option
from kolo.cli.root import Command
from kolo.cli.table import print_json, print_json_line
from kolo.config import Settings, load_settings
from kolo.errors import ModelNotFound, ServerUnreachable
from kolo.logfile import AGAIN_S, MAX_LINES, Follower, LogLine, find_logs, parsed
from kolo.paths import find_paths


@click.command(
    "logs",
    cls=Command,
    short_help="Show what a server, or an engine, has said.",
    examples=[
        ("kolo logs", "the server's own lines"),
        ("kolo logs qwen -f", "what llama.cpp says for an engine, as it comes"),
        ("kolo logs qwen -n 1000 --jsonl", "for a program"),
    ],
)
@click.argument("engine", type=Text(), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with each new line, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    "n",
    type=click.IntRange(0, MAX_LINES),
    default=200,
    show_default=True,
    metavar="N",
    help="Begin with the last N lines.",
)
@url_option
@json_option("An array of objects: level, timestamp, message.")
@click.option("--jsonl", is_flag=True, help="Such an object a line; with -f as they come.")
def command(
    engine: str | None, follow: bool, n: int, url: str | None, as_json: bool, jsonl: bool
) -> None:
    """Show the last lines of the server's log, or with ENGINE those of llama.cpp's own log for it.

    Without a server, what engines of this machine have said is read from their files.
    """
    if as_json and jsonl:
        raise click.UsageError("--json and --jsonl exclude each other")
    if follow and as_json:
        raise click.UsageError("--json ends with a bracket: with -f use --jsonl.")
    settings = load_settings()
    loop.run(_show(settings, engine or "", url, n, follow=follow, as_json=as_json, jsonl=jsonl))


async def _show(
    settings: Settings,
    engine: str,
    url: str | None,
    n: int,
    *,
    follow: bool,
    as_json: bool,
    jsonl: bool,
) -> None:
    from kolo.beacon import find_server

    address = find_server(settings, url=url)
    if address is not None:
        batches = _from_server(address, engine, n, follow=follow)
    else:
        batches = _from_file(_file(settings, engine), n, follow=follow)
    everything: list[LogLine] = []
    async with aclosing(batches):
        async for lines in batches:
            if as_json:
                everything += lines
                continue
            for line in lines:
                _print(line, jsonl=jsonl)
    if as_json:
        print_json(everything)
    elif follow:
        talk("the server has stopped")


def _print(line: LogLine, *, jsonl: bool) -> None:
    if jsonl:
        print_json_line(line)
        return
    grave = f"{line.level} " if line.level in ("WARNING", "ERROR") else ""
    when = f"{line.timestamp} " if line.timestamp else ""
    click.echo(f"{when}{grave}{printable(line.message)}")


class _Logs(msgspec.Struct, frozen=True):
    logs: list[LogLine]


async def _from_server(
    address: str, engine: str, n: int, *, follow: bool
) -> AsyncGenerator[list[LogLine], None]:
    from kolo.client.http import Http

    query = {"n": str(n), **({"engine": engine} if engine else {})}
    async with Http(address) as http:
        if not follow:
            told: _Logs = await http.get("/logs", _Logs, query=query)
            yield told.logs
            return
        path = f"/logs?{urlencode({**query, 'follow': 'true'})}"
        async with http.events("GET", path) as events:
            async for event in events:
                yield [msgspec.json.decode(event.data, type=LogLine)]


async def _from_file(path: Path, n: int, *, follow: bool) -> AsyncGenerator[list[LogLine], None]:
    import asyncio

    follower, at_most = Follower(path), n
    while True:
        follower.read()
        fresh, follower.lines = follower.lines, []
        if fresh and at_most:
            yield [parsed(line) for line in fresh[-at_most:]]
        if not follow:
            return
        at_most = MAX_LINES
        await asyncio.sleep(AGAIN_S)


def _file(settings: Settings, engine: str) -> Path:
    """The file to read where no server runs. Raises what to do where there is none."""
    folder = find_paths(os.environ).state / "logs"
    logs = find_logs(folder)
    known = ", ".join(logs)
    if engine:
        near = [id for id in logs if id.startswith(engine)]
        if engine in logs or len(near) == 1:
            return logs[engine if engine in logs else near[0]]
        raise ModelNotFound(
            f"there is no log of an engine {engine!r} in {folder}",
            hint=f"kolo logs with one of {known}" if known else "kolo path state",
            param="engine",
        )
    file = Path(settings.log.file).expanduser() if settings.log.file else None
    if file is not None and file.exists():
        return file
    raise ServerUnreachable(
        "no server runs on this machine whose lines could be shown",
        hint=f"kolo logs with an engine: {known}" if known else "kolo serve",
    )
