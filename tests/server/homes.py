"""A server for tests that need real engines, or engines that are kept over a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
from recorder import Recorder
from serving import House, Reply

from kolo.config import Settings
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server.app import create_app
from kolo.server.options import Options
from kolo.server.state import Registry
from kolo.types import LoadParams

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
"""A model that the fake backend takes as well: of the file it reads nothing."""


@asynccontextmanager
async def home(
    folder: Path,
    *,
    backend: str = "fake",
    settings: Settings | None = None,
    registry: Registry | None = None,
    downloads_file: Path | None = None,
    **limits: Any,
) -> AsyncIterator[House]:
    """An app with no engine but the builtin one; no worker outlives it."""
    before = set(psutil.Process().children())
    sink = Recorder()
    monitor = Monitor(sink)
    settings = settings or Settings(engine=LoadParams(threads=1, warmup=False))
    manager = Manager(
        settings,
        sink=monitor.sink,
        backend=backend,
        limits=Limits(log_folder=folder / "logs", **limits),
    )
    app = create_app(
        manager,
        settings,
        monitor=monitor,
        registry=registry,
        options=Options(port=0),
        downloads_file=downloads_file,
    )
    try:
        yield House(app, manager, sink)
    finally:
        await manager.close()
        assert set(psutil.Process().children()) <= before


async def delete(house: House, path: str, body: Any = None) -> Reply:
    data = b"" if body is None else json.dumps(body).encode()
    response = await house.app.test_client().delete(path, data=data)
    return Reply(response.status_code, await response.get_data(), response.headers)


async def get_with_body(house: House, path: str, body: Any) -> Reply:
    response = await house.app.test_client().get(path, data=json.dumps(body).encode())
    return Reply(response.status_code, await response.get_data(), response.headers)
