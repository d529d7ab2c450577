"""Blocking work that an event loop waits for and can call off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STOP_S = 2.0
"""For a thread to notice that it is to stop; it then holds no more than a name being looked up."""


async def in_thread(
    work: Callable[[], T],
    stop: Callable[[], None],
    *,
    name: str,
    abandon: Callable[[T], None] = lambda result: None,
) -> T:
    """``work`` in a thread of its own: hashing and writing would hold up the loop, and a pool's
    threads would run out, and keep the process from ending.

    Cancelling calls ``stop``, waits a little for the thread, and leaves it then; what it still
    comes to goes to ``abandon``.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # whatever it is, it belongs to whoever waits
            settle(done.set_exception, error)
        else:
            if not settle(done.set_result, result):
                abandon(result)

    def settle(how: Callable[..., None], value: object) -> bool:
        try:
            loop.call_soon_threadsafe(how, value)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return False
        return True

    def left(done: asyncio.Future[T]) -> None:
        if done.exception() is None:
            abandon(done.result())

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop()
        done.add_done_callback(left)
        await asyncio.wait({done}, timeout=STOP_S)
        raise
