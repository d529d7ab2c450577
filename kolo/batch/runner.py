"""Many at a time, results in the order of what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
R = TypeVar("R")
AHEAD = 8
"""For each that may be in flight, this many results may wait for one before them."""


async def in_order(
    source: AsyncIterator[Item],
    work: Callable[[Item], Awaitable[R]],
    emit: Callable[[R], Awaitable[None]],
    *,
    concurrency: int,
) -> None:
    """Do ``work`` on each item, at most ``concurrency`` at a time, and ``emit`` the results one
    by one in the order of the items.

    What ``work`` raises ends the run when its turn has come: everything before it is emitted.
    """
    free = asyncio.Semaphore(concurrency)
    waiting: asyncio.Queue[asyncio.Future[R] | None] = asyncio.Queue(AHEAD * concurrency)
    begun: set[asyncio.Future[R]] = set()

    async def do(item: Item) -> R:
        try:
            return await work(item)
        finally:
            free.release()

    async def line_up(future: asyncio.Future[R]) -> None:
        begun.add(future)
        await waiting.put(future)

    async def produce() -> None:
        try:
            async for item in source:
                await free.acquire()
                await line_up(asyncio.create_task(do(item)))
        except Exception as error:  # whatever is wrong with the source is raised in its turn
            failed: asyncio.Future[R] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            await line_up(failed)
        await waiting.put(None)

    producing = asyncio.create_task(produce())
    try:
        while (future := await waiting.get()) is not None:
            await emit(await future)
            begun.discard(future)
    finally:
        producing.cancel()
        for each in begun:
            each.cancel()
        await asyncio.gather(producing, *begun, return_exceptions=True)
