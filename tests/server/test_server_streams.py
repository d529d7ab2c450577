"""Streams from their first byte to their last: silence, failures, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import ENDLESS, FAKE, House, Served, events, fake, house, served

from kolo.manager.engine import Engine
from kolo.server.run import serve

HEARTBEAT = b": keep-alive\n\n"
CHAT = "/v1/chat/completions"


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": FAKE, "messages": [{"role": "user", "content": "hello"}], **fields}


@asynccontextmanager
async def running(folder: Path, script: Any = None, **options: Any) -> AsyncIterator[Served]:
    """One fake engine acting by ``script`` behind a real socket."""
    async with house(folder, specs=[fake(FAKE, script)], **options) as made, served(made) as at:
        yield at


async def engine_of(made: House) -> Engine:
    async with made.manager.lease(FAKE) as engine:
        return engine


async def slots_in_use(made: House, n: int) -> None:
    """Wait until exactly ``n`` answers are being written."""
    engine = await engine_of(made)
    while (await engine.stats()).running != n:
        pass


# Silence and failures ----------------------------------------------------------------------


async def test_a_stream_says_it_lives_while_its_model_loads(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, {"load_ms": 400})], heartbeat_s=0.02) as made:
        reply = await made.chat(stream=True, max_tokens=3, ignore_eos=True)
        assert reply.status == 200
        assert reply.body.startswith(HEARTBEAT)
        assert reply.events[-1] == "[DONE]"
        assert reply.events[-2]["choices"][0]["finish_reason"] == "length"


async def test_a_stream_says_it_lives_in_long_silences(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, {"row_ms": 150})], heartbeat_s=0.02) as made:
        reply = await made.chat(stream=True, max_tokens=3, ignore_eos=True)
        _, _, after_the_first = reply.body.partition(b'"content":"')
        assert HEARTBEAT in after_the_first
        assert reply.events[-1] == "[DONE]"


async def test_a_quick_stream_has_no_heartbeat(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        reply = await made.chat(stream=True, max_tokens=3)
        assert HEARTBEAT not in reply.body


async def test_a_load_that_fails_late_ends_the_stream_with_an_error(tmp_path: Path) -> None:
    script = {"load_ms": 400, "refuse": "broken tensors"}
    async with house(tmp_path, specs=[fake(FAKE, script)], heartbeat_s=0.02) as made:
        reply = await made.chat(stream=True)
        assert reply.status == 200
        (only,) = reply.events
        assert only["error"]["code"] == "model_load_failed"
        assert "broken tensors" in only["error"]["message"]


async def test_a_crash_ends_the_stream_with_an_error_and_no_done(tmp_path: Path) -> None:
    script = {"crash_after_calls": 4, **ENDLESS}
    async with house(tmp_path, specs=[fake(FAKE, script)]) as made:
        reply = await made.chat(stream=True, ignore_eos=True)
        assert reply.status == 200
        *chunks, last = reply.events
        assert chunks
        assert last["error"]["code"] == "engine_crashed"
        assert "crashed" in last["error"]["message"]
    async with house(tmp_path, specs=[fake(FAKE, script)]) as made:
        reply = await made.chat(ignore_eos=True)
        assert (reply.status, reply.error["code"]) == (500, "engine_crashed")


async def test_a_deadline_ends_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, ENDLESS)], request_timeout_ms=150) as made:
        reply = await made.chat(ignore_eos=True)
        assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")


async def test_past_the_queue_a_request_is_told_when_to_come_again(tmp_path: Path) -> None:
    spec = fake(FAKE, ENDLESS, parallel=1)
    async with house(tmp_path, specs=[spec], limits={"max_queue": 1}) as made, served(made) as at:
        waiting = [asyncio.create_task(at.client.post(CHAT, json=asked())) for _ in range(2)]
        engine = await engine_of(made)
        while engine.in_flight < 2:
            await engine.stats()
        for stream in (False, True):
            refused = await at.client.post(CHAT, json=asked(stream=stream))
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.json()["error"]["code"] == "engine_busy"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


# Clients that leave ------------------------------------------------------------------------


async def test_a_client_that_leaves_a_stream_frees_its_slot(tmp_path: Path) -> None:
    async with running(tmp_path, ENDLESS) as at:
        body = asked(stream=True, ignore_eos=True)
        async with at.client.stream("POST", CHAT, json=body) as response:
            async for _ in response.aiter_bytes():
                break
        await at.house.sink.until(lambda: bool(at.house.sink.requests))
        assert at.house.sink.requests[0].cancelled
        await slots_in_use(at.house, 0)
        assert at.house.manager.list()[0].leases == 0


async def test_a_client_that_leaves_before_the_answer_frees_its_slot(tmp_path: Path) -> None:
    async with running(tmp_path, ENDLESS) as at:
        asking = asyncio.create_task(at.client.post(CHAT, json=asked(ignore_eos=True, n=3)))
        await slots_in_use(at.house, 3)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await slots_in_use(at.house, 0)
        assert at.house.sink.requests[0].cancelled


async def test_a_client_that_leaves_a_list_of_prompts_frees_every_slot(tmp_path: Path) -> None:
    async with running(tmp_path, ENDLESS) as at:
        body = {"model": FAKE, "prompt": ["a", "b", "c"], "max_tokens": -1, "stream": True}
        body["ignore_eos"] = True
        async with at.client.stream("POST", "/v1/completions", json=body) as response:
            async for _ in response.aiter_bytes():
                break
        await slots_in_use(at.house, 0)


async def test_a_client_that_leaves_while_its_model_loads_gives_it_back(tmp_path: Path) -> None:
    async with running(tmp_path, {"load_ms": 500}, heartbeat_s=0.02) as at:
        body = asked(stream=True)
        async with at.client.stream("POST", CHAT, json=body) as response:
            async for _ in response.aiter_bytes():
                break
        await at.house.sink.until(lambda: bool(at.house.sink.of("loaded")))
        engine = await engine_of(at.house)
        while at.house.manager.list()[0].leases:
            await engine.stats()
        assert at.house.sink.requests == []


async def test_a_client_that_reads_slowly_gets_every_word(tmp_path: Path) -> None:
    async with running(tmp_path, {"words": 10**9}) as at:
        body = asked(max_tokens=2000, ignore_eos=True, temperature=0)
        whole = (await at.client.post(CHAT, json=body)).json()["choices"][0]["message"]["content"]
        received = b""
        async with at.client.stream("POST", CHAT, json={**body, "stream": True}) as response:
            async for piece in response.aiter_bytes():
                received += piece
                await asyncio.sleep(0.005)
        *chunks, done = events(received)
        assert done == "[DONE]"
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == whole


# Stopping ------------------------------------------------------------------------------------


async def test_a_stop_lets_answers_end_and_takes_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, {"row_ms": 20, "words": 10**9}) as at:
        body = asked(stream=True, max_tokens=20, ignore_eos=True)
        async with at.client.stream("POST", CHAT, json=body) as response:
            pieces = response.aiter_bytes()
            received = await anext(pieces)
            at.stop.ask()
            while (refused := await at.client.post(CHAT, json=asked(max_tokens=1))).is_success:
                pass
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            async for piece in pieces:
                received += piece
        *chunks, done = events(received)
        assert done == "[DONE]"
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        await at.serving


@pytest.mark.parametrize("asks", [1, 2])
async def test_what_does_not_end_in_time_is_cut_off_with_an_error(
    tmp_path: Path, asks: int
) -> None:
    patience_s = 0.2 if asks == 1 else 60.0
    async with running(tmp_path, ENDLESS, stop_timeout_s=patience_s) as at:
        body = asked(stream=True, ignore_eos=True)
        async with at.client.stream("POST", CHAT, json=body) as response:
            pieces = response.aiter_bytes()
            received = await anext(pieces)
            for _ in range(asks):
                at.stop.ask()
            async for piece in pieces:
                received += piece
        last = events(received)[-1]
        assert last["error"]["code"] == "engine_stopped"
        await at.serving


async def test_an_idle_connection_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        at.stop.ask()
        await at.serving
        writer.close()


async def test_an_address_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    async with running(tmp_path) as at, house(tmp_path, port=at.port) as other:
        with pytest.raises(OSError, match="in use"):
            await serve(other.app)


# Connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models", "/api/models/unload"])
async def test_a_body_that_nobody_wants_leaves_the_connection_usable(
    tmp_path: Path, path: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n".encode()
    async with house(tmp_path) as made, served(made) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        for _ in range(2):
            writer.write(head)
            await writer.drain()
            await asyncio.sleep(0.05)  # the server may well answer before the body is there
            writer.write(b"{}")
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert told.startswith(b"HTTP/1.1 ")
            length = int(told.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
