"""One request's answer, whatever API asked for it: an engine, its deltas, how it ended.

A request is one Generate, or several where a list of prompts was sent. Its choices are numbered
as OpenAI numbers them: choice j of prompt i is ``i * n + j``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kolo.errors import DeadlineExceeded, InternalError
from kolo.manager.engine import Engine
from kolo.manager.stream import Stream
from kolo.server.scores import Shown
from kolo.stats import SlotStats
from kolo.types import (
    Delta,
    FinishReason,
    Generate,
    Generated,
    TokenLogprob,
    ToolCallDelta,
)

_UNREAD = 64
"""Batches of a list of prompts that may wait for a slow reader."""


class Source:
    """The deltas of a request, batch by batch; ``results`` once it is over, one a prompt."""

    def __init__(self, engine: Engine, stream: Stream) -> None:
        self._engine = engine
        self._stream = stream

    @property
    def results(self) -> list[Generated]:
        result = self._stream.result
        if result is None:
            raise InternalError("an answer ended without a result")
        return [result]

    async def next_batch(self) -> list[Delta]:
        """Every delta that waits, at least one; empty at the end. Cancelling it loses nothing."""
        return await self._stream.next_batch()

    async def slot(self) -> SlotStats | None:
        """The slot that works on it, between two steps; None while it waits for one, once it is
        done, and where the engine has no time to say."""
        try:
            stats = await self._engine.stats()
        except DeadlineExceeded:
            return None
        return next((slot for slot in stats.slots if slot.request == self._stream.id), None)


class _Many(Source):
    """Several prompts, as many at a time as the engine has slots: one list of prompts must not
    fill the queue for everybody else."""

    def __init__(self, engine: Engine, ops: Sequence[Generate]) -> None:
        self._engine = engine
        self._ops = ops
        self._queue: asyncio.Queue[list[Delta] | Exception] = asyncio.Queue(_UNREAD)
        self._results: list[Generated | None] = [None] * len(ops)
        self._left = len(ops)
        self._waiting = iter(enumerate(ops))
        width = min(len(ops), engine.info.parallel)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(width)]

    @property
    def results(self) -> list[Generated]:
        return [result for result in self._results if result is not None]

    async def slot(self) -> SlotStats | None:
        """None: there are several."""
        return None

    async def next_batch(self) -> list[Delta]:
        while self._left:
            item = await self._queue.get()
            if isinstance(item, Exception):
                raise item
            if item:
                return item
            self._left -= 1
        return []

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _work(self) -> None:
        for at, op in self._waiting:
            try:
                await self._answer(at, op)
            except Exception as error:
                await self._queue.put(error)
                return

    async def _answer(self, at: int, op: Generate) -> None:
        async with self._engine.submit(op) as stream:
            while batch := await stream.next_batch():
                for delta in batch:
                    delta.index += at * op.n
                await self._queue.put(batch)
            self._results[at] = stream.result
        await self._queue.put([])


@asynccontextmanager
async def open_source(engine: Engine, ops: Sequence[Generate]) -> AsyncIterator[Source]:
    """Submit ``ops``; leaving the block cancels what still runs."""
    if len(ops) == 1:
        async with engine.submit(ops[0]) as stream:
            yield Source(engine, stream)
        return
    many = _Many(engine, ops)
    try:
        yield many
    finally:
        await many.aclose()


@dataclass(slots=True)
class Call:
    """A tool call, put together."""

    id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """JSON text, as far as the model wrote it."""
        return "".join(self.pieces)


@dataclass(slots=True)
class Choice:
    """One finished answer."""

    index: int
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    """Of every token that was written."""
    shown: list[TokenLogprob] = field(default_factory=list)
    """Of those that the text is made of."""
    finish: FinishReason = "stop"
    stop_sequence: str | None = None
    n_tokens: int = 0
    slot: int = -1
    """Where it was written, at the end."""
    _shown: Shown = field(default_factory=Shown)

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.text.append(delta.text)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        for call in delta.tool_calls:
            self._add_call(call)
        if delta.logprobs or self.logprobs:
            self.logprobs += delta.logprobs
            self.shown += self._shown.feed(delta)
        self.n_tokens += delta.n_tokens
        self.slot = delta.slot
        if delta.finish is not None:
            self.finish, self.stop_sequence = delta.finish, delta.stop_sequence

    def _add_call(self, piece: ToolCallDelta) -> None:
        call = self.calls.get(piece.index)
        if call is None:
            call = self.calls[piece.index] = Call(piece.id, piece.name)
        call.pieces.append(piece.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """All choices of a request, in order, and how each prompt went."""

    choices: list[Choice]
    results: list[Generated]


async def collect(engine: Engine, ops: Sequence[Generate]) -> Answer:
    """Wait for the whole answer."""
    choices = {index: Choice(index) for index in range(sum(op.n for op in ops))}
    async with open_source(engine, ops) as source:
        while batch := await source.next_batch():
            for delta in batch:
                choices[delta.index].add(delta)
        return Answer(list(choices.values()), source.results)
