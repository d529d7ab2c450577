"""When requests are sent: by so many users, or at a rate."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

from kolo.bench.client import Client
from kolo.bench.request import Answer, Ask
from kolo.bench.result import Load, Round, Sample
from kolo.bench.sessions import Session

GIVE_UP_AFTER = 20
"""Errors in a row after which the rest of a round is not tried."""


class Playing:
    """One round on one target, and its samples as they come."""

    def __init__(self, client: Client, round: Round) -> None:
        self._client = client
        self._now = asyncio.get_running_loop().time
        self.round = round
        self.began = self._now()
        self._last_end = self.began
        self._errors_in_row = 0

    @property
    def hopeless(self) -> bool:
        return self._errors_in_row >= GIVE_UP_AFTER

    async def send(
        self, ask: Ask, *, first: asyncio.Event | None = None, due: float | None = None
    ) -> Answer:
        """``kolo.bench.sessions.Send``; ``due`` is when it should have been sent."""
        late_s = 0.0 if due is None else self._now() - self.began - due
        answer = await self._client.send(
            ask, round_began=self.began, late_ms=round(late_s * 1000, 3), first=first
        )
        self._keep(answer.sample)
        return answer

    def _keep(self, sample: Sample) -> None:
        self.round.samples.append(sample)
        self._errors_in_row = self._errors_in_row + 1 if sample.error is not None else 0
        self._last_end = self._now()
        self.measure()

    def measure(self) -> None:
        """Bring the round's length up to date: first request sent to last one ended."""
        first_s = min((sample.sent_s for sample in self.round.samples), default=0.0)
        self.round.elapsed_s = round(self._last_end - self.began - first_s, 6)


async def play_users(
    playing: Playing, sessions: Iterator[Session], users: int, until_s: float | None
) -> None:
    """Each of ``users`` takes the next session when its last has ended, until there is none or
    ``until_s`` seconds have passed; what was begun is finished."""
    now = asyncio.get_running_loop().time

    async def user() -> None:
        for session in sessions:
            await session(playing.send)
            if playing.hopeless or (until_s is not None and now() - playing.began >= until_s):
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(users):
            group.create_task(user())


async def play_rate(
    playing: Playing, sessions: Iterator[Session], load: Load, seed: str, until_s: float | None
) -> None:
    """A session at each arrival, whether those before have ended or not."""
    now = asyncio.get_running_loop().time
    async with asyncio.TaskGroup() as group:
        for due_s, session in zip(arrivals(load, seed), sessions, strict=False):
            if playing.hopeless or (until_s is not None and due_s >= until_s):
                return
            await asyncio.sleep(max(playing.began + due_s - now(), 0))
            group.create_task(_arrive(playing, session, due_s))


async def _arrive(playing: Playing, session: Session, due_s: float) -> None:
    due: float | None = due_s

    async def send(ask: Ask, *, first: asyncio.Event | None = None) -> Answer:
        nonlocal due  # what follows in a conversation is due when it is sent
        late, due = due, None
        return await playing.send(ask, first=first, due=late)

    await session(send)


def arrivals(load: Load, seed: str) -> Iterator[float]:
    """Seconds from the start of the round. Constant: 1/rate apart; Poisson: exponential gaps of
    that mean, drawn by ``seed``."""
    assert load.rate is not None
    if load.arrival == "constant":
        for number in itertools.count():
            yield number / load.rate
    rng, at = random.Random(seed), 0.0
    while True:
        yield at
        at += rng.expovariate(load.rate)
