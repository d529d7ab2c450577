"""A connection that finds its server again when that has come back, at another address or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType

from kolo.connect import Connection, Stream
from kolo.errors import KoloError, ServerUnreachable
from kolo.types import Generate, Operation, Result

Open = Callable[[], AbstractAsyncContextManager[Connection]]


class Link:
    """A Connection made by ``open``; ``find`` says where a server is now, if there is one.

    A request that no server has taken is sent once more where one is found. One that was under
    way when its server went is not: its answer may have been seen.
    """

    def __init__(self, open: Open, find: Callable[[], str | None]) -> None:
        self._open = open
        self._find = find
        self._held = AsyncExitStack()
        self._connection: Connection
        self.where = ""

    async def __aenter__(self) -> Link:
        self._connection = await self._held.enter_async_context(self._open())
        self.where = self._connection.where
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    async def generate(
        self, model: str, op: Generate, *, reading: Callable[[float], None] | None = None
    ) -> Stream:
        try:
            return await self._connection.generate(model, op, reading=reading)
        except ServerUnreachable:
            if not await self._found_again():
                raise
        return await self._connection.generate(model, op, reading=reading)

    async def call(self, model: str, op: Operation) -> Result:
        try:
            return await self._connection.call(model, op)
        except ServerUnreachable:
            if not await self._found_again():
                raise
        return await self._connection.call(model, op)

    async def _found_again(self) -> bool:
        """Whether there is a server after all; then this is connected to it."""
        try:
            address = await asyncio.to_thread(self._find)
        except KoloError:
            return False
        if address is None or address == self.where:
            return address is not None
        held = AsyncExitStack()
        connection = await held.enter_async_context(self._open())
        await self._held.aclose()
        self._held, self._connection, self.where = held, connection, connection.where
        return True
