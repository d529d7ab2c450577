"""One server on the shipped model, in a thread of its own, for all tests that talk to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from kolo.config import Settings
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server.app import create_app
from kolo.server.options import Options
from kolo.server.run import Stop, serve
from kolo.types import LoadParams


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with ``guide``, eight slots."""
    logs = tmp_path_factory.mktemp("live") / "logs"
    started: Future[tuple[str, asyncio.AbstractEventLoop, Stop]] = Future()

    async def run() -> None:
        monitor, stop = Monitor(), Stop()
        settings = Settings(engine=LoadParams(parallel=8, threads=1))
        async with Manager(settings, sink=monitor.sink, limits=Limits(log_folder=logs)) as manager:
            app = create_app(manager, settings, monitor=monitor, options=Options(port=0))
            loop = asyncio.get_running_loop()
            await serve(
                app,
                stop=stop,
                on_listening=lambda host, port: started.set_result(
                    (f"http://{host}:{port}", loop, stop)
                ),
            )

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="live server")
    thread.start()
    url, loop, stop = started.result(60)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.ask)
        thread.join(60)
        assert not thread.is_alive()
