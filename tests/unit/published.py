"""A monitor socket by itself, for tests: snapshots made up, clients real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from kolo.monitor.eventlog import EventLog
from kolo.monitor.publish import Publisher
from kolo.monitor.subscribe import connect
from kolo.snapshot import Message, Request, Server, Snapshot

DEADLINE_S = 30.0
SERVER = Server(version="1.2.3", pid=42, host="box", started_at=1.0, url="http://127.0.0.1:1")


class Source:
    """Makes snapshots, each told by its ``uptime_s``."""

    def __init__(self, padding: int = 0) -> None:
        self.taken = 0
        self.failing = False
        self._requests = [Request(id=at, engine="x" * 80) for at in range(padding)]

    async def take(self) -> Snapshot:
        if self.failing:
            self.failing = False
            raise RuntimeError("a defect")
        self.taken += 1
        return Snapshot(at=0.0, uptime_s=float(self.taken), requests=self._requests)


@asynccontextmanager
async def publishing(
    path: Path, source: Source | None = None, log: EventLog | None = None, **options: Any
) -> AsyncIterator[Publisher]:
    publisher = Publisher(
        path, log or EventLog(), (source or Source()).take, lambda: SERVER, **options
    )
    listening = asyncio.Event()
    task = asyncio.create_task(publisher.run(listening.set))
    waiting = asyncio.create_task(listening.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if task.done():
            task.result()
        yield publisher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():  # noqa: ASYNC110 - of what is watched, nothing tells
            await asyncio.sleep(0.005)


async def messages(path: Path, n: int, **options: Any) -> list[Message]:
    async with asyncio.timeout(DEADLINE_S), connect(path, **options) as link:
        found: list[Message] = [link.hello]
        async for message in link:
            found.append(message)
            if len(found) == n:
                return found
    raise AssertionError(f"only {found}")
