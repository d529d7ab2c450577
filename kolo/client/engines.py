"""The engines of a server: list, load with progress, unload, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from kolo.client.http import Http
from kolo.errors import ServerUnreachable

Progress = Callable[[str, float], None]
"""Is told a stage of a load and how far it is, 0 to 1."""


class EngineView(Struct, kw_only=True):
    """What a server says of one engine; what it does not know is None."""

    engine_id: str
    state: str
    """``unloaded``, ``loading``, ``loaded``, ``unloading`` or ``failed``."""
    stage: str = ""
    progress: float = 0.0
    error: str | None = None
    pid: int | None = None
    in_flight: int = 0
    parallel: int | None = None
    ctx: int | None = None
    """Tokens for each request."""
    memory_bytes: int | None = None
    device_bytes: int | None = None
    pinned: bool = False
    ttl_s: float | None = None
    expires_s: float | None = None
    idle_s: float | None = None
    model_path: str = ""
    source: str = ""
    aliases: list[str] = []

    def is_called(self, name: str) -> bool:
        return name == self.engine_id or name in self.aliases


class _Engines(Struct):
    engines: list[EngineView]


class _Loaded(Struct):
    id: str


class _Stage(Struct):
    stage: str = ""
    value: float = 0.0


class _Status(Struct):
    progress: _Stage | None = None


class _Change(Struct):
    """A frame of GET /models/sse."""

    model: str
    event: str
    data: Any = None


async def engines(http: Http) -> list[EngineView]:
    """Every engine of the server, loaded or not."""
    listed: _Engines = await http.get("/engines", _Engines)
    return listed.engines


async def find_engine(http: Http, name: str) -> EngineView | None:
    return next((engine for engine in await engines(http) if engine.is_called(name)), None)


async def load(http: Http, how: dict[str, Any], progress: Progress) -> str:
    """POST /models/load with ``how``, and wait for its end; the engine's id.

    Raises what the load failed with, or ServerUnreachable. A caller that goes away leaves the
    load running.
    """
    waiting = http.post("/models/load", {**how, "wait": True}, _Loaded, timeout_s=None)
    loading = asyncio.ensure_future(waiting)
    watching = asyncio.ensure_future(_watch(http, how.get("id") or how["model"], progress))
    try:
        await asyncio.wait({loading, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            await watching  # a server that falls silent ends it with an error
        loaded: _Loaded = await loading
        return loaded.id
    finally:
        for task in (loading, watching):
            task.cancel()
        await asyncio.wait({loading, watching})


async def start_load(http: Http, how: dict[str, Any]) -> str:
    """As ``load``, and do not wait."""
    loaded: _Loaded = await http.post("/models/load", {**how, "wait": False}, _Loaded)
    return loaded.id
