"""A run over lines of requests: each that has no result yet is asked, and gets a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from kolo.batch.record import encoded, failed_line
from kolo.batch.request import Id, decoded, id_of
from kolo.batch.results import Kept
from kolo.batch.retry import persistently
from kolo.batch.runner import in_order
from kolo.errors import (
    AuthFailed,
    DeadlineExceeded,
    Forbidden,
    KoloError,
    LoadFailed,
    ModelInvalid,
    ModelNotFound,
    OutOfMemory,
    ServerUnreachable,
    UsageError,
)

OF_ALL = (ServerUnreachable, AuthFailed, Forbidden)
"""What would befall every further request too: it ends the run, which can be taken up again."""
OF_THE_MODEL = (ModelNotFound, ModelInvalid, LoadFailed, OutOfMemory)
"""So would these, for requests that name no model of their own."""


class Line(Struct, frozen=True):
    index: int
    """Which request, from 0."""
    number: int
    """Its line in the input, from 1; empty ones count."""
    data: bytes
    result: bytes | None = None
    """What a run before this one has found, encoded."""


class Tally:
    """What has become of the requests."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        self.done = len(kept)
        self.failed = sum(each.error is not None for each in kept)
        self.cut = sum(each.finish_reason == "length" for each in kept)

    def add(self, kept: Kept) -> None:
        self.done += 1
        self.failed += kept.error is not None
        self.cut += kept.finish_reason == "length"


class Run(Struct, kw_only=True):
    """How a run is to go. ``ask`` does one request, its JSON and its line's number, and gives the
    record of its result, which it is to make of the index and the id."""

    ask: Callable[[Any, Line], Awaitable[Struct]]
    write: Callable[[bytes], Awaitable[None]]
    tally: Tally
    concurrency: int
    retries: int
    timeout_s: float | None
    """Of one attempt."""
    told: Callable[[KoloError, float], None]
    """Hears of what is tried again, and after which pause."""

    async def over(
        self,
        source: AsyncIterator[tuple[int, bytes]],
        kept: Sequence[Kept] = (),
        later: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        """Do the lines of ``source`` that are not ``kept``, in order; a result that is there for
        ``later``, by its index, is taken as it is.

        UsageError where those are of other requests. What ends the run is raised when all before
        it is written.
        """
        left = _left(source, kept, later)
        await in_order(left, self._do, self._emit, concurrency=self.concurrency)

    async def _do(self, line: Line) -> bytes:
        if line.result is not None:
            return line.result
        content: Any = None
        try:
            content = decoded(line.data, line.number)
            record = await persistently(
                lambda: self._attempt(content, line), self.retries, told=self.told
            )
        except OF_ALL:
            raise
        except OF_THE_MODEL as error:
            if not (isinstance(content, dict) and content.get("model")):
                raise
            record = failed_line(line.index, id_of(content), error)
        except KoloError as error:
            record = failed_line(line.index, id_of(content), error)
        return encoded(record)

    async def _attempt(self, content: Any, line: Line) -> Struct:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.ask(content, line)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"no complete answer within {self.timeout_s:g} s", hint="a longer --timeout"
            ) from error

    async def _emit(self, record: bytes) -> None:
        await self.write(record)
        self.tally.add(msgspec.json.decode(record, type=Kept))


async def _left(
    source: AsyncIterator[tuple[int, bytes]], kept: Sequence[Kept], later: Mapping[int, bytes]
) -> AsyncIterator[Line]:
    index = 0
    async for number, data in source:
        there = kept[index] if index < len(kept) else None
        result = later.get(index)
        if result is not None:
            there = msgspec.json.decode(result, type=Kept)
        if there is not None and there.id != (asked := _id_in(data)):
            raise UsageError(
                f"line {number} has id {asked!r}, and result {index} in --out {there.id!r}: they "
                "are of different requests",
                hint="another --out",
                param="--out",
            )
        if index >= len(kept):
            yield Line(index, number, data, result)
        index += 1
    there_are = max(len(kept), *(at + 1 for at in later), 0)
    if index < there_are:
        raise UsageError(
            f"--out holds {there_are} results already, and there are only {index} requests",
            hint="another --out",
            param="--out",
        )


def _id_in(data: bytes) -> Id | None:
    try:
        return id_of(decoded(data, 0))
    except UsageError:
        return None
