"""The monitor socket of a server under test, read as a client would."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serving import House, house

from kolo.monitor.subscribe import Link
from kolo.snapshot import Snapshot

DEADLINE_S = 60.0


@asynccontextmanager
async def watched(folder: Path, **how: Any) -> AsyncIterator[tuple[House, Path]]:
    """A house (``serving.house``) with the socket of its monitor, which is gone after it."""
    path = folder / "monitor.sock"
    async with house(folder, socket=path, **how) as place:
        yield place, path
    assert path.name not in os.listdir(folder)


async def until(link: Link, true_of: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that ``true_of`` is true of."""
    async with asyncio.timeout(DEADLINE_S):
        async for message in link:
            if isinstance(message, Snapshot) and true_of(message):
                return message
    raise AssertionError("the server hung up")


class Raw:
    """A client that knows nothing but lines of JSON."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def line(self) -> Any:
        """The next line, decoded; None at the end."""
        async with asyncio.timeout(DEADLINE_S):
            data = await self.reader.readline()
        return json.loads(data) if data else None

    async def next(self, type: str) -> Any:
        """The next line of a type."""
        while (line := await self.line()) is not None:
            if line["type"] == type:
                return line
        raise AssertionError(f"it ended without {type}")

    def send(self, text: str) -> None:
        self.writer.write(text.encode() + b"\n")


@asynccontextmanager
async def raw(path: Path) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
