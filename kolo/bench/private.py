"""A server for one run, in a process of its own, gone when the run is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from kolo.errors import DeadlineExceeded, ErrorInfo, InternalError, from_info

MODULE = "kolo.cli.bench_server"
END_S = 20.0
"""How long it may take to end before it is killed."""


class Private(Struct, frozen=True, kw_only=True):
    url: str = ""
    model: str = ""
    """The name of the model there."""
    pid: int = 0
    error: ErrorInfo | None = None


@asynccontextmanager
async def private_server(
    model: str, params: Mapping[str, Any], *, timeout_s: float, command: Sequence[str] = ()
) -> AsyncIterator[Private]:
    """A server with ``model`` loaded. Raises what the load failed with, DeadlineExceeded after
    ``timeout_s``. It listens on a free port of 127.0.0.1 and is announced to nobody."""
    process = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", MODULE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal is for this process alone
    )
    try:
        yield await _ready(process, model, params, timeout_s)
    finally:
        await _end(process)


async def _ready(
    process: asyncio.subprocess.Process, model: str, params: Mapping[str, Any], timeout_s: float
) -> Private:
    assert process.stdin is not None
    assert process.stdout is not None
    order = {"model": model, "params": dict(params)}
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    try:
        async with asyncio.timeout(timeout_s):
            line = await process.stdout.readline()
    except TimeoutError:
        raise DeadlineExceeded(
            f"{model} was not loaded within {timeout_s:g} s", hint="a longer --timeout"
        ) from None
    if not line:
        raise InternalError(
            f"the server that was started for the measurement ended with exit code "
            f"{await process.wait()} before it listened",
            hint=f"Try it by itself: kolo serve {model}",
        )
    ready = msgspec.json.decode(line, type=Private)
    if ready.error is not None:
        raise from_info(ready.error)
    return msgspec.structs.replace(ready, pid=process.pid)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its stdin, by which it knows."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
