"""The lines of a file or a pipe, as they come."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator

READ_BYTES = 1 << 16
MAX_COUNTED_BYTES = 256 << 20


async def lines_of(fd: int) -> AsyncIterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number from 1.

    From a pipe or a terminal a line is there as soon as it has been written; waiting for one
    blocks nothing else.
    """
    number, rest = 0, b""
    async for piece in _pieces(fd):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            if line.strip():
                yield number, line
    if rest.strip():
        yield number + 1, rest


def count_lines(fd: int) -> int | None:
    """How many lines are not empty; None for what is no file, or a very long one."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_COUNTED_BYTES:
        return None
    found, rest = 0, b""
    for at in range(0, status.st_size, READ_BYTES):
        *whole, rest = (rest + os.pread(fd, READ_BYTES, at)).split(b"\n")
        found += sum(bool(line.strip()) for line in whole)
    return found + bool(rest.strip())


async def _pieces(fd: int) -> AsyncIterator[bytes]:
    waits = not stat.S_ISREG(os.fstat(fd).st_mode) and _can_wait(fd)
    while True:
        if waits:
            await _readable(fd)
        if not (piece := os.read(fd, READ_BYTES)):
            return
        yield piece


def _can_wait(fd: int) -> bool:
    """Whether the loop can watch it; files and /dev/null are always ready instead."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(fd, lambda: None)
    except (PermissionError, NotImplementedError):
        return False
    loop.remove_reader(fd)
    return True


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
