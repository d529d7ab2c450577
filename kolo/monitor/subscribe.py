"""The reading side of the monitor socket.

::

    async with connect(path, interval_s=0.5) as link:
        print(link.hello.server.version)
        async for message in link:
            ...

It ends when the server ends. To try again, and when, is the caller's to decide.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

import kolo
from kolo.errors import KoloError, ServerUnreachable
from kolo.snapshot import (
    INTERVAL_S,
    PROTOCOL,
    Ask,
    Hello,
    Message,
    Refused,
    Server,
    decode,
    encode,
)

HELLO_S = 5.0
"""How long a server that accepts a connection may take to say who it is."""
MAX_LINE_BYTES = 64 << 20

_START = "Start a server with `kolo serve`, or name its socket: `kolo path monitor` says where "
_START += "this user's is looked for."


class Link:
    """A connection on which a server of our version has said hello."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello
    ) -> None:
        self.hello = hello
        self._reader = reader
        self._writer = writer

    def ask(self, interval_s: float) -> None:
        """Have a snapshot every ``interval_s`` from now on."""
        self._writer.write(encode(Ask(interval_s=interval_s)))

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Messages as they come, to the end of the connection.

        Raises ServerUnreachable when the server refuses to go on, or what comes is no message.
        """
        while (message := await _read(self._reader)) is not None:
            yield message


@asynccontextmanager
async def connect(path: Path, *, interval_s: float = INTERVAL_S) -> AsyncIterator[Link]:
    """A link to the server behind ``path``.

    Raises ServerUnreachable, its hint saying what to do: there is no socket, nobody behind it, it
    may not be read, it speaks another version, or it takes no more clients.
    """
    try:
        async with asyncio.timeout(HELLO_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    except (OSError, TimeoutError) as error:
        raise _unreachable(path, error) from error
    try:
        link = Link(reader, writer, await _greeted(path, reader))
        if interval_s != link.hello.interval_s:
            link.ask(interval_s)
        yield link
    finally:
        writer.transport.abort()


class _Greeting(Struct):
    """What any version of a hello says of itself."""

    protocol: int
    server: Server


_greeting = msgspec.json.Decoder(_Greeting).decode


async def _greeted(path: Path, reader: asyncio.StreamReader) -> Hello:
    try:
        async with asyncio.timeout(HELLO_S):
            line = await _line(reader)
    except TimeoutError:
        raise _stranger(path, "it said nothing") from None
    if not line:
        raise ServerUnreachable(f"the server behind {path} hung up", hint="Try again in a moment.")
    try:
        greeting = _greeting(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        greeting = None
    if greeting is not None and greeting.protocol != PROTOCOL:
        raise _other_version(path, greeting)
    message = _message(line)
    if not isinstance(message, Hello):
        raise _stranger(path, f"it began with {type(message).__name__.lower()}")
    return message


async def _read(reader: asyncio.StreamReader) -> Message | None:
    line = await _line(reader)
    return _message(line) if line else None


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next whole line; empty at the end, which may cut one short."""
    try:
        line = await reader.readline()
    except (OSError, ValueError) as error:  # ValueError: longer than any line of ours
        raise ServerUnreachable(
            f"the connection to the server broke: {error}", hint="Connect again."
        ) from error
    return line if line.endswith(b"\n") else b""


def _message(line: bytes) -> Message:
    try:
        message = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerUnreachable(
            f"the server says what is no message of the monitor: {error}",
            hint="It may be of another version of Kolo: use the same for both.",
        ) from error
    if isinstance(message, Refused):
        raise ServerUnreachable(message.message, hint=message.hint)
    return message


# What may be wrong -------------------------------------------------------------------------


def _unreachable(path: Path, error: OSError | TimeoutError) -> KoloError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return ServerUnreachable(f"no server is running: there is no {path}", hint=_START)
    if number == errno.ECONNREFUSED:
        return ServerUnreachable(f"no server is running: nobody answers at {path}", hint=_START)
    if number in (errno.EACCES, errno.EPERM):
        return ServerUnreachable(
            f"{path} may not be read by this user",
            hint=f"It is its owner's ({_owner(path)}) alone: run this as that user.",
        )
    why = os.strerror(number) if number else str(error) or "it does not answer"
    return ServerUnreachable(f"cannot connect to {path}: {why}", hint=_START)


def _other_version(path: Path, greeting: _Greeting) -> KoloError:
    server = greeting.server
    return ServerUnreachable(
        f"the server behind {path} is Kolo {server.version}, which speaks version "
        f"{greeting.protocol} of the monitor's protocol; this is Kolo {kolo.__version__}, which "
        f"speaks version {PROTOCOL}",
        hint=f"Use the same version for both, or restart the server (pid {server.pid}).",
    )


def _stranger(path: Path, what: str) -> KoloError:
    return ServerUnreachable(
        f"what listens at {path} is no Kolo: {what}",
        hint="Name the socket of a Kolo server; `kolo path monitor` shows the usual one.",
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return "somebody else"
