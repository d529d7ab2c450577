"""Serving an app on Hypercorn until it is told to stop, and stopping it well.

One process and one worker: the manager and its engines cannot be in two. A stop is in steps,
each with a deadline: no new work is taken; what runs may go on; what is left then is failed, so
that each stream gets a last event; only then Hypercorn, which would cut them, closes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from kolo.server import connection
from kolo.server.app import App

FAREWELL_S = 5.0
"""For the last events of streams that were failed to be sent."""
CLOSE_S = 5.0
"""For Hypercorn to close; on Python 3.12 it may wait for a client that never reads."""
KEEP_ALIVE_S = 75.0
"""Longer than clients keep a connection, so that none is closed while a request is on it."""
BACKLOG = 1024

log = logging.getLogger(__name__)


class Stop:
    """How a server is told to stop: once to finish what runs, twice to end at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        (self.at_once if self.asked.is_set() else self.asked).set()


async def serve(
    app: App,
    *,
    on_listening: Callable[[str, int], None] | None = None,
    stop: Stop | None = None,
) -> None:
    """Serve until ``stop`` is asked, or without one until SIGINT or SIGTERM.

    ``on_listening`` is called once with the address bound to, when clients can connect.
    Raises OSError when the address cannot be bound. The manager is closed only if answers had
    to be cut off; it is the caller's to close.
    """
    options = app.service.options
    connection.install()
    sock = _bind(options.host, options.port)
    host, port = sock.getsockname()[:2]
    with _signals(stop) as stop:
        closing = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn_serve(app, _config(sock), shutdown_trigger=closing.wait), name="serve"
        )
        if on_listening is not None:
            on_listening(host, port)
        try:
            await _asked_or_failed(serving, stop)
            await _drain(app, stop)
        finally:
            closing.set()
            done, _ = await asyncio.wait({serving}, timeout=CLOSE_S)
            if not done:
                log.warning("some connections did not close and were cut off")
                serving.cancel()
                await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()


async def _asked_or_failed(serving: asyncio.Task[None], stop: Stop) -> None:
    asking = asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait({serving, asking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()


async def _drain(app: App, stop: Stop) -> None:
    """Take no more, let what runs go on until the deadline, and fail the rest."""
    app.drain.stopping = True
    app.service.monitor.stopping()
    timeout_s = app.service.options.stop_timeout_s
    hurrying = asyncio.create_task(stop.at_once.wait())
    fetching = asyncio.create_task(app.service.downloads.close())
    idle = asyncio.create_task(app.drain.idle(timeout_s))
    settled = asyncio.create_task(asyncio.wait({fetching, idle}, timeout=timeout_s))
    try:
        await asyncio.wait({hurrying, settled}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (hurrying, settled, idle):
            task.cancel()
    if app.drain.active:
        log.warning("%d requests are cut off", app.drain.active)
        await app.service.manager.close()
        await app.drain.idle(FAREWELL_S)
    done, _ = await asyncio.wait({fetching}, timeout=FAREWELL_S)
    if not done:
        log.warning("some downloads did not stop; what they have is kept")
        fetching.cancel()


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. IPv4 where a name has both: what it prints is what it listens on."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


def _config(sock: socket.socket) -> Config:
    """Hypercorn's settings. ``sock`` is its own from here on."""
    config = Config()
    config.bind = [f"fd://{sock.detach()}"]
    config.workers = 1
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1 << 30
    config.graceful_timeout = CLOSE_S
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("kolo.server.hypercorn")
    config.loglevel = "WARNING"
    return config


@contextmanager
def _signals(stop: Stop | None) -> Iterator[Stop]:
    """The given way to stop, or one that SIGINT and SIGTERM ask."""
    if stop is not None:
        yield stop
        return
    stop = Stop()
    loop = asyncio.get_running_loop()
    names = (signal.SIGINT, signal.SIGTERM)
    for name in names:
        loop.add_signal_handler(name, stop.ask)
    try:
        yield stop
    finally:
        for name in names:
            loop.remove_signal_handler(name)
