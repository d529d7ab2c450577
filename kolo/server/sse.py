"""Answers that are sent as they form.

Nothing is sent before the first event is there, or ``heartbeat_s`` have passed: until then the
status is open, and a request that is wrong, or a model that cannot be loaded, gets the reply it
should have. After that what goes wrong is an event of its own, and the last one.

A client that leaves cancels the task that waits here, or closes the generator; either way the
blocks are left, the request is cancelled and the engine given back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from quart import Response

from kolo.manager.engine import Engine
from kolo.server.answer import Source, open_source
from kolo.server.envelope import OPENAI, Problem, problem_of
from kolo.server.patience import Patience
from kolo.server.service import Service
from kolo.stats import SlotStats
from kolo.types import Delta, Generate, Generated

SSE = "text/event-stream; charset=utf-8"
HEARTBEAT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode
PROGRESS_S = 0.25
"""Between two looks at how far a prompt is read."""


def event(value: Any) -> bytes:
    """One event with ``value`` as JSON."""
    return b"data: %b\n\n" % _encode(value)


def error_event(problem: Problem) -> bytes:
    """The last event of a stream that could not go on, in OpenAI's envelope."""
    return b"data: %b\n\n" % OPENAI.body(problem)


class Renderer(ABC):
    """Writes the events of one answer in one API's words. Each method returns what is to be
    sent, which may be nothing; what is returned at once is sent in one piece."""

    content_type = SSE
    heartbeat = HEARTBEAT
    """Sent in long silences; empty where the API has no words for nothing."""

    wants_progress = False
    """Whether to be told how far the prompt is read, until the first delta."""
    wants_start = False
    """Whether to be told of the prompt once it is read, before the first delta."""

    @abstractmethod
    async def begin(self, engine: Engine) -> bytes:
        """Before the first delta, with which it is sent."""

    def progress(self, slot: SlotStats) -> bytes:
        """The prompt is being read; sent at once."""
        return b""

    def started(self, slot: SlotStats) -> None:  # noqa: B027 (most have no use for it)
        """The prompt has been read."""

    @abstractmethod
    def deltas(self, batch: Sequence[Delta]) -> bytes:
        """Everything that came since the last call."""

    @abstractmethod
    def end(self, results: Sequence[Generated]) -> bytes:
        """After the last delta, when all went well."""

    @abstractmethod
    def failed(self, problem: Problem) -> bytes:
        """The last event of a stream that could not go on."""


async def stream_reply(
    service: Service, reference: str, ops: Sequence[Generate], renderer: Renderer
) -> Response:
    """The response that streams the answer to ``ops``. Raises what goes wrong before its first
    event."""
    events = _events(service, reference, ops, renderer)
    first = await anext(events)
    response = Response(_Primed(first, events), content_type=renderer.content_type)
    response.timeout = None
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response


class _Primed:
    """A generator of which the first piece was already taken."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        await self._rest.aclose()


async def _events(
    service: Service, reference: str, ops: Sequence[Generate], renderer: Renderer
) -> AsyncGenerator[bytes, None]:
    """Pieces to send. An error before the first piece is raised, a later one is a piece."""
    silence_s = service.options.heartbeat_s
    committed = False
    try:
        async with AsyncExitStack() as held:
            leasing = asyncio.create_task(held.enter_async_context(service.lease(reference)))
            try:
                while not (await asyncio.wait({leasing}, timeout=silence_s))[0]:
                    committed = True
                    yield renderer.heartbeat
            finally:
                # A lease that came while we were leaving is held, and given back by the stack.
                leasing.cancel()
                await asyncio.wait({leasing})
            engine = leasing.result()
            source = await held.enter_async_context(open_source(engine, ops))
            opening = await renderer.begin(engine)
            patience = Patience(silence_s)
            held.callback(patience.close)
            while (got := await _next(source, renderer, patience)) != []:
                if isinstance(got, list):
                    got = opening + renderer.deltas(got)
                    opening = b""
                committed = True
                yield got
            yield opening + renderer.end(source.results)
    except Exception as error:
        if not committed:
            raise
        yield renderer.failed(problem_of(error))


async def _next(source: Source, renderer: Renderer, patience: Patience) -> list[Delta] | bytes:
    """The next deltas, none at the end, or what is sent while there are none."""
    if renderer.wants_progress or renderer.wants_start:
        return await _first(source, renderer, patience.seconds)
    try:
        return await patience.wait(source.next_batch())
    except TimeoutError:
        return renderer.heartbeat


async def _first(source: Source, renderer: Renderer, silence_s: float) -> list[Delta] | bytes:
    """The first deltas, for a renderer that wants to know more of the prompt."""
    clock = asyncio.get_running_loop().time
    patience_s = min(PROGRESS_S, silence_s) if renderer.wants_progress else silence_s
    beat_at_s = clock() + silence_s
    while True:
        try:
            async with asyncio.timeout(patience_s):
                batch = await source.next_batch()
        except TimeoutError:
            slot = await source.slot() if renderer.wants_progress else None
            if slot is not None and (piece := renderer.progress(slot)):
                return piece
            if clock() >= beat_at_s:
                return renderer.heartbeat
            continue
        renderer.wants_progress = False
        if renderer.wants_start and batch and (slot := await source.slot()) is not None:
            renderer.started(slot)
        renderer.wants_start = False
        return batch
