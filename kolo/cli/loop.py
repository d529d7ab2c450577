"""Runs the asynchronous part of a command and turns signals into a clean end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from kolo.cli.boundary import Stopped
from kolo.errors import DeadlineExceeded

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
    """Run ``main`` to its end in a loop of its own.

    SIGINT, SIGTERM and SIGHUP cancel it; ``Stopped`` is raised when its cleaning up is done.
    ``timeout_s`` bounds the whole of it and ends in DeadlineExceeded.
    """
    return asyncio.run(_guarded(main, timeout_s))


async def _guarded(main: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    limit = asyncio.timeout(timeout_s)
    caught: list[int] = []

    def stop(number: int) -> None:
        if not caught and not limit.expired():  # a second one must not cut the cleaning up short
            task.cancel()
        caught.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        async with limit:
            return await main
    except asyncio.CancelledError:
        if not caught:
            raise
        raise Stopped(caught[0]) from None
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            f"no complete answer within {timeout_s:g} s",
            hint="a longer --timeout, or a shorter answer with -n",
        ) from None
