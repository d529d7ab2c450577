"""Reading a monitor socket: what may be wrong with it, each with what to do about it."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from published import SERVER, messages, publishing

from kolo.errors import ServerUnreachable
from kolo.monitor.subscribe import connect
from kolo.snapshot import PROTOCOL, Hello, Snapshot, encode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sock"


@asynccontextmanager
async def saying(path: Path, data: bytes) -> AsyncIterator[None]:
    """Something else that listens there, and says ``data``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()


async def refused(path: Path) -> ServerUnreachable:
    with pytest.raises(ServerUnreachable) as caught:
        await messages(path, 2)
    assert caught.value.hint
    return caught.value


async def test_no_server_says_how_to_start_one(path: Path) -> None:
    missing = await refused(path)
    assert "no server is running" in missing.message
    assert "kolo serve" in missing.hint
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert "nobody answers" in (await refused(path)).message


async def test_a_server_of_another_version_is_named_with_both_versions(path: Path) -> None:
    other = encode(Hello(protocol=PROTOCOL + 1, server=SERVER)).replace(b'"host":"box",', b"")
    hello = other.replace(b'"pid":42', b'"pid":42,"host":"box","new":[]')
    async with saying(path, hello):
        error = await refused(path)
    assert "1.2.3" in error.message
    assert f"version {PROTOCOL + 1}" in error.message
    assert f"version {PROTOCOL}" in error.message
    assert "pid 42" in error.hint


async def test_a_newer_server_with_more_fields_is_understood(path: Path) -> None:
    hello = encode(Hello(server=SERVER)).replace(b'"type"', b'"more":{"x":1},"type"')
    snapshot = encode(Snapshot(at=1.0)).replace(b'"at"', b'"more":[1],"at"')
    async with saying(path, hello + snapshot):
        found = await messages(path, 2)
    assert isinstance(found[1], Snapshot)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no message of the monitor"),
        (b"", "hung up"),
        (b'{"type":"snapshot","at":1}\n', "no Kolo"),
        (b"\xff\xfe\n", "no message of the monitor"),
        (b'{"type":"hello","protocol":1', "hung up"),
    ],
)
async def test_a_stranger_on_the_socket_is_told_from_a_server(
    path: Path, data: bytes, says: str
) -> None:
    async with saying(path, data):
        assert says in (await refused(path)).message


async def test_a_connection_cut_in_the_middle_of_a_line_is_an_end(path: Path) -> None:
    data = encode(Hello(server=SERVER)) + encode(Snapshot(at=1.0)) + b'{"type":"snap'
    async with saying(path, data), connect(path) as link:
        found = [message async for message in link]
    assert [type(message) for message in found] == [Snapshot]


async def test_a_socket_one_may_not_read_says_whose_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # root is never denied

    async with publishing(path):
        monkeypatch.setattr(asyncio, "open_unix_connection", denied)
        error = await refused(path)
    assert "may not be read" in error.message
    assert pwd.getpwuid(os.getuid()).pw_name in error.hint
