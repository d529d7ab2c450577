"""``kolo top``: a server as it breathes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kolo.cli import loop
from kolo.cli.options import Number, Text
from kolo.cli.output import look, talk
from kolo.cli.remote import url_option
from kolo.cli.root import Command
from kolo.errors import UsageError

if TYPE_CHECKING:
    from kolo.config import Settings
    from kolo.top.sources.base import Source

EXAMPLES = [
    ("kolo top", "engines, requests and GPUs of the server on this machine"),
    ("kolo top --remote gpu1", "the same of another machine, over ssh"),
    ("kolo top --once", "one table, for a script or a log"),
    ("kolo top --json | jq '.engines[].windows.last_1m.ttft_ms'", "all numbers, once"),
    ("kolo top --record night.jsonl", "watch, and keep what was seen"),
    ("kolo top --replay night.jsonl --speed 10", "see it again, ten times as fast"),
    ("kolo top --demo", "a made-up server, to try the keys"),
]


@click.command(
    "top", cls=Command, short_help="Watch a server: engines, requests, GPUs.", examples=EXAMPLES
)
@click.option("--once", is_flag=True, help="Print one table and leave; the default in a pipe.")
@click.option("--json", "as_json", is_flag=True, help="Print one snapshot as JSON and leave.")
@click.option("--jsonl", is_flag=True, help="Print every message, a line of JSON each.")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help="With --jsonl: end after N snapshots.",
)
@click.option(
    "--interval",
    type=Number(0.1, 60.0),
    metavar="S",
    help="Seconds between snapshots; 1 unless it was changed the last time.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what is seen to a new file as well.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Show a recording instead of a server.",
)
@click.option(
    "--speed",
    type=Number(0.1, 1000.0),
    default=1.0,
    metavar="X",
    help="With --replay: so many times as fast.",
)
@click.option("--demo", is_flag=True, help="Show a made-up server.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, metavar="S", help="With --demo: which one."
)
@click.option(
    "--remote",
    type=Text(),
    metavar="HOST",
    help="The server of another machine, over ssh; Kolo must be installed there too.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Monitor socket of the server; else the configured one (kolo path monitor).",
)
@url_option
@click.option("--readonly", is_flag=True, help="Without the keys that change anything.")
@click.option("--theme", type=Text(), metavar="NAME", help="Colours, such as kolo-light.")
@click.option("--ascii", "as_ascii", is_flag=True, help="Draw with ASCII alone.")
def command(**options: Any) -> int | None:
    """Watch a server: its engines, their slots and requests, GPUs, and what happens.

    The keys are explained by "?". It outlives the server: what it last saw stays, dimmed, until
    there is more. Where the output is no terminal, one table is printed.
    """
    from kolo.config import load_settings

    _check(options)
    settings = load_settings()
    headless = _headless(options)
    if headless:
        return loop.run(_print(options, settings, headless))
    return _show(options, settings)


def _check(options: dict[str, Any]) -> None:
    """Options that contradict each other, by name."""
    for group in (("once", "as_json", "jsonl"), ("demo", "replay", "remote", "socket")):
        given = [_flag(name) for name in group if options[name]]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other", hint="one of them")
    for name, needs in (("count", "jsonl"), ("speed", "replay"), ("seed", "demo")):
        context = click.get_current_context()
        source = context.get_parameter_source(name)
        if source == click.core.ParameterSource.COMMANDLINE and not options[needs]:
            raise UsageError(f"{_flag(name)} is for {_flag(needs)} alone", hint=_flag(needs))
    for name in ("once", "as_json", "jsonl"):
        for needs_screen in ("readonly", "theme", "url"):
            if options[name] and options[needs_screen]:
                raise UsageError(
                    f"{_flag(needs_screen)} is for the screen, and {_flag(name)} shows none",
                    hint="--socket or --remote say which server is looked at"
                    if needs_screen == "url"
                    else "leave it out",
                )
    if options["replay"] and options["record"]:
        raise UsageError("--record and --replay exclude each other", hint="cp copies a recording")


def _flag(name: str) -> str:
    return {"as_json": "--json"}.get(name, f"--{name}")


def _headless(options: dict[str, Any]) -> str:
    """``once``, ``json`` or ``jsonl``; empty for the screen."""
    import sys

    for name, kind in (("as_json", "json"), ("jsonl", "jsonl"), ("once", "once")):
        if options[name]:
            return kind
    if look(sys.stdout).redraw and sys.stdin is not None and sys.stdin.isatty():
        return ""
    if options["record"] is not None:
        return "jsonl"
    talk("no terminal: this is one look, as with --once", faint=True)
    return "once"


def _source(options: dict[str, Any], settings: Settings, interval_s: float) -> Source:
    import os

    from kolo.paths import find_paths

    if options["demo"]:
        from kolo.top.demo.world import World
        from kolo.top.sources.made_up import Demo

        return Demo(World(options["seed"]), interval_s=interval_s)
    if options["replay"] is not None:
        from kolo.top.sources.replay import Replay

        return Replay(options["replay"], speed=options["speed"])
    if options["remote"] is not None:
        from kolo.top.sources.ssh import Ssh

        return Ssh(options["remote"], interval_s=interval_s)
    from kolo.monitor.place import socket_path
    from kolo.top.sources.socket import Socket

    path = options["socket"] or socket_path(settings, find_paths(os.environ))
    return Socket(path, interval_s=interval_s)


def _no_theme(name: str, known: list[str]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1) or ["kolo-dark"]
    return UsageError(f"no such theme: {name!r}", hint=f"{near[0]}; t goes through some of them")


async def _print(options: dict[str, Any], settings: Settings, kind: str) -> None:
    from kolo.top import stream
    from kolo.top.recording import Recorder
    from kolo.top.sources.replay import Replay

    source = _source(options, settings, options["interval"] or 1.0)
    if isinstance(source, Replay) and source.recording.trouble:
        talk(f"{options['replay']}: {source.recording.trouble}")
    recorder = Recorder(options["record"]) if options["record"] is not None else None
    try:
        if kind == "jsonl":
            to_stdout = options["jsonl"]
            await stream.lines(source, options["count"], recorder, to_stdout=to_stdout)
        else:
            await stream.one(source, recorder, as_json=kind == "json", ascii=options["as_ascii"])
    finally:
        if recorder is not None:
            recorder.close()


def _show(options: dict[str, Any], settings: Settings) -> int:
    import os
    import sys

    from kolo.beacon import checked_url
    from kolo.paths import find_paths
    from kolo.top.app.screen import Choices, TopApp
    from kolo.top.recording import Recorder
    from kolo.top.remembered import recall, restore
    from kolo.top.settings import shown_settings
    from kolo.top.state import Ui

    paths = find_paths(os.environ)
    memory = paths.state / "top.json"
    kept = recall(memory)
    ui = Ui(readonly=options["readonly"], ascii=options["as_ascii"] or not look(sys.stdout).unicode)
    restore(ui, kept)
    if options["interval"] is not None:
        ui.interval_s = options["interval"]
    away = options["remote"] is not None
    # KOLO_URL is of a real server that is near: a key pressed over another is not meant for it.
    known = "" if away or options["demo"] else os.environ.get("KOLO_URL", "")
    url = options["url"] or known
    choices = Choices(
        theme=options["theme"] or kept.theme,
        colour=look(sys.stdout).colour,
        url=checked_url(url, "--url") if url else "",
        memory=memory,
        recordings=paths.state / "recordings",
        logs=None if away or options["demo"] or options["replay"] else paths.state / "logs",
        settings=shown_settings(settings),
        follow_url=not away,
    )
    source = _source(options, settings, ui.interval_s)
    recorder = Recorder(options["record"]) if options["record"] is not None else None
    app = TopApp(source, ui, choices, recorder=recorder)
    if options["theme"] and options["theme"] not in app.available_themes:
        raise _no_theme(options["theme"], list(app.available_themes))
    try:
        app.run()
    finally:
        if app.recorder is not None:
            app.recorder.close()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
