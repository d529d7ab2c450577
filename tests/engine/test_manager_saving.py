"""When the manager lets an engine save what it has cached, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from impostor import pretend
from managing import House, answer, house, spec

from kolo.manager.saved import PrefixFolder

SAVES_FOR_EVER = """
next(frames); ready()
for frame in frames:
    if isinstance(frame, wire.Stop):
        send(wire.Note("info", f"told to save for {frame.save_ms} ms"))
        if not frame.save_ms:
            break
"""


def prefixes(folder: Path) -> PrefixFolder:
    return PrefixFolder(folder / "prefixes", 1 << 30, b"k" * 32)


async def loaded(home: House, id: str) -> None:
    async with home.manager.lease(id):
        pass


def told(home: House) -> list[str]:
    return [event[3] for event in home.sink.of("note")]


@pytest.fixture
def saves_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, SAVES_FOR_EVER)


async def test_an_engine_is_reused_where_it_was_whoever_unloaded_it(tmp_path: Path) -> None:
    text = "tell me about slots " * 30
    async with house(
        tmp_path, gib=4, specs=[spec("a3"), spec("b3")], prefixes=prefixes(tmp_path)
    ) as home:
        async with home.manager.lease("a3") as engine:
            first = await answer(engine, text, max_tokens=20)
        await loaded(home, "b3")
        assert home.states()["a3"] == "unloaded", "evicted for the other"
        async with home.manager.lease("a3") as engine:
            assert await answer(engine, text, max_tokens=20) == first
            stats = await engine.stats()
    assert stats.restores == 1
    assert stats.cached_tokens >= len(text) - 1


@pytest.mark.usefixtures("saves_for_ever")
async def test_saving_does_not_hold_up_an_unload_beyond_its_time(tmp_path: Path) -> None:
    folder = prefixes(tmp_path)
    folder.save_ms = 50
    async with house(tmp_path, specs=[spec("a1")], prefixes=folder, stop_grace_ms=100) as home:
        await loaded(home, "a1")
        await home.manager.unload("a1")
        assert home.states()["a1"] == "unloaded"
    assert told(home)[0] == "told to save for 50 ms"


@pytest.mark.usefixtures("saves_for_ever")
async def test_a_stop_in_a_hurry_waits_for_no_saving_that_has_begun(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a1")], prefixes=prefixes(tmp_path)) as home:
        await loaded(home, "a1")
        closing = asyncio.create_task(home.manager.close(save_s=3600))
        await home.sink.until(lambda: bool(told(home)))
        home.manager.hurry()
        async with asyncio.timeout(60):
            await closing
    assert told(home)[0] == "told to save for 3600000 ms"


@pytest.mark.usefixtures("saves_for_ever")
async def test_a_stop_at_once_saves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a1")], prefixes=prefixes(tmp_path)) as home:
        await loaded(home, "a1")
        await home.manager.close(save_s=0)
    assert told(home)[:1] in ([], ["told to save for 0 ms"])


async def test_an_engine_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a1")], prefixes=prefixes(tmp_path)) as home:
        async with home.manager.lease("a1") as engine:
            await answer(engine, "tell me about slots " * 30, max_tokens=3)
        await home.manager.unload("a1")
        assert list((tmp_path / "prefixes").rglob("*.kv"))
        await home.manager.forget("a1")
    assert not list((tmp_path / "prefixes").rglob("*.kv"))
