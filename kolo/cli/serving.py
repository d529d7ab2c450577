"""Running a server at a terminal or under a supervisor: what it prints, and how it stops."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kolo import beacon
from kolo.audit import audit_file
from kolo.cli.address import bind_error
from kolo.cli.events import EventPrinter
from kolo.cli.greeting import announce, greet, tell
from kolo.cli.journal import check_file, journal
from kolo.cli.lifecycle import Lifecycle
from kolo.cli.named import Plan
from kolo.cli.output import talk
from kolo.config import Settings
from kolo.errors import KoloError
from kolo.keys import Keyring, keys_file
from kolo.manager.manager import Manager
from kolo.manager.saved import PrefixFolder
from kolo.monitor.gpu_memory import GpuMemories
from kolo.monitor.monitor import Monitor
from kolo.monitor.place import socket_path
from kolo.paths import Paths
from kolo.server.access.gate import Access
from kolo.server.app import create_app
from kolo.server.recent import Recent
from kolo.server.reload import Reloader
from kolo.server.run import serve
from kolo.server.state import Registry
from kolo.server.statelock import held
from kolo.service.notify import Notifier


async def run(what: Plan, paths: Paths, read: Callable[[], Plan], *, as_json: bool = False) -> int:
    """Serve until a signal says to stop; the exit code. ``read`` reads everything anew, for a
    reload. Raises why the address, or the state folder, cannot be had."""
    settings, recent = what.settings, Recent()
    notifier = Notifier.from_environment(os.environ)
    with held(paths.state) as lock, journal(settings.log, recent) as log:
        registry = Registry(paths.state / "engines.json", settings)
        token = secrets.token_urlsafe(32)
        access = Access(
            settings, keys=Keyring(keys_file(paths)), audit_log=audit_file(paths), token=token
        )
        printer = EventPrinter(log)
        lifecycle = Lifecycle(printer, log, notifier)
        monitor = Monitor(printer, lifecycle)
        loads: list[asyncio.Task[None]] = []
        async with (
            monitor.remembering(paths.state, settings.history),
            monitor.exporting(settings.otel),
            Manager(
                settings,
                sink=monitor.sink,
                prefixes=_prefixes(settings, paths),
                read_gpus=GpuMemories(),
            ) as manager,
        ):
            for spec in registry.specs():
                manager.register(spec)
            app = create_app(
                manager,
                settings,
                monitor=monitor,
                registry=registry,
                downloads_file=paths.state / "downloads.json",
                access=access,
            )
            app.service.recent = recent
            app.service.followers.append(lambda settings: log.follow(settings.log))
            app.service.reloader = Reloader(app.service, lambda: _checked(read().settings))
            watching = monitor.watching(
                manager,
                Path(settings.store.dir or paths.data),
                socket_path(settings, paths),
            )

            def listening(host: str, port: int) -> None:
                server = settings.server
                url = beacon.server_url(host, port, tls=bool(server.tls_cert))
                monitor.url = url
                # Before the greeting: whoever reads that finds the server.
                remark = _announce(paths, url, token, server.tls_cert)
                further = [line for line in (unseen, remark, lock.problem) if line]
                if log.at_hand:
                    greet(app, url, what, further)
                if log.kept:
                    announce(app, url, what, further)
                if as_json:
                    monitored = None if unseen else str(socket_path(settings, paths))
                    tell(app, url, what, monitored)
                lock.say(url)
                lifecycle.listening(url)
                loads.extend(asyncio.create_task(_load(manager, name)) for name in what.load)

            loads.append(asyncio.create_task(printer.hear_downloads(monitor.feed)))
            try:
                with lifecycle.heeding(app):
                    async with watching as problem:
                        unseen = f"kolo top cannot see this server: {problem}" if problem else ""
                        await serve(app, on_listening=listening, stop=lifecycle.stop)
            except OSError as error:
                raise bind_error(error, settings.server.host, settings.server.port) from error
            finally:
                printer.closing = True
                beacon.put_out(paths)
                for load in loads:
                    load.cancel()
        printer.say("stopped", event="stopped")
    return 0


def _prefixes(settings: Settings, paths: Paths) -> PrefixFolder | None:
    """Where engines save what they have cached; None where that is off or cannot be."""
    if not settings.cache.save or not settings.cache.max_size_bytes:
        return None
    try:
        return PrefixFolder.open(paths, settings.cache.max_size_bytes)
    except OSError as error:
        talk(f"cached prefixes are not saved: {error}")
        return None


def _checked(settings: Settings) -> Settings:
    """Raises what would only show when a reload is half done."""
    check_file(settings.log)
    return settings


async def _load(manager: Manager, name: str) -> None:
    with suppress(KoloError):  # the printer tells
        await manager.load(name)


def _announce(paths: Paths, url: str, token: str, certificate: str) -> str:
    """Let other commands find this server, or say how they can."""
    try:
        other = beacon.light(paths, url, token, certificate)
    except OSError as error:
        return f"other commands need --url {url} to find this server: {error}"
    if other is None:
        return ""
    return (
        f"other commands use the server that was there before, at {other.url} "
        f"(pid {other.pid}); this one with --url {url}"
    )
