"""The local maker of ``kolo.connect``: engines of our own behind its interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import PurePath
from typing import Protocol

from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import InternalError, KoloError
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.manager.sink import NullSink
from kolo.manager.stream import Stream
from kolo.types import Delta, Generate, Generated, Inspect, ModelInfo, Operation, Result

PROGRESS_S = 0.25


class Watcher(Protocol):
    """As ``kolo.connect``'s."""

    def loading(self, model: str, fraction: float | None) -> None: ...

    def unloaded(self, model: str) -> None: ...

    def note(self, text: str) -> None: ...


@asynccontextmanager
async def local_connection(
    settings: Settings, watcher: Watcher | None, *, brief: bool
) -> AsyncIterator[LocalConnection]:
    """Engines of our own; their workers end with the block."""
    sink = NullSink() if watcher is None else _Tell(watcher)
    async with Manager(_cold(settings) if brief else settings, sink=sink) as manager:
        yield LocalConnection(manager)


def _cold(settings: Settings) -> Settings:
    models = {
        name: replace(model, params=replace(model.params, warmup=False))
        for name, model in settings.models.items()
    }
    return replace(settings, engine=replace(settings.engine, warmup=False), models=models)


class LocalConnection:
    where = "local"

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def generate(
        self, model: str, op: Generate, *, reading: Callable[[float], None] | None = None
    ) -> LocalStream:
        async with AsyncExitStack() as held:
            engine: Engine = await held.enter_async_context(self._manager.lease(model))
            stream = await held.enter_async_context(engine.submit(op))
            if reading is not None:
                watching = asyncio.create_task(_watch(engine, stream.id, reading))
                held.callback(watching.cancel)
                return LocalStream(stream, held.pop_all(), watching)
            return LocalStream(stream, held.pop_all())

    async def call(self, model: str, op: Operation) -> Result:
        async with self._manager.lease(model) as engine:
            if isinstance(op, Inspect):
                return await engine.stats()
            if isinstance(op, Generate):
                raise InternalError("generate() is for Generate")
            return await engine.call(op)


class LocalStream:
    """An engine's stream that holds the engine's lease until it is closed."""

    def __init__(
        self, stream: Stream, held: AsyncExitStack, watching: asyncio.Task[None] | None = None
    ) -> None:
        self._stream = stream
        self._held = held
        self._watching = watching
        """Tells how far the prompt is read, until the answer begins."""

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._stream if self._watching is None else self._watched(self._watching)

    async def _watched(self, watching: asyncio.Task[None]) -> AsyncIterator[Delta]:
        async for delta in self._stream:
            watching.cancel()
            yield delta

    @property
    def result(self) -> Generated | None:
        return self._stream.result

    async def aclose(self) -> None:
        await self._held.aclose()


async def _watch(engine: Engine, request: int, reading: Callable[[float], None]) -> None:
    """Say how far the prompt of ``request`` is read, for as long as it is."""
    while True:
        await asyncio.sleep(PROGRESS_S)
        try:
            stats = await engine.stats()
        except KoloError:
            return  # whoever reads the answer is told
        slot = next((slot for slot in stats.slots if slot.request == request), None)
        if slot is not None and slot.state == "prefill" and slot.prompt_tokens:
            reading(slot.prompt_done / slot.prompt_tokens)


class _Tell(NullSink):
    """Hands on to a watcher what is of interest to a person who waits."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def loading(self, id: str, stage: str, fraction: float) -> None:
        self._watcher.loading(_title(id), fraction)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._watcher.loading(_title(id), None)

    def unloaded(self, id: str, reason: str) -> None:
        self._watcher.unloaded(_title(id))

    def crashed(self, id: str, reason: str) -> None:
        self._watcher.unloaded(_title(id))

    def note(self, id: str, level: str, message: str) -> None:
        self._watcher.note(f"{_title(id)}: {message}")


def _title(id: str) -> str:
    """The name to show a person: of a file, its name alone."""
    return PurePath(id).stem if "/" in id else id
