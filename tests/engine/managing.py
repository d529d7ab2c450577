"""A manager over fake workers, whose memory is what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
from recorder import Recorder

from kolo.config import Settings
from kolo.manager.budget import HOST, Pools
from kolo.manager.engine import Engine
from kolo.manager.gauge import Need
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.manager.saved import PrefixFolder
from kolo.manager.status import EngineStatus
from kolo.models.resolve import ModelSpec
from kolo.types import Generate, LoadParams, Prompt

GIB = 1 << 30
ENDLESS = {"row_ms": 5, "words": 10**9}
"""A script whose answers do not end within any test."""


def spec(id: str, script: Mapping[str, Any] | None = None, **more: Any) -> ModelSpec:
    """A fake engine that acts by ``script`` (``engine.fake.Script``)."""
    path = Path(msgspec.json.encode(script or {}).decode())
    params = more.pop("params", LoadParams(parallel=8, ctx=4096, warmup=False))
    return ModelSpec(id=id, path=path, params=params, source="config", **more)


class Scales:
    """A gauge: engine ``x3`` needs and holds 3 GiB, of ``gib`` in all."""

    def __init__(self, gib: int) -> None:
        self.gib = gib

    async def refresh(self) -> None:
        pass

    def budget(self, pids: Iterable[int]) -> Pools:
        return {HOST: self.gib * GIB}

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        return Need(spec.params, {HOST: int(spec.id[1:]) * GIB})

    def held(self, pid: int, need: Pools, report: Mapping[str, int]) -> Pools:
        return need

    def learn(self, spec: ModelSpec, need: Need, held: Pools) -> None:
        pass


class House:
    """A manager, what it told, and some ways to look at it."""

    def __init__(self, manager: Manager, sink: Recorder) -> None:
        self.manager = manager
        self.sink = sink

    def status(self, id: str) -> EngineStatus:
        return next(status for status in self.manager.list() if status.id == id)

    def states(self) -> dict[str, str]:
        return {status.id: status.state for status in self.manager.list()}

    async def until(self, id: str, state: str) -> None:
        """Wait for a state that an event announces."""
        await self.sink.until(lambda: self.status(id).state == state)


@asynccontextmanager
async def house(
    folder: Path,
    *,
    gib: int | None = None,
    specs: Iterable[ModelSpec] = (),
    prefixes: PrefixFolder | None = None,
    **limits: Any,
) -> AsyncIterator[House]:
    """A manager that is closed afterwards; no worker may outlive it."""
    before = set(psutil.Process().children())
    sink = Recorder()
    base = Limits(log_folder=folder / "logs", room_wait_ms=60_000, load_deadline_ms=60_000)
    manager = Manager(
        Settings(),
        sink=sink,
        backend="fake",
        limits=replace(base, **limits),
        gauge=None if gib is None else Scales(gib),
        prefixes=prefixes,
    )
    for one in specs:
        manager.register(one)
    try:
        yield House(manager, sink)
    finally:
        await manager.close()
        assert set(psutil.Process().children()) <= before


def ask(text: str = "hello", **options: Any) -> Generate:
    return Generate(input=Prompt(text=text), **options)


async def answer(engine: Engine, text: str = "hello", **options: Any) -> str:
    async with engine.submit(ask(text, **options)) as stream:
        return "".join([delta.text async for delta in stream])
