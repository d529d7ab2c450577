"""The engines of a server: list, load with progress, unload, forget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from kolo.client.http import Http

if TYPE_CHECKING:
    from kolo.manager.outlook import Outlook

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
        """By its id, an alias, or the absolute path of its file."""
        return name in (self.engine_id, *self.aliases, self.model_path)


class _Engines(Struct, frozen=True):
    engines: list[EngineView]


class _Loaded(Struct, frozen=True):
    id: str


class _Unloaded(Struct, frozen=True):
    unloaded: list[str]


class _Stage(Struct, frozen=True):
    stage: str = ""
    value: float = 0.0


class _Status(Struct, frozen=True):
    progress: _Stage | None = None
    """Of a load."""


class _Change(Struct, frozen=True):
    """A frame of GET /models/sse."""

    model: str
    data: _Status = _Status()


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
    from kolo.models.folder import stem

    waiting = http.post("/models/load", {**how, "wait": True}, _Loaded, timeout_s=None)
    loading = asyncio.ensure_future(waiting)
    names = {how.get("id"), how["model"], stem(Path(how["model"]))}  # a path's engine has either
    watching = asyncio.ensure_future(_watch(http, names, progress))
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


async def foresee(http: Http, how: dict[str, Any]) -> Outlook:
    """What ``load`` would come to now; nothing is done."""
    from kolo.manager.outlook import Outlook  # heavy, and nobody else here needs it

    told = await http.post("/models/load", {**how, "dry_run": True}, dict[str, msgspec.Raw])
    return msgspec.json.decode(told["outlook"], type=Outlook)


async def unload(http: Http, id: str, *, force: bool = False) -> bool:
    """Unload an engine; False if it was not loaded. Busy if it is in use, unless ``force``."""
    path = f"/api/models/unload/{quote(id, safe='')}"
    done: _Unloaded = await http.post(path, None, _Unloaded, query=_forced(force))
    return bool(done.unloaded)


async def forget(http: Http, id: str, *, force: bool = False) -> None:
    """Unload an engine that was added at run time, and have the server know it no more."""
    await http.delete(f"/engines/{quote(id, safe='')}", query=_forced(force))


def _forced(force: bool) -> dict[str, str]:
    return {"force": "true"} if force else {}


async def _watch(http: Http, names: Collection[str | None], progress: Progress) -> None:
    """Tell how a load goes on for as long as the server tells."""
    async with http.events("GET", "/models/sse") as events:
        async for event in events:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # a frame of another kind
                change = msgspec.json.decode(event.data, type=_Change)
                if change.model in names and change.data.progress is not None:
                    progress(change.data.progress.stage, change.data.progress.value)
