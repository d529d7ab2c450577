"""The server on fake workers, called directly or over a real socket, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
from recorder import Recorder

from kolo.config import HistorySettings, Settings
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.models.resolve import ModelSpec
from kolo.monitor.monitor import Monitor
from kolo.server.access.gate import Access
from kolo.server.app import App, create_app
from kolo.server.options import Options
from kolo.server.run import Stop, serve
from kolo.server.state import Registry
from kolo.snapshot import Gpu
from kolo.types import LoadParams

FAKE = "fake"
ENDLESS = {"row_ms": 5, "words": 10**9}
"""A script whose answers do not end within any test."""


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        return events(self.body)


def events(stream: bytes) -> list[Any]:
    """The data of each event; ``[DONE]`` as it is, comments left out."""
    found: list[Any] = []
    for block in stream.decode().split("\n\n"):
        if block.startswith("data: "):
            data = block.removeprefix("data: ")
            found.append(data if data == "[DONE]" else json.loads(data))
        else:
            assert block == "" or block.startswith(":"), block
    return found


def fake(id: str, script: Mapping[str, Any] | None = None, **params: Any) -> ModelSpec:
    """An engine that acts by ``script`` (``engine.fake.Script``)."""
    path = Path(msgspec.json.encode(script or {}).decode())
    return ModelSpec(
        id=id,
        path=path,
        params=LoadParams(**{"parallel": 4, "ctx": 4096, "warmup": False, **params}),
        source="config",
    )


@dataclass
class House:
    """An app around a manager of fake workers, and what the manager told."""

    app: App
    manager: Manager
    sink: Recorder

    async def post(
        self, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Reply:
        data = raw if raw is not None else json.dumps(body).encode()
        return await self._call("POST", path, data=data, headers=headers)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self._call("GET", path, headers=headers)

    async def delete(self, path: str, body: Any = None) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        return await self._call("DELETE", path, data=data)

    async def chat(self, text: str = "hello", **fields: Any) -> Reply:
        messages = [{"role": "user", "content": text}]
        return await self.post("/v1/chat/completions", {"messages": messages, **fields})

    async def complete(self, prompt: Any = "hello", **fields: Any) -> Reply:
        return await self.post("/v1/completions", {"prompt": prompt, **fields})

    async def _call(self, method: str, path: str, **more: Any) -> Reply:
        response = await self.app.test_client().open(path, method=method, **more)
        return Reply(response.status_code, await response.get_data(), response.headers)


@asynccontextmanager
async def house(
    folder: Path,
    *,
    specs: Iterable[ModelSpec] | None = None,
    settings: Settings | None = None,
    backend: str = "fake",
    registry: Registry | None = None,
    limits: Mapping[str, Any] | None = None,
    history: bool = False,
    socket: Path | None = None,
    gpus: Callable[[], list[Gpu]] | None = None,
    access: Access | None = None,
    **options: Any,
) -> AsyncIterator[House]:
    """An app with one fake engine named ``fake``, or ``specs``; no worker outlives it.

    ``socket`` is that of its monitor, if there is to be one; ``gpus`` are those it sees."""
    before = set(psutil.Process().children())
    sink = Recorder()
    monitor = Monitor(sink, gpus=gpus)
    settings = settings or Settings()
    manager = Manager(
        settings,
        sink=monitor.sink,
        backend=backend,
        limits=Limits(log_folder=folder / "logs", **(limits or {})),
    )
    for spec in [fake(FAKE)] if specs is None else specs:
        manager.register(spec)
    app = create_app(
        manager,
        settings,
        monitor=monitor,
        registry=registry,
        options=Options(**{"port": 0, **options}),
        access=access,
    )
    remembered = monitor.remembering(folder, HistorySettings(enabled=history))
    try:
        async with remembered, monitor.watching(manager, folder, socket) as problem:
            assert not problem
            yield House(app, manager, sink)
    finally:
        await manager.close()
        assert set(psutil.Process().children()) <= before


@dataclass
class Served:
    """A house on a real socket."""

    house: House
    client: httpx2.AsyncClient
    port: int
    stop: Stop
    serving: asyncio.Task[None] = field(repr=False)


@asynccontextmanager
async def served(house: House) -> AsyncIterator[Served]:
    """Hypercorn on this event loop, for as long as the block runs."""
    stop = Stop()
    address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(house.app, stop=stop, on_listening=lambda *at: address.set_result(at))
    )
    host, port = await address
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=30) as client:
        try:
            yield Served(house, client, port, stop, serving)
        finally:
            stop.ask()
            stop.ask()
            await serving
