"""Running a server at a terminal or under a supervisor: what it prints, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

import kolo
from kolo import beacon
from kolo.cli.address import bind_error, is_loopback
from kolo.cli.events import EventPrinter, LogLines
from kolo.cli.named import Plan
from kolo.cli.output import talk
from kolo.config import BUILTIN_MODEL
from kolo.errors import KoloError
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.monitor.place import socket_path
from kolo.paths import Paths
from kolo.server.app import App, create_app
from kolo.server.run import Stop, serve
from kolo.server.served import Served, served
from kolo.server.state import Registry

SHOWN_MODELS = 10


async def run(what: Plan, paths: Paths) -> int:
    """Serve until a signal says to stop; the exit code. Raises why the address cannot be had."""
    settings = what.settings
    registry = Registry(paths.state / "engines.json", settings)
    printer = EventPrinter()
    monitor = Monitor(printer)
    loads: list[asyncio.Task[None]] = []
    with _logging(printer):
        async with (
            monitor.remembering(paths.state, settings.history),
            monitor.exporting(settings.otel),
            Manager(settings, sink=monitor.sink) as manager,
        ):
            for spec in registry.specs():
                manager.register(spec)
            app = create_app(manager, settings, monitor=monitor, registry=registry)
            watching = monitor.watching(
                manager,
                Path(settings.store.dir or paths.data),
                socket_path(settings, paths),
            )

            def listening(host: str, port: int) -> None:
                url = monitor.url = beacon.server_url(host, port)
                remark = _announce(paths, url)  # whoever reads the greeting finds the server
                _greet(app, url, what)
                for line in (unseen, remark):
                    if line:
                        talk(line)
                loads.extend(asyncio.create_task(_load(manager, name)) for name in what.load)

            loads.append(asyncio.create_task(printer.hear_downloads(monitor.feed)))
            try:
                with _signals(app, printer) as stop:
                    async with watching as problem:
                        unseen = f"kolo top cannot see this server: {problem}" if problem else ""
                        await serve(app, on_listening=listening, stop=stop)
            except OSError as error:
                raise bind_error(error, settings.server.host, settings.server.port) from error
            finally:
                printer.closing = True
                beacon.put_out(paths)
                for load in loads:
                    load.cancel()
        printer.say("stopped")
    return 0


async def _load(manager: Manager, name: str) -> None:
    with suppress(KoloError):  # the printer tells
        await manager.load(name)


@contextmanager
def _signals(app: App, printer: EventPrinter) -> Iterator[Stop]:
    """The first signal asks running answers to end by themselves, the second ends them."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def ask() -> None:
        first = not stop.asked.is_set()
        stop.ask()
        if first:
            n = app.drain.active
            printer.say(
                f"stopping: {n} request{'s' * (n != 1)} to end first (Ctrl-C again ends at once)"
                if n
                else "stopping"
            )

    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _logging(printer: EventPrinter) -> Iterator[None]:
    handler = LogLines(printer)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        printer.close()


# What is printed at the start --------------------------------------------------------------


def _greet(app: App, url: str, what: Plan) -> None:
    models = served(app.service)
    talk(f"Kolo {kolo.__version__} serves at {url}\n")
    width = max(len(model.id) for model in models)
    first = [model for model in models if model.id in what.load]
    ordered = [*first, *(model for model in models if model not in first)]
    for model in ordered[:SHOWN_MODELS]:
        now = " · loading" if model.id in what.load else ""
        talk(f"  {model.id:{width}}  {_origin(model)}{now}")
    if len(models) > SHOWN_MODELS:
        talk(f"  and {len(models) - SHOWN_MODELS} more: kolo ps")
    name = ordered[0].id if first else BUILTIN_MODEL
    body = {"model": name, "messages": [{"role": "user", "content": "What is Kolo?"}]}
    example = shlex.quote(msgspec.json.encode(body).decode())
    talk(f"\ntry: curl {url}/v1/chat/completions -d {example}")
    talk(f"     {url}/docs describes every route\n")
    if not is_loopback(app.service.options.host):
        talk("whoever can reach this machine can use it: there are no API keys")
    for remark in (*what.remarks, *_remarks(app.service.registry)):
        talk(remark)


def _origin(model: Served) -> str:
    if model.source == "builtin":
        return "built in"
    home = os.environ.get("HOME", "")
    path = model.path
    return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def _remarks(registry: Registry) -> Iterator[str]:
    if registry.problem:
        yield registry.problem
    for id in registry.hidden():
        yield f"{id}, added at run time, gives way to the model of that name in the settings"
    for spec in registry.specs():
        if not spec.path.exists():
            yield f"{spec.id}, added at run time: its file {spec.path} is not there now"


def _announce(paths: Paths, url: str) -> str:
    """Let other commands find this server, or say how they can."""
    try:
        other = beacon.light(paths, url)
    except OSError as error:
        return f"other commands need --url {url} to find this server: {error}"
    if other is None:
        return ""
    return (
        f"other commands use the server that was there before, at {other.url} "
        f"(pid {other.pid}); this one with --url {url}"
    )
