"""Trying again: only what may succeed the next time, and not at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kolo.errors import (
    Busy,
    EngineCrashed,
    EngineStopped,
    KoloError,
    RateLimited,
    ServerUnreachable,
)

T = TypeVar("T")
PASSING = (ServerUnreachable, Busy, RateLimited, EngineCrashed, EngineStopped)
"""Nobody listens or the connection broke, 429 and 503, an engine that died or was told to stop:
what another try may find otherwise. Everything else would fail the same way again."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
LONGEST_ASKED_FOR_S = 120.0
"""The most that a server's Retry-After is followed."""


async def persistently(
    attempt: Callable[[], Awaitable[T]],
    retries: int,
    *,
    may_repeat: Callable[[], bool] = lambda: True,
    told: Callable[[KoloError, float], None] = lambda error, pause_s: None,
) -> T:
    """The result of ``attempt``, which is made once and at most ``retries`` times more.

    ``may_repeat`` is asked before each further one; ``told`` hears of each failure and the pause
    after it. Raises what the last attempt raised.
    """
    for count in range(retries):
        try:
            return await attempt()
        except PASSING as error:
            if not may_repeat():
                raise
            pause_s = pause_after(count, error.retry_after_s)
            told(error, pause_s)
        await asyncio.sleep(pause_s)
    return await attempt()


def pause_after(failures: int, asked_s: float | None) -> float:
    """Half a second, doubled with each failure up to eight, a part of it by chance so that many
    do not come back together; at least what the server asked for."""
    import random  # imported by those alone who have failed

    grown_s = min(FIRST_PAUSE_S * 2.0 ** min(failures, 16), LONGEST_PAUSE_S)
    pause_s = grown_s * random.uniform(0.5, 1.0)
    return max(pause_s, min(asked_s or 0.0, LONGEST_ASKED_FOR_S))
