"""Serving an app on Hypercorn until it is told to stop, and stopping it well.

One process and one worker: the manager and its engines cannot be in two. A stop is in steps,
each with a deadline: no new work is taken; what runs may go on; what is left then is failed, so
that each stream gets a last event; only then Hypercorn, which would cut them, closes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypercorn.asyncio import serve as hypercorn_serve

from kolo.server import connection
from kolo.server.app import App
from kolo.server.listening import Listening, scarcity_told

FAREWELL_S = 5.0
"""For the last events of streams that were failed to be sent."""
SAVE_LEAST_S = 2.0
"""For engines to save what they have cached, though the time to stop is over."""
CLOSE_S = 5.0
"""For Hypercorn to close; on Python 3.12 it may wait for a client that never reads."""

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

    ``on_listening`` is called once with the address bound to, when clients can connect; the host
    is ``unix:PATH`` where there is no port. Raises OSError or ConfigError when it cannot be bound.
    The manager is closed when it was told to stop; else it is the caller's to close.
    """
    options = app.service.options
    connection.install()
    listening = Listening(options)
    config = listening.config()
    config.graceful_timeout = CLOSE_S
    with _signals(stop) as stop, scarcity_told():
        closing = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn_serve(app, config, shutdown_trigger=closing.wait), name="serve"
        )
        renewing = asyncio.create_task(listening.renew(), name="renew the certificate")
        if on_listening is not None:
            on_listening(listening.host, listening.port)
        app.service.downloads.go_on()
        try:
            await _asked_or_failed(serving, stop)
            await _drain(app, stop)
        finally:
            closing.set()
            renewing.cancel()
            listening.close()
            done, _ = await asyncio.wait({serving}, timeout=CLOSE_S)
            if not done:
                log.warning("some connections did not close and were cut off")
                serving.cancel()
                await asyncio.wait({serving}, timeout=CLOSE_S)
        if serving.done() and not serving.cancelled():
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
    save_by_s = asyncio.get_running_loop().time() + max(timeout_s, SAVE_LEAST_S)
    hurrying = asyncio.create_task(stop.at_once.wait())
    fetching = asyncio.create_task(app.service.downloads.close())
    idle = asyncio.create_task(app.drain.idle(timeout_s))
    settled = asyncio.create_task(asyncio.wait({fetching, idle}, timeout=timeout_s))
    try:
        await asyncio.wait({hurrying, settled}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (hurrying, settled, idle):
            task.cancel()
    working = app.drain.working
    if working:
        log.warning("cut off: %d request%s", working, "s" * (working != 1))
    await _unload(app, stop, save_by_s)
    if working:
        await app.drain.idle(FAREWELL_S)
    done, _ = await asyncio.wait({fetching}, timeout=FAREWELL_S)
    if not done:
        log.warning("some downloads did not stop; what they have is kept")
        fetching.cancel()


async def _unload(app: App, stop: Stop, save_by_s: float) -> None:
    """Unload all engines. They save what they have cached in what is left of the time to stop,
    or in a little more; not when the stop is to be at once."""
    manager = app.service.manager
    left_s = max(save_by_s - asyncio.get_running_loop().time(), SAVE_LEAST_S)
    save_s = 0.0 if stop.at_once.is_set() else left_s
    closing = asyncio.create_task(manager.close(save_s=save_s), name="unload all")
    hurrying = asyncio.create_task(stop.at_once.wait())
    await asyncio.wait({closing, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not closing.done():
        manager.hurry()
    await closing


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
