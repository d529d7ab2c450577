"""What every source is, and how one that can break is kept up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

from kolo.errors import KoloError, ServerUnreachable
from kolo.snapshot import PROTOCOL, Hello, Message, Refused, Snapshot
from kolo.top.session import Link, Told

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 5.0
SILENCE_S = 30.0
"""A line that says nothing for so long, beyond its interval, is given up and made anew."""


class Source(Protocol):
    """Tells messages, and what becomes of the line that they come over."""

    name: str
    """For the header, such as ``demo``; empty for a server of this machine."""

    def told(self) -> AsyncGenerator[Told, None]:
        """For as long as there is anything to tell; raises only what is a defect, or a mistake
        of who asked for it."""
        ...

    def ask(self, interval_s: float) -> None:
        """Snapshots so often, from now on."""
        ...


class Backoff:
    """Waits of 0.5 s, doubling up to 5 s, each a little shortened by chance."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._next_s = FIRST_WAIT_S

    def next_s(self) -> float:
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, LONGEST_WAIT_S)
        return wait_s * (0.8 + 0.2 * self._chance())

    def reset(self) -> None:
        self._next_s = FIRST_WAIT_S


async def keep_up(
    connect: Callable[[], AsyncGenerator[Message, None]],
    *,
    interval_s: Callable[[], float],
    backoff: Backoff | None = None,
) -> AsyncGenerator[Told, None]:
    """What ``connect`` tells, and again whenever it ends: for ever.

    Between attempts a Link says what was wrong and how long the wait is.
    """
    backoff = backoff or Backoff()
    heard = False
    while True:
        try:
            async with aclosing(connect()) as messages:
                async for message in watched(messages, interval_s):
                    if isinstance(message, Snapshot):
                        heard = True
                        backoff.reset()
                    yield message
            error: KoloError = ServerUnreachable("the server went away")
        except KoloError as problem:
            error = problem
        wait_s = backoff.next_s()
        yield Link(
            state="stale" if heard else "missing",
            detail=error.message,
            hint=error.hint,
            retry_s=wait_s,
        )
        await asyncio.sleep(wait_s)


async def watched(
    messages: AsyncIterator[Message], interval_s: Callable[[], float]
) -> AsyncIterator[Message]:
    """``messages``, until a silence that is too long; raises what a greeting has wrong."""
    while True:
        try:
            async with asyncio.timeout(SILENCE_S + 2 * interval_s()):
                message = await anext(messages)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ServerUnreachable(
                "the server has gone silent", hint="Look at what it prints."
            ) from None
        check(message)
        yield message


def check(message: Message) -> None:
    """Raise ServerUnreachable for a greeting from another version, or a refusal."""
    if isinstance(message, Refused):
        raise ServerUnreachable(message.message, hint=message.hint)
    if isinstance(message, Hello) and message.protocol != PROTOCOL:
        older = "the server" if message.protocol < PROTOCOL else "this program"
        raise ServerUnreachable(
            f"the server (Kolo {message.server.version}) speaks version {message.protocol} of "
            f"the monitor's protocol, and this program version {PROTOCOL}",
            hint=f"Bring {older} up to date.",
        )
