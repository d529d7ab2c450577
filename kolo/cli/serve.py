"""``kolo serve``: an HTTP server over all models, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import shlex
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

import kolo
from kolo import beacon
from kolo.cli.events import EventPrinter, LogLines
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.root import Command
from kolo.cli.serving import Plan, plan
from kolo.config import BUILTIN_MODEL, load_settings
from kolo.errors import KoloError, UsageError
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.paths import Paths, find_paths
from kolo.server.app import App, create_app
from kolo.server.run import Stop, serve
from kolo.server.served import Served, served
from kolo.server.state import Registry

SHOWN_MODELS = 10
LOAD_FLAGS = ("ctx", "parallel", "threads", "gpu_layers")


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
        _check_loopback(settings.server.host)
    paths = find_paths(os.environ)
    paths.create()
    return asyncio.run(_serve(plan(settings, models, flags, models_dir), paths))


async def _serve(what: Plan, paths: Paths) -> int:
    settings = what.settings
    registry = Registry(paths.state / "engines.json", settings)
    printer = EventPrinter()
    monitor = Monitor(printer)
    loads: list[asyncio.Task[None]] = []
    with _logging(printer):
        async with Manager(settings, sink=monitor.sink) as manager:
            for spec in registry.specs():
                manager.register(spec)
            app = create_app(manager, settings, monitor=monitor, registry=registry)

            def listening(host: str, port: int) -> None:
                url = beacon.server_url(host, port)
                _greet(app, url, what)
                _announce(paths, url)
                loads.extend(asyncio.create_task(_load(manager, name)) for name in what.load)

            try:
                with _signals(app, printer) as stop:
                    await serve(app, on_listening=listening, stop=stop)
            except OSError as error:
                raise _bind_error(error, settings.server.host, settings.server.port) from error
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
        if not stop.asked.is_set():
            n = app.drain.active
            printer.say(
                f"stopping: {n} request{'s' * (n != 1)} to end first (Ctrl-C again ends at once)"
                if n
                else "stopping"
            )
        stop.ask()

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


def _announce(paths: Paths, url: str) -> None:
    """Let other commands find this server, unless one was there before."""
    try:
        other = beacon.light(paths, url)
    except OSError as error:
        talk(f"other commands need --url {url} to find this server: {error}")
        return
    if other is not None:
        talk(
            f"other commands use the server that was there before, at {other.url} "
            f"(pid {other.pid}); this one with --url {url}"
        )


# What may be wrong with an address ---------------------------------------------------------


def _check_loopback(host: str) -> None:
    if not _is_loopback(host):
        raise UsageError(
            f"listening on {host} would let everybody who can reach it use your models:\n"
            "there are no API keys yet to tell who may",
            hint="--allow-unauthenticated if that is what you want, or --host 127.0.0.1",
            param="--host",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found
    )


def _bind_error(error: OSError, host: str, port: int) -> KoloError | OSError:
    """Why the address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return UsageError(
            f"--host {host}: {error.strerror}", hint="--host 127.0.0.1", param="--host"
        )
    match error.errno:
        case errno.EADDRINUSE:
            return UsageError(
                f"port {port} of {host} is in use{_holder(port)}",
                hint=f"--port {port + 1 if port < 65535 else 0}, or stop what uses it",
                param="--port",
            )
        case errno.EACCES | errno.EPERM:
            return UsageError(
                f"this user may not listen on port {port}", hint="--port 8080", param="--port"
            )
        case errno.EADDRNOTAVAIL:
            return UsageError(
                f"{host} is no address of this machine", hint="--host 127.0.0.1", param="--host"
            )
    return error


def _holder(port: int) -> str:
    """Who listens on ``port``, as far as this user may know."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            here = getattr(connection.laddr, "port", None) == port  # an empty tuple has none
            if listens and here and connection.pid is not None:
                process = psutil.Process(connection.pid)
                line = shlex.join(process.cmdline()) or process.name()
                shown = line if len(line) <= 80 else f"{line[:80]}…"
                return f" by process {connection.pid}: {shown}"
    return ""
