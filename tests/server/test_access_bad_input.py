"""What clients may do to a server that runs: the right answer for the one, service for the others,
and a healthy server afterwards."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.connection
import h2.settings
import pytest
from keyed import Keys, bearer, healthy, in_a_moment, keyed_served
from serving import ENDLESS, FAKE, Served, events, fake, house, served

from kolo.keys import revoke_key
from kolo.manager.engine import Engine
from kolo.server import crowd

PATIENCE_S = 60.0
"""For what must happen; on a machine that does much else beside it."""
CHAT = "/v1/chat/completions"
SAYING_NOTHING = 1000
FLOOD = {"words": 10**9}
"""Answers that have no end, as fast as they can be written."""


@asynccontextmanager
async def running(
    folder: Path, script: Any = None, ctx: int = 4096, **options: Any
) -> AsyncIterator[Served]:
    async with (
        house(folder, specs=[fake(FAKE, script, ctx=ctx)], **options) as made,
        served(made) as at,
    ):
        yield at


class Wire:
    """A connection by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def head(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def closed(self) -> bool:
        """Whether the server closes, saying nothing."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def wire(at: Served, **more: Any) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port, **more)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def post(body: bytes, path: str = CHAT, headers: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def asked(**fields: Any) -> bytes:
    message = {"role": "user", "content": "hello"}
    return json.dumps({"model": FAKE, "messages": [message], "stream": True, **fields}).encode()


async def engine_of(at: Served) -> Engine:
    async with at.house.manager.lease(FAKE) as engine:
        return engine


async def in_flight(at: Served, n: int) -> None:
    """Wait until ``n`` requests are with the engine."""
    engine = await engine_of(at)
    async with asyncio.timeout(PATIENCE_S):
        while engine.in_flight != n:
            await engine.stats()


# Bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_body_of_50_mb_is_refused_and_its_sender_hears_why(
    tmp_path: Path, framing: str
) -> None:
    piece, n_pieces = b" " * (1 << 20), 50

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(n_pieces):
            yield piece

    async with running(tmp_path, max_body_bytes=1 << 20) as at:
        body: Any = pieces() if framing == "chunked" else piece * n_pieces
        reply = await at.client.post(CHAT, content=body)
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "request_too_large"
        await healthy(at)


async def test_ten_thousand_levels_of_nesting_are_refused(tmp_path: Path) -> None:
    n = 10_000
    bodies = [
        b"[" * n + b"]" * n,
        b'{"a":' * n + b"1" + b"}" * n,
        b'{"model":"fake","messages":' + b"[" * n + b"]" * n + b"}",
        b'{"model":"fake","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function",'
        b'"function":{"name":"f","parameters":' + b'{"a":' * n + b"1" + b"}" * n + b"}}]}",
        b'{"model":"fake","messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"a":'
        + b"[" * n
        + b"]" * n
        + b"}}",
        b"[" * 1_000_000,
    ]
    async with running(tmp_path) as at:
        for body in bodies:
            reply = await at.client.post(CHAT, content=body)
            assert reply.status_code == 400, reply.text
            assert reply.json()["error"]["type"] == "invalid_request_error"
        await healthy(at)


async def test_a_body_that_comes_a_byte_at_a_time_is_given_up(tmp_path: Path) -> None:
    async with running(tmp_path, body_timeout_s=0.5) as at, wire(at) as slow:
        await slow.send(post(b"x" * 500)[:-500])
        reading = asyncio.create_task(slow.rest())
        while not reading.done():
            slow.writer.write(b" ")
            await asyncio.sleep(0.02)
        assert reading.result().startswith(b"HTTP/1.1 408")
        await healthy(at)


async def test_headers_that_come_a_byte_at_a_time_are_given_up(tmp_path: Path) -> None:
    async with running(tmp_path, header_timeout_s=0.5) as at, wire(at) as slow:
        reading = asyncio.create_task(slow.closed())
        sent = b"GET /health HTTP/1.1\r\nX: " + b"a" * 100_000
        for byte in sent:
            if reading.done():
                break
            slow.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert reading.result()
        await healthy(at)


async def test_headers_of_a_second_request_that_come_slowly_are_given_up_too(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, header_timeout_s=0.5, idle_timeout_s=600.0) as at:
        async with wire(at) as slow:
            await slow.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await slow.head()).startswith(b"HTTP/1.1 200")
            await slow.send(b"GET /health/live HT")
            async with asyncio.timeout(PATIENCE_S):
                await slow.reader.read()  # the rest of the first, and the end
        await healthy(at)


async def test_an_idle_connection_outlives_the_time_for_headers(tmp_path: Path) -> None:
    async with running(tmp_path, header_timeout_s=0.3, idle_timeout_s=600.0) as at:
        async with wire(at) as idle:
            for _ in range(2):
                await idle.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await idle.head()).startswith(b"HTTP/1.1 200")
                await idle.reader.readexactly(15)
                await asyncio.sleep(0.6)
        await healthy(at)


# Headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"X-Request-Id: a\x00b",
        b"X-Request-Id: a\rSet-Cookie: b",
        b"Authorization: Bearer a\x0bb",
        b"Bad Name: x",
        b": x",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: -1",
        b"Transfer-Encoding: xchunked",
        b"Host: other",
    ],
)
async def test_headers_that_would_be_taken_for_others_are_refused(
    tmp_path: Path, header: bytes
) -> None:
    async with running(tmp_path) as at, wire(at) as bad:
        await bad.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
        head, _, body = (await bad.rest()).partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), head
        assert b"set-cookie" not in head.lower()
        assert body == b""
        await healthy(at)


async def test_a_folded_header_stays_one_header(tmp_path: Path) -> None:
    async with running(tmp_path) as at, wire(at) as bad:
        await bad.send(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n Set-Cookie: b\r\n"
            b"Connection: close\r\n\r\n"
        )
        head, _, _ = (await bad.rest()).partition(b"\r\n\r\n")
        assert b"set-cookie" not in head.lower()
        await healthy(at)


async def test_what_is_sent_with_two_lengths_is_not_two_requests(tmp_path: Path) -> None:
    """The classic of smuggling: a proxy before us would see one request, we two."""
    smuggled = b"GET /engines HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with running(tmp_path) as at, wire(at) as bad:
        await bad.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            + f"Content-Length: {5 + len(smuggled)}\r\n".encode()
            + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            + smuggled
        )
        assert b"total_count" not in await bad.rest()
        await healthy(at)


@pytest.mark.parametrize("host", ["[evil", "a b", "a\\b", "localhost:port", "", "%00", "[::1"])
async def test_a_host_that_is_none_is_no_defect_of_ours(tmp_path: Path, host: str) -> None:
    async with running(tmp_path) as at, wire(at) as bad:
        await bad.send(
            f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert (await bad.rest())[9:12] in (b"200", b"400", b"403")
        await healthy(at)


@pytest.mark.parametrize("value", ["a b", "é", "x" * 129, "a;b\tc"])
async def test_a_request_id_comes_back_only_if_it_can_do_no_harm(
    tmp_path: Path, value: str
) -> None:
    async with running(tmp_path) as at:
        headers = [(b"X-Request-Id", value.encode())]
        reply = await at.client.get("/health", headers=headers)
        assert reply.headers["X-Request-Id"] != value
        assert reply.headers["X-Request-Id"].startswith("req_")
        await healthy(at)


async def test_headers_that_are_too_large_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, max_header_bytes=4096) as at, wire(at) as bad:
        await bad.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 8192)
        assert (await bad.rest()).startswith(b"HTTP/1.1 431")
        await healthy(at)


# Connections -------------------------------------------------------------------------------


async def test_a_thousand_that_connect_and_say_nothing_cost_nobody_his_place(
    tmp_path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * SAYING_NOTHING + 512
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    async with running(tmp_path, max_connections=64, header_timeout_s=600.0) as at:
        writers = []
        try:
            for _ in range(SAYING_NOTHING):
                writers.append((await asyncio.open_connection("127.0.0.1", at.port))[1])
            for _ in range(3):
                await healthy(at)
        finally:
            for writer in writers:
                writer.transport.abort()
        await healthy(at)


async def test_those_that_say_nothing_are_closed_after_a_while(tmp_path: Path) -> None:
    async with running(tmp_path, header_timeout_s=0.3) as at, wire(at) as silent:
        assert await silent.closed()
        await healthy(at)


async def test_idle_ones_give_way_where_there_is_no_more_room(tmp_path: Path) -> None:
    async with running(tmp_path, max_connections=16) as at:
        idle = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(16)]
        for reader, writer in idle:
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(15)
        await healthy(at)
        async with asyncio.timeout(PATIENCE_S):
            assert await idle[0][0].read() == b""  # the one that was idle for longest
        for _, writer in idle:
            writer.transport.abort()


async def test_where_all_are_at_work_a_new_one_is_told_to_come_again(tmp_path: Path) -> None:
    async with running(tmp_path, ENDLESS, ctx=1 << 24, max_connections=16) as at:
        busy = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(16)]
        for _, writer in busy:
            writer.write(post(asked(ignore_eos=True)))
        await in_flight(at, 16)
        async with wire(at) as late:
            reply = await late.rest()
            assert reply.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: " in reply
            assert b"too_many_connections" in reply
        for _, writer in busy:
            writer.transport.abort()
        await in_flight(at, 0)
        await healthy_after_endless(at)


async def test_where_too_many_would_have_to_be_told_so_they_are_just_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "MOST_TOLD", 0)
    async with running(tmp_path, ENDLESS, ctx=1 << 24, max_connections=16) as at:
        busy = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(16)]
        for _, writer in busy:
            writer.write(post(asked(ignore_eos=True)))
        await in_flight(at, 16)
        async with wire(at) as late:
            assert await late.closed()
        for _, writer in busy:
            writer.transport.abort()
        await in_flight(at, 0)
        await healthy_after_endless(at)


async def healthy_after_endless(at: Served) -> None:
    assert (await at.client.get("/health")).status_code == 200
    body = {"model": FAKE, "prompt": "x", "max_tokens": 1, "ignore_eos": True}
    assert (await at.client.post("/v1/completions", json=body)).status_code == 200


async def test_a_client_that_stops_reading_is_given_up_and_its_slot_freed(tmp_path: Path) -> None:
    async with running(tmp_path, FLOOD, ctx=1 << 24, send_timeout_s=0.5) as at:
        async with wire(at, limit=1024) as stuck:
            stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
            # Each delta carries much, so that what lies on the way is full soon.
            await stuck.send(post(asked(ignore_eos=True, logprobs=True, top_logprobs=20)))
            await in_flight(at, 1)
            await in_flight(at, 0)
        await healthy_after_endless(at)


async def test_a_client_of_http2_that_opens_no_window_is_given_up_too(tmp_path: Path) -> None:
    async with running(tmp_path, FLOOD, ctx=1 << 24, send_timeout_s=0.5) as at:
        async with wire(at) as stuck:
            state = h2.connection.H2Connection()
            state.initiate_connection()
            state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
            body = asked(ignore_eos=True)
            names = {":method": "POST", ":path": CHAT, ":scheme": "http", ":authority": "localhost"}
            fields = [*names.items(), ("content-type", "application/json")]
            state.send_headers(1, fields)
            state.send_data(1, body, end_stream=True)
            await stuck.send(state.data_to_send())
            await in_flight(at, 1)
            await in_flight(at, 0)
        await healthy_after_endless(at)


# Keys that end meanwhile -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["revoked", "expired"])
@pytest.mark.parametrize("path", [CHAT, "/completion"])
async def test_a_key_that_ends_during_a_stream_ends_it_with_an_error(
    tmp_path: Path, how: str, path: str
) -> None:
    keys = Keys(tmp_path / "state")
    keys.make("other")
    more = {"expires": in_a_moment()} if how == "expired" else {}
    secret = keys.make("guest", **more)
    specs = [fake(FAKE, ENDLESS, ctx=1 << 24)]
    async with keyed_served(tmp_path, keys, specs=specs) as at:
        body = json.loads(asked(ignore_eos=True))
        if path == "/completion":
            body = {"model": FAKE, "prompt": "x", "stream": True, "ignore_eos": True}
        async with (
            asyncio.timeout(PATIENCE_S),
            at.client.stream("POST", path, json=body, headers=bearer(secret)) as reply,
        ):
            assert reply.status_code == 200
            pieces = reply.aiter_bytes()
            text = await anext(pieces)
            if how == "revoked":
                revoke_key(keys.file, "guest")
            async for piece in pieces:
                text += piece
        last = events(text)[-1]
        assert last["error"]["code"] in ("invalid_api_key", 401)
        assert "revoked or has expired" in last["error"]["message"]
        await in_flight(at, 0)
        again = await at.client.post(path, json=body, headers=bearer(secret))
        assert again.status_code == 401
        other = bearer(keys.secrets["other"])
        body = {"model": FAKE, "prompt": "x", "max_tokens": 1, "ignore_eos": True}
        fine = await at.client.post("/v1/completions", json=body, headers=other)
        assert fine.status_code == 200


async def test_a_key_that_ends_while_an_answer_is_awaited_whole_ends_that_with_401(
    tmp_path: Path,
) -> None:
    keys = Keys(tmp_path / "state")
    secret = keys.make("guest")
    async with keyed_served(tmp_path, keys, specs=[fake(FAKE, ENDLESS, ctx=1 << 24)]) as at:
        body = json.loads(asked(ignore_eos=True, stream=False))
        waiting = asyncio.create_task(
            at.client.post(CHAT, json=body, headers=bearer(secret), timeout=PATIENCE_S)
        )
        await in_flight(at, 1)
        revoke_key(keys.file, "guest")
        reply = await waiting
        assert reply.status_code == 401, reply.text[-500:]
        assert reply.json()["error"]["code"] == "invalid_api_key"
        await in_flight(at, 0)


async def test_a_key_that_ends_cuts_off_what_waits_for_no_engine(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "state")
    secret = keys.make("watcher", "read")
    async with keyed_served(tmp_path, keys) as at:
        async with asyncio.timeout(PATIENCE_S), wire(at) as watching:
            await watching.send(
                b"GET /models/sse HTTP/1.1\r\nHost: localhost\r\n"
                b"Authorization: Bearer " + secret.encode() + b"\r\n\r\n"
            )
            assert (await watching.head()).startswith(b"HTTP/1.1 200")
            revoke_key(keys.file, "watcher")
            await watching.rest()
        assert (await at.client.get("/health")).status_code == 200
