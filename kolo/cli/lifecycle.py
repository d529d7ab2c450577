"""What a supervisor and an operator may tell a server, and what it tells them: signals, systemd.

SIGTERM and SIGINT stop it, a second one at once. SIGHUP has it read its settings anew, unless it
means that the terminal is gone; SIGUSR1 has it open its log anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kolo.cli.events import EventPrinter
from kolo.cli.journal import Journal
from kolo.errors import KoloError
from kolo.manager.sink import NullSink
from kolo.server.app import App
from kolo.server.reload import Reloader
from kolo.server.run import CLOSE_S, FAREWELL_S, Stop
from kolo.service.notify import Notifier
from kolo.types import ModelInfo

log = logging.getLogger(__name__)

MARGIN_S = 30.0
"""That a stop may take beyond its deadlines, before systemd is to end it."""
MIN_BEAT_S = 0.05


class Lifecycle(NullSink):
    """Signals in, notifications out. As a sink of the manager it keeps systemd's line about the
    service up to date."""

    def __init__(self, printer: EventPrinter, journal: Journal, notifier: Notifier) -> None:
        self.stop = Stop()
        self._printer = printer
        self._journal = journal
        self._notifier = notifier
        self._url = ""
        self._loaded: dict[str, None] = {}
        self._reloading: set[asyncio.Task[None]] = set()
        self._terminals = _terminals()
        self._app: App | None = None

    @contextmanager
    def heeding(self, app: App) -> Iterator[None]:
        """Heed signals, and tell systemd, for as long as the block runs."""
        self._app = app
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGINT: self._ask,
            signal.SIGTERM: self._ask,
            signal.SIGHUP: self._hang_up,
            signal.SIGUSR1: self._journal.reopen,
        }
        if app.service.reloader is not None:
            self._watch_reloads(app.service.reloader)
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        beating = asyncio.create_task(self._beat(), name="beat for the watchdog")
        try:
            yield
        finally:
            beating.cancel()
            for task in self._reloading:
                task.cancel()
            for number in handlers:
                loop.remove_signal_handler(number)

    def listening(self, url: str) -> None:
        """Clients can connect."""
        self._url = url
        self._notifier.ready(self._status())

    # Of the manager --------------------------------------------------------------------------

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loaded[id] = None
        self._tell()

    def unloaded(self, id: str, reason: str) -> None:
        self._loaded.pop(id, None)
        self._tell()

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.pop(id, None)
        self._tell()

    # Stopping --------------------------------------------------------------------------------

    def _ask(self) -> None:
        first = not self.stop.asked.is_set()
        self.stop.ask()
        if not first:
            return
        assert self._app is not None
        self._printer.closing = True
        n = self._app.drain.working
        text = f"stopping: {n} request{'s' * (n != 1)} to end first" if n else "stopping"
        self._printer.say(f"{text} (Ctrl-C again ends at once)" if n else text, event="stopping")
        deadline_s = self._app.service.options.stop_timeout_s
        self._notifier.stopping(text, deadline_s + FAREWELL_S + CLOSE_S + MARGIN_S)

    # Reloading -------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        if any(_has_closed(terminal) for terminal in self._terminals):
            self._ask()
            return
        self._journal.reopen()
        reloader = self._app.service.reloader if self._app is not None else None
        if reloader is not None and not self.stop.asked.is_set():
            task = asyncio.create_task(_reload(reloader), name="reload")
            self._reloading.add(task)
            task.add_done_callback(self._reloading.discard)

    def _watch_reloads(self, reloader: Reloader) -> None:
        reloader.began = self._notifier.reloading
        reloader.ended = self._reloaded

    def _reloaded(self, text: str) -> None:
        if not self.stop.asked.is_set():
            self._notifier.ready(f"{self._status()} · {text}")

    # Telling ---------------------------------------------------------------------------------

    def _status(self) -> str:
        loaded = ", ".join(self._loaded) or "nothing"
        return f"serves at {self._url} · loaded: {loaded}"

    def _tell(self) -> None:
        if self._url and not self.stop.asked.is_set():
            self._notifier.status(self._status())

    async def _beat(self) -> None:
        """Twice in the watchdog's time, from the event loop: a loop that hangs does not beat. A
        server that has failed leaves the block that this runs in."""
        interval_s = self._notifier.watchdog_s / 2
        while interval_s:
            self._notifier.alive()
            await asyncio.sleep(max(interval_s, MIN_BEAT_S))


async def _reload(reloader: Reloader) -> None:
    try:
        await reloader.reload()
    except KoloError:
        return  # it is in the log by now
    except Exception:  # nobody waits for this task who would hear of it
        log.exception("the settings could not be read anew")


def _terminals() -> list[int]:
    """Of stdin and stderr those that are a terminal."""
    return [fd for fd in (0, 2) if os.isatty(fd)]


def _has_closed(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False
