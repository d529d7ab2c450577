"""The two ways bytes move: to this machine by h11, to everywhere else by httpx2. Both act alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from kolo.client.http import Http
from kolo.client.plain import PlainTransport
from kolo.client.transport import Broken, Silent, Transport, Unreached
from kolo.client.web import WebTransport

PATIENCE_S = 30.0
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MADE: dict[str, Callable[[str], Transport]] = {
    "plain": lambda url: PlainTransport(url, 2.0),
    "web": lambda url: WebTransport(url, 2.0),
}


@pytest.fixture(params=MADE)
def make(request: pytest.FixtureRequest) -> Callable[[str], Transport]:
    return MADE[request.param]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[tuple[str, list[int]]]:
    """The address of a server that has ``handler`` on each connection, and how many there were."""
    connections: list[int] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base", connections
    finally:
        server.close()


async def fetch(
    transport: Transport, method: str = "GET", body: bytes | None = None, read_s: float = PATIENCE_S
) -> tuple[int, bytes]:
    async with transport.asked(method, "/path?q=1", body, {}, read_s) as reply:
        return reply.status, b"".join([piece async for piece in reply.pieces()])


def saying(data: bytes, *, hold: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        if hold:
            await reader.read()

    return handler


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_connection_carries_one_request_after_another(
    make: Callable[[str], Transport],
) -> None:
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)

    async with served(handler) as (url, connections):
        transport = make(url)
        for _ in range(3):
            assert await fetch(transport) == (200, b"ok")
        await transport.aclose()
    assert len(connections) == 1
    assert all(head.startswith(b"GET /base/path?q=1 HTTP/1.1\r\n") for head in heads)
    assert b"\r\nhost: 127.0.0.1:" in heads[0].lower()


async def test_a_connection_that_the_server_closed_is_not_used_again(
    make: Callable[[str], Transport],
) -> None:
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(OK)(reader, writer)
        writer.close()
        closed.set()

    async with served(handler) as (url, connections):
        transport = make(url)
        assert await fetch(transport) == (200, b"ok")
        await closed.wait()
        await asyncio.sleep(0.05)  # for the end to arrive
        assert await fetch(transport) == (200, b"ok")
        await transport.aclose()
    assert len(connections) == 2


async def test_a_body_in_chunks_and_one_until_the_end(make: Callable[[str], Transport]) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
    )
    for data in (chunked, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"):
        async with served(saying(data)) as (url, _):
            transport = make(url)
            assert await fetch(transport) == (200, b"abcde")
            await transport.aclose()


async def test_a_long_body_arrives_whole(make: Callable[[str], Transport]) -> None:
    body = bytes(range(256)) * 40_000
    came: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head.lower()
        came.append(await reader.readexactly(len(body)))
        writer.write(OK)
        await writer.drain()

    async with served(handler) as (url, _):
        transport = make(url)
        assert await fetch(transport, "POST", body) == (200, b"ok")
        await transport.aclose()
    assert came == [body]


async def test_a_refusal_before_the_body_was_read_is_heard(
    make: Callable[[str], Transport],
) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await writer.drain()
        while await reader.read(1 << 16):  # the rest is read, so that no reset takes the answer
            pass

    async with served(handler) as (url, _):
        transport = make(url)
        assert await fetch(transport, "POST", bytes(1 << 20)) == (413, b"long")
        await transport.aclose()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0" * 100,
    ],
)
async def test_an_end_before_its_time_is_broken(
    make: Callable[[str], Transport], data: bytes
) -> None:
    async with served(saying(data)) as (url, _):
        transport = make(url)
        with pytest.raises(Broken):
            await fetch(transport)
        await transport.aclose()


async def test_silence_is_given_up_before_the_head_and_in_the_body(
    make: Callable[[str], Transport],
) -> None:
    for data in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"):
        async with served(saying(data, hold=True)) as (url, _):
            transport = make(url)
            with pytest.raises(Silent):
                await fetch(transport, read_s=0.05)
            await transport.aclose()


async def test_nobody_there(make: Callable[[str], Transport], unused_tcp_port: int) -> None:
    transport = make(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(Unreached):
        await fetch(transport)
    await transport.aclose()


async def test_leaving_before_the_end_closes_the_connection(
    make: Callable[[str], Transport],
) -> None:
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await writer.drain()
        await reader.read()
        gone.set()

    async with served(handler) as (url, _):
        transport = make(url)
        async with transport.asked("GET", "/", None, {}, PATIENCE_S) as reply:
            assert await anext(reply.pieces()) == b"ab"
        await asyncio.wait_for(gone.wait(), PATIENCE_S)
        await transport.aclose()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1", PlainTransport),
        ("http://localhost:1", PlainTransport),
        ("http://[::1]:1", PlainTransport),
        ("https://127.0.0.1:1", WebTransport),
        ("http://user:password@127.0.0.1:1", WebTransport),
        ("http://192.0.2.1:1", WebTransport),
        ("http://example.org", WebTransport),
    ],
)
async def test_only_this_machine_without_tls_is_plain(url: str, kind: type) -> None:
    async with Http(url) as http:
        assert type(http._transport) is kind
