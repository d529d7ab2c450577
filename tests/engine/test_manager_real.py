"""The manager with llama.cpp and the model that is part of the package."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ggufs import build
from managing import House
from recorder import Recorder

from kolo.config import Settings
from kolo.errors import EngineCrashed, ModelInvalid, OutOfMemory
from kolo.manager.gauge import MachineGauge
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.types import Chat, Embed, Generate, LoadParams, Message, Sampling
from kolo.units import Budget

SETTINGS = Settings(engine=LoadParams(ctx=512, parallel=8, threads=1))


def question(text: str, **options: object) -> Generate:
    chat = Chat(messages=[Message(role="user", content=text)])
    return Generate(input=chat, **options)  # type: ignore[arg-type]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    before = set(psutil.Process().children())
    sink = Recorder()
    limits = replace(Limits.from_settings(SETTINGS), log_folder=tmp_path)
    async with Manager(SETTINGS, sink=sink, limits=limits) as manager:
        yield House(manager, sink)
    assert set(psutil.Process().children()) <= before


async def test_the_builtin_model_is_loaded_measured_and_answers(home: House) -> None:
    async with home.manager.lease("guide") as engine:
        async with engine.submit(question("What is Kolo?", max_tokens=20)) as stream:
            text = "".join([delta.text async for delta in stream])
            assert stream.result is not None
            assert stream.result.usage.completion_tokens > 0
        assert text.strip()
        stats = await engine.stats()
        assert stats.generated_tokens > 0
        status = home.status("guide")
        assert status.info is not None
        assert (status.info.parallel, status.info.n_ctx) == (8, 512)
        rss = psutil.Process(engine.pid).memory_info().rss
        assert abs(status.memory_bytes - rss) < 64 << 20
    assert [request.error for request in home.sink.requests] == [None]


async def test_a_killed_worker_fails_eight_streams_and_the_next_request_is_answered(
    home: House,
) -> None:
    endless = Sampling(ignore_eos=True)
    async with home.manager.lease("guide") as engine:
        streams = [
            engine.submit(question(f"Number {at}", sampling=endless, max_tokens=400))
            for at in range(8)
        ]
        await asyncio.gather(*(anext(stream) for stream in streams))
        os.kill(engine.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            for stream in streams:
                with pytest.raises(EngineCrashed, match="SIGKILL"):
                    [delta async for delta in stream]
    async with home.manager.lease("guide") as again:
        assert again.pid != engine.pid
        async with again.submit(question("Hi", max_tokens=3)) as stream:
            assert [delta async for delta in stream]


async def test_a_cancelled_embedding_frees_its_place(home: House) -> None:
    async with home.manager.lease("guide") as engine:
        task = asyncio.create_task(engine.call(Embed(inputs=["some words"] * 200)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(20):
            await home.sink.until(lambda: len(home.sink.requests) == 1)
        assert engine.in_flight == 0
        assert (await engine.call(Embed(inputs=["some words"]))).vectors


async def test_a_file_that_is_no_model_is_refused_without_a_worker(
    home: House, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelInvalid):
        async with home.manager.lease(str(broken)):
            pass
    assert home.sink.of("loading") == []


async def test_a_model_over_the_budget_is_refused_with_what_would_fit(tmp_path: Path) -> None:
    path = build(tmp_path, "llama")
    limits = replace(Limits.from_settings(SETTINGS), log_folder=tmp_path)
    gauge = MachineGauge(Budget(n_bytes=1 << 20))
    async with Manager(SETTINGS, limits=limits, gauge=gauge) as manager:
        with pytest.raises(OutOfMemory, match=r"memory_budget") as caught:
            async with manager.lease(str(path)):
                pass
        assert caught.value.hint
