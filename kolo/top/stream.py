"""Without a screen: one table, one snapshot, or every message as a line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from kolo.errors import ServerUnreachable
from kolo.snapshot import Message, Snapshot, encode
from kolo.top.plain import table_text
from kolo.top.recording import Recorder
from kolo.top.session import Link, Rewind, Session, Told
from kolo.top.sources.base import Source, watched
from kolo.top.sources.replay import Replay

WIDE = 160
"""Columns of a table that goes into a pipe."""


async def one(source: Source, recorder: Recorder | None, *, as_json: bool, ascii: bool) -> None:
    """Print the first snapshot; of a recording, the last. Raises that there is no server."""
    session = Session()
    last: Snapshot | None = None
    async with aclosing(_messages(source)) as messages:
        async for message in messages:
            session.take(message, 0.0)
            if recorder is not None:
                recorder.take(message)
            if isinstance(message, Snapshot):
                last = message
                if not isinstance(source, Replay):
                    break
    if last is None:
        raise ServerUnreachable("the server went away before it told anything")
    if as_json:
        text = msgspec.json.format(encode(last).rstrip(), indent=2).decode()
    else:
        size = shutil.get_terminal_size((WIDE, 50))
        width = size.columns if sys.stdout.isatty() else WIDE
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        text = table_text(session.picture, width, ascii=ascii or not utf8)
    sys.stdout.write(f"{text}\n")


async def lines(
    source: Source, count: int | None, recorder: Recorder | None, *, to_stdout: bool
) -> None:
    """Every message, as it comes, until ``count`` snapshots or the end of the server, which is
    an error. A recording is told without its pauses."""
    left = count
    async with aclosing(_messages(source)) as messages:
        async for message in messages:
            if recorder is not None:
                recorder.take(message)
            if to_stdout:
                sys.stdout.buffer.write(encode(message))
                sys.stdout.buffer.flush()
            if left is not None and isinstance(message, Snapshot):
                left -= 1
                if left == 0:
                    return
    if not isinstance(source, Replay):
        raise ServerUnreachable("the server went away", hint="kolo serve, and this again")


async def _messages(source: Source) -> AsyncGenerator[Message, None]:
    """What one connection tells; a line that is down is an error here, not a state."""
    if isinstance(source, Replay):
        for message in source.recording.messages():
            yield message
        return
    once = getattr(source, "once", None)
    if once is not None:
        async with aclosing(once()) as connection:
            async for message in watched(connection, lambda: 60.0):
                yield message
        return
    told_by: AsyncGenerator[Told, None] = source.told()
    async with aclosing(told_by) as stream:
        async for told in stream:
            if not isinstance(told, (Link, Rewind)):
                yield told
