"""The demo as a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from kolo.snapshot import Message
from kolo.top.demo.world import World
from kolo.top.session import Told

HEAD_START_S = 90
"""What has happened before it is looked at, so that the graphs are not empty."""


class Demo:
    name = "demo"

    def __init__(self, world: World, *, interval_s: float = 1.0) -> None:
        self._world = world
        self._interval_s = interval_s
        self._asked = asyncio.Event()

    def ask(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._asked.set()

    async def once(self) -> AsyncGenerator[Message, None]:
        """As ``told``, with the head start in one go."""
        yield self._world.hello()
        for message in self._world.run(HEAD_START_S):
            yield message
        async for told in self._go_on():
            yield told

    async def told(self) -> AsyncGenerator[Told, None]:
        yield self._world.hello()
        for _ in range(HEAD_START_S):
            for message in self._world.run(1.0):
                yield message
        async for message in self._go_on():
            yield message

    async def _go_on(self) -> AsyncGenerator[Message, None]:
        while True:
            self._asked.clear()
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._asked.wait()
            except TimeoutError:
                for message in self._world.run(self._interval_s):
                    yield message
