"""A connection over HTTP gives what one to an engine of our own gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from homes import home
from serving import ENDLESS, House, fake, house, served

from kolo.client import engines
from kolo.client.connection import RemoteConnection
from kolo.client.http import Http
from kolo.errors import (
    BadParameter,
    Busy,
    ContextLengthExceeded,
    EngineCrashed,
    EngineStopped,
    InternalError,
    LoadFailed,
    ModelNotFound,
    Unsupported,
)
from kolo.models.resolve import ModelSpec
from kolo.stats import EngineStats
from kolo.types import (
    Chat,
    Constraint,
    Delta,
    Detokenize,
    Embed,
    Generate,
    Inspect,
    Message,
    Operation,
    Prompt,
    Render,
    Rerank,
    Sampling,
    Tokenize,
)

CHAT = Chat(messages=[Message(role="system", content="ü"), Message(role="user", content="hello")])
TEXT = Prompt(text="hello 日本")
GREEDY = Sampling(temperature=0.0, seed=7)


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def loading(self, model: str, fraction: float | None) -> None:
        self.told.append((model, fraction))


@asynccontextmanager
async def remote(
    folder: Path, *specs: ModelSpec, watcher: Watcher | None = None, **more: Any
) -> AsyncIterator[tuple[RemoteConnection, Http, House]]:
    """A connection to a server of fake engines, over a real socket."""
    async with (
        house(folder, specs=specs or [fake("fake")], **more) as there,
        served(there) as at,
        Http(f"http://127.0.0.1:{at.port}") as http,
    ):
        yield RemoteConnection(http, watcher), http, there


async def answer(connection: RemoteConnection, op: Generate, model: str = "fake") -> list[Delta]:
    stream = await connection.generate(model, op)
    try:
        return [delta async for delta in stream]
    finally:
        await stream.aclose()


def text(deltas: list[Delta], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


@pytest.mark.parametrize(
    "op",
    [
        Generate(input=CHAT, sampling=GREEDY, max_tokens=30),
        Generate(input=TEXT, sampling=GREEDY),
        Generate(input=TEXT, sampling=GREEDY, max_tokens=0),
        Generate(input=Prompt(tokens=[104, 105]), sampling=GREEDY, max_tokens=9),
        Generate(input=TEXT, sampling=GREEDY, max_tokens=20, n=3),
        Generate(input=TEXT, sampling=GREEDY, stop=["models", "from"], max_tokens=200),
        Generate(input=TEXT, sampling=GREEDY, constraint=Constraint(grammar='root ::= "ja" "!"')),
        Generate(input=CHAT, sampling=GREEDY, constraint=Constraint(json_schema={"const": "é"})),
        Generate(input=CHAT, sampling=Sampling(temperature=2.0, top_k=9, seed=3), max_tokens=30),
    ],
)
async def test_an_answer_is_that_of_the_engine_itself(tmp_path: Path, op: Generate) -> None:
    async with remote(tmp_path) as (connection, _, there):
        async with there.manager.lease("fake") as engine, engine.submit(op) as stream:
            ours = [delta async for delta in stream]
            local = stream.result
        remote_stream = await connection.generate("fake", op)
        theirs = [delta async for delta in remote_stream]
        await remote_stream.aclose()
        result = remote_stream.result
    assert local is not None
    assert result is not None
    for index in range(op.n):
        assert text(theirs, index) == text(ours, index)
        finishes = [delta.finish for delta in theirs if delta.index == index and delta.finish]
        assert finishes == [delta.finish for delta in ours if delta.index == index and delta.finish]
    assert sum(delta.n_tokens for delta in theirs) == local.usage.completion_tokens
    assert result.usage.completion_tokens == local.usage.completion_tokens
    assert result.usage.prompt_tokens == local.usage.prompt_tokens
    assert result.seed == local.seed
    assert result.timings.ttft_ms >= result.timings.queue_ms > 0


@pytest.mark.parametrize(
    "op",
    [
        Tokenize(text="hé<|im_end|>"),
        Tokenize(text="<|im_end|>", parse_special=False),
        Detokenize(tokens=[104, 195, 169]),
        Render(chat=CHAT),
        Embed(inputs=["one", "two two"]),
        Rerank(query="q", documents=["one two three.", "one two", "four"]),
    ],
)
async def test_a_call_is_that_of_the_engine_itself(tmp_path: Path, op: Operation) -> None:
    assert not isinstance(op, Generate | Inspect)
    async with remote(tmp_path) as (connection, _, there):
        async with there.manager.lease("fake") as engine:
            local = await engine.call(op)
        assert await connection.call("fake", op) == local


async def test_inspecting_loads_the_model_and_tells_its_slots(tmp_path: Path) -> None:
    async with remote(tmp_path, fake("fake", parallel=3, ctx=512)) as (connection, _, _):
        stats = await connection.call("fake", Inspect())
    assert isinstance(stats, EngineStats)
    assert (stats.n_ctx, len(stats.slots), stats.running) == (512, 3, 0)


async def test_what_a_call_cannot_carry_is_refused(tmp_path: Path) -> None:
    async with remote(tmp_path) as (connection, _, _):
        with pytest.raises(Unsupported):
            await connection.call("fake", Embed(inputs=["a"], normalize=False))
        with pytest.raises(InternalError):
            await connection.call("fake", Generate(input=TEXT))


async def test_closing_a_stream_frees_the_slot(tmp_path: Path) -> None:
    async with remote(tmp_path, fake("fake", ENDLESS, parallel=1)) as (connection, _, there):
        stream = await connection.generate("fake", Generate(input=TEXT))
        await anext(aiter(stream))
        await stream.aclose()
        assert stream.result is None
        await there.sink.until(lambda: bool(there.sink.requests))
        assert there.sink.requests[0].cancelled


async def test_errors_are_those_of_the_engine(tmp_path: Path) -> None:
    specs = [
        fake("fake", ctx=64),
        fake("crash", {"crash_after_calls": 9, "words": 10**9}),
        fake("bad", {"refuse": "no such tensor"}),
    ]
    async with remote(tmp_path, *specs) as (connection, _, _):
        with pytest.raises(ContextLengthExceeded, match="64"):
            await answer(connection, Generate(input=Prompt(text="x" * 100)))
        with pytest.raises(ModelNotFound, match="nope"):
            await answer(connection, Generate(input=TEXT), "nope")
        with pytest.raises(EngineCrashed, match="crashed"):
            await answer(connection, Generate(input=TEXT), "crash")
        with pytest.raises(LoadFailed, match="no such tensor"):
            await answer(connection, Generate(input=TEXT), "bad")
        with pytest.raises(BadParameter) as caught:
            await answer(connection, Generate(input=TEXT, stop=[""]))
        assert caught.value.param == "stop[0]"


async def test_a_full_queue_is_busy_and_says_for_how_long(tmp_path: Path) -> None:
    spec = fake("fake", ENDLESS, parallel=1)
    async with home(tmp_path, max_queue=1) as small, served(small) as at:
        small.manager.register(spec)
        async with Http(f"http://127.0.0.1:{at.port}") as http:
            connection = RemoteConnection(http)
            first = await connection.generate("fake", Generate(input=TEXT))
            asking = [connection.generate("fake", Generate(input=TEXT)) for _ in range(2)]
            waiting = [asyncio.create_task(one) for one in asking]
            done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            error = done.pop().exception()
            assert isinstance(error, Busy)
            assert (error.retry_after_s or 0) >= 1
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            await first.aclose()


async def test_a_server_that_stops_under_an_answer_ends_it(tmp_path: Path) -> None:
    async with (
        house(tmp_path, specs=[fake("fake", ENDLESS)]) as stopping,
        served(stopping) as at,
        Http(f"http://127.0.0.1:{at.port}") as http,
    ):
        stream = await RemoteConnection(http).generate("fake", Generate(input=TEXT))
        deltas = aiter(stream)
        await anext(deltas)
        at.stop.ask()
        at.stop.ask()
        with pytest.raises(EngineStopped):
            async for _ in deltas:
                pass
        await stream.aclose()


# Engines -------------------------------------------------------------------------------------


async def test_one_who_waits_is_told_how_a_load_goes_on(tmp_path: Path) -> None:
    watcher = Watcher()
    spec = fake("fake", {"load_ms": 20})
    async with remote(tmp_path, spec, watcher=watcher) as (connection, _, _):
        await answer(connection, Generate(input=TEXT, max_tokens=1))
        shares = [share for model, share in watcher.told if model == "fake"]
        assert len(shares) > 1
        assert shares[-1] is None
        assert all(share is not None and 0 <= share <= 1 for share in shares[:-1])
        watcher.told.clear()
        await answer(connection, Generate(input=TEXT, max_tokens=1))
        assert watcher.told == []


async def test_a_load_that_fails_raises_what_it_failed_with(tmp_path: Path) -> None:
    async with remote(tmp_path, fake("fake", {"refuse": "broken"})) as (_, http, _):
        with pytest.raises(LoadFailed, match="broken"):
            await engines.load(http, {"model": "fake"}, lambda stage, share: None)
        found = await engines.find_engine(http, "fake")
        assert found is not None
        assert found.state == "failed"
        assert "broken" in (found.error or "")


async def test_load_and_unload(tmp_path: Path) -> None:
    async with remote(tmp_path, fake("fake")) as (_, http, _):
        assert await engines.load(http, {"model": "fake"}, lambda stage, share: None) == "fake"
        found = await engines.find_engine(http, "fake")
        assert found is not None
        assert (found.state, found.parallel, found.ctx, found.in_flight) == ("loaded", 4, 4096, 0)
        assert found.pid is not None
        assert await engines.unload(http, "fake")
        assert not await engines.unload(http, "fake")
        assert await engines.find_engine(http, "nope") is None


async def test_unloading_a_busy_engine_needs_force(tmp_path: Path) -> None:
    async with remote(tmp_path, fake("fake", ENDLESS)) as (connection, http, _):
        stream = await connection.generate("fake", Generate(input=TEXT))
        await anext(aiter(stream))
        with pytest.raises(Busy):
            await engines.unload(http, "fake")
        assert await engines.unload(http, "fake", force=True)
        await stream.aclose()


async def test_ids_with_signs_of_urls_are_quoted(tmp_path: Path) -> None:
    id = "org/model:q4?x=1#é%20"
    async with remote(tmp_path, fake(id)) as (connection, http, _):
        await answer(connection, Generate(input=TEXT, max_tokens=1), id)
        assert await engines.unload(http, id)
