"""All that watches one server, and the one sink through which the manager tells it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import kolo
from kolo.config import HistorySettings, OtelSettings
from kolo.errors import ConfigError, KoloError
from kolo.manager.manager import Manager
from kolo.manager.meter import Emission
from kolo.manager.sink import Finished, Sink, tell
from kolo.monitor.collect import Collector
from kolo.monitor.completions import Completions
from kolo.monitor.eventlog import EventLog
from kolo.monitor.feed import Feed
from kolo.monitor.gpu import gpus_of_this_machine
from kolo.monitor.history.history import History
from kolo.monitor.poll import Poller
from kolo.monitor.publish import Publisher
from kolo.monitor.readings import Readings
from kolo.monitor.system import HostMonitor
from kolo.snapshot import Download, Gpu, Level, Server
from kolo.types import ModelInfo

log = logging.getLogger(__name__)


class Monitor:
    """Made before the manager, which is given ``sink``. It reads; it changes nothing.

    ``sinks`` are told everything too, such as a command line that prints a line per event. Counting
    begins at once; all else with ``watching``. ``gpus`` reads them, and may block.
    """

    def __init__(self, *sinks: Sink, gpus: Callable[[], list[Gpu]] | None = None) -> None:
        self.completions = Completions()
        self.log = EventLog()
        self.feed = Feed(self.log.heard)
        self.host = HostMonitor()
        self.sink = Tee(self.completions, self.feed, self.log, *sinks)
        self.collector: Collector | None = None
        """Makes snapshots; None unless ``watching``."""
        self.readings: Readings | None = None
        """Of the machine; likewise."""
        self.history: History | None = None
        """None unless ``remembering``."""
        self.url = ""
        """Where the server's HTTP answers, once it does."""
        self.unix: str | None = None
        """A Unix socket where it does too."""
        self.downloads: Callable[[], list[Download]] = list
        """What is being fetched now."""
        self._gpus = gpus or gpus_of_this_machine()
        self._started_at = time.time()

    @asynccontextmanager
    async def watching(
        self, manager: Manager, folder: Path, socket: Path | None = None
    ) -> AsyncIterator[str]:
        """Watch ``manager`` for as long as the block runs, and say so on ``socket`` if one is
        given; yields why that cannot be, or nothing.

        ``folder`` is where models are kept, whose disk is watched.
        """
        readings = Readings(self.host, folder, self._gpus)
        poller = Poller(manager, self.completions.computed, time.monotonic)
        collector = Collector(manager, self.completions, poller, readings)
        collector.downloads = lambda: self.downloads()
        self.readings, self.collector = readings, collector
        tasks = [asyncio.create_task(poller.run(), name="ask workers")]
        if self.history is not None:
            remembering = self.history.sample(collector.take)
            tasks.append(asyncio.create_task(remembering, name="sample for the history"))
        self.log.add("server", f"Kolo {kolo.__version__} started (pid {os.getpid()})")
        try:
            problem = ""
            if socket is not None:
                publisher = Publisher(socket, self.log, collector.take, self._server)
                collector.watchers = lambda: publisher.n_clients
                publishing, problem = await _started(publisher)
                tasks.append(publishing)
            yield problem
        finally:
            self.readings = self.collector = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            readings.close()

    @asynccontextmanager
    async def remembering(self, folder: Path, settings: HistorySettings) -> AsyncIterator[None]:
        """Keep a history in ``folder``, unless the settings say not to, for as long as the block
        runs: around the manager and ``watching``, so that the last unloads are part of it."""
        if not settings.enabled:
            yield
            return
        self.history = History(folder, settings, self.completions, self._history_says)
        try:
            async with self.history.keeping(self.log):
                yield
        finally:
            self.history = None

    @asynccontextmanager
    async def exporting(self, settings: OtelSettings) -> AsyncIterator[None]:
        """Tell OpenTelemetry of every request, if the settings say so, for as long as the block
        runs. Raises ConfigError when its packages are not installed."""
        if not settings.enabled:
            yield
            return
        try:
            from kolo.monitor import otel
        except ImportError as error:
            raise ConfigError(
                f"OpenTelemetry is enabled, but cannot be imported: {error}",
                hint="pip install 'kolo-llm[otel]', or set otel.enabled = false.",
                param="otel.enabled",
            ) from None
        async with otel.exporting(settings, lambda: self.url) as telemetry:
            self.sink.add(telemetry)
            yield

    def _history_says(self, level: Level, text: str) -> None:
        log.log(logging.WARNING if level == "warning" else logging.INFO, "%s", text)
        self.log.add("server", text, level=level)

    def stopping(self) -> None:
        """The server takes no more requests."""
        self.feed.close()
        self.log.add("server", "stopping: no new requests are taken")
        if self.collector is not None:
            self.collector.stopping = True

    def removed(self, id: str) -> None:
        """An engine is known no more."""
        self.feed.removed(id)
        self.log.removed(id)  # the history counts at this what the engine did last
        self.completions.forget(id)

    def _server(self) -> Server:
        return Server(
            version=kolo.__version__,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=self._started_at,
            url=self.url,
            unix=self.unix,
        )


async def _started(publisher: Publisher) -> tuple[asyncio.Task[None], str]:
    """Its task, and why it could not begin."""
    listening = asyncio.Event()
    task = asyncio.create_task(publisher.run(listening.set), name="publish")
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if listening.is_set():
        return task, ""
    error = task.exception()
    if not isinstance(error, ConfigError):
        raise error or RuntimeError("the publisher ended before it began")
    return task, _said(error)


def _said(error: KoloError) -> str:
    return f"{error.message}\n  try: {error.hint}" if error.hint else error.message


class Tee:
    """A sink that tells several; one that raises is reported and silences no other."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = [*sinks]

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def loading(self, id: str, stage: str, fraction: float) -> None:
        for sink in self._sinks:
            tell(sink.loading, id, stage, fraction)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        for sink in self._sinks:
            tell(sink.loaded, id, info, load_ms)

    def unloaded(self, id: str, reason: str) -> None:
        for sink in self._sinks:
            tell(sink.unloaded, id, reason)

    def crashed(self, id: str, reason: str) -> None:
        for sink in self._sinks:
            tell(sink.crashed, id, reason)

    def refused(self, id: str, error: KoloError) -> None:
        for sink in self._sinks:
            tell(sink.refused, id, error)

    def emitted(self, id: str, emission: Emission) -> None:
        for sink in self._sinks:
            tell(sink.emitted, id, emission)

    def finished(self, id: str, request: Finished) -> None:
        for sink in self._sinks:
            tell(sink.finished, id, request)

    def note(self, id: str, level: str, message: str) -> None:
        for sink in self._sinks:
            tell(sink.note, id, level, message)
