"""What a load is made of: sessions, which a user plays one after the other.

Most are one request. A conversation is several, each waiting for the answer before. Sessions of
one round may wait for each other, as the long prompt does for the streams it is to disturb.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from kolo.bench.prompts import Prompter
from kolo.bench.request import Answer, Ask
from kolo.bench.result import WorkloadInfo


class Send(Protocol):
    """Sends a request of a session and keeps its sample. ``first`` is set with its first token."""

    async def __call__(self, ask: Ask, *, first: asyncio.Event | None = None) -> Answer: ...


Session = Callable[[Send], Awaitable[None]]


class Lane(Protocol):
    """How a target wants to be asked."""

    @property
    def prompter(self) -> Prompter: ...

    def plain(self, text: str, output_tokens: int, *, group: str = "") -> Ask:
        """A prompt as it is, where the target takes such, and an answer of that length."""

    def chat(self, messages: list[dict[str, str]], output_tokens: int, *, turn: int = 0) -> Ask: ...


class Workload(Protocol):
    """A kind of work. ``n`` sessions are made for a round."""

    info: WorkloadInfo

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]: ...

    def users(self, concurrency: int) -> int:
        """How many play at a time so that ``concurrency`` of them are what the load means."""

    def count(self, concurrency: int) -> int | None:
        """How many sessions a round must have at least, None if any number will do."""


def alone(ask: Ask) -> Session:
    """A session of one request."""

    async def play(send: Send) -> None:
        await send(ask)

    return play
