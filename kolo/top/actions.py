"""What can be asked of the server by HTTP: load, unload, pin, cancel, fetch; and its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from kolo.client import engines
from kolo.client.http import Http
from kolo.errors import Unsupported


class ModelStatus(Struct, frozen=True):
    value: str = ""
    failed: bool = False
    error: str = ""


class ModelFile(Struct, frozen=True):
    n_params: int = 0
    size_bytes: int = 0
    quant: str = ""


class ModelView(Struct, frozen=True):
    """What a server says of a model that can be asked for; it may say more than this reads."""

    id: str
    aliases: list[str] = []
    tags: list[str] = []
    description: str = ""
    source: str = ""
    status: ModelStatus = ModelStatus()
    file: ModelFile | None = None


class _Models(Struct, frozen=True):
    data: list[ModelView]


class Actions:
    """At the server at ``url``. Everything raises the server's own errors, or that there is
    none."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def models(self) -> list[ModelView]:
        async with self._http() as http:
            told: _Models = await http.get("/v1/models", _Models)
            return sorted(told.data, key=lambda model: model.id)

    async def about(self, model: str) -> dict[str, Any]:
        """All that the server tells of one model."""
        async with self._http() as http:
            path = f"/models/{quote(model, safe='')}/status"
            told: dict[str, Any] = await http.get(path, dict[str, Any])
            return told

    async def load(self, model: str) -> str:
        """Begin a load; the engine's id. How it goes on is seen in the snapshots."""
        async with self._http() as http:
            return await engines.start_load(http, {"model": model})

    async def unload(self, engine: str, *, force: bool) -> None:
        async with self._http() as http:
            await engines.unload(http, engine, force=force)

    async def pin(self, engine: str, pinned: bool) -> None:
        async with self._http() as http:
            await engines.start_load(http, {"model": engine, "pin": pinned})

    async def cancel(self, engine: str, request: int) -> None:
        async with self._http() as http:
            path = f"/engines/{quote(engine, safe='')}/requests/{request}/cancel"
            await http.post(path, None)

    async def pull(self, model: str) -> None:
        """Begin to fetch a model. Unsupported where the server does not fetch any."""
        async with self._http() as http:
            if not await self._pulls(http):
                raise Unsupported(
                    "this server fetches no models", hint=f"kolo pull {model}", param="model"
                )
            await http.post("/models", {"model": model})

    async def can_pull(self) -> bool:
        async with self._http() as http:
            return await self._pulls(http)

    async def _pulls(self, http: Http) -> bool:
        """Whether its description of itself lists the route of downloads."""
        described: dict[str, Any] = await http.get("/openapi.json", dict[str, Any])
        return any(path.startswith("/downloads") for path in described.get("paths", ()))

    @asynccontextmanager
    async def _http(self) -> AsyncIterator[Http]:
        async with Http(self.url) as http:
            yield http
