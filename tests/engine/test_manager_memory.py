"""Making room: who is evicted, who is waited for, what is refused. Engine ``x3`` needs 3 GiB."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from impostor import pretend
from managing import ENDLESS, House, answer, ask, house, spec

from kolo.errors import Busy, LoadFailed, OutOfMemory
from kolo.manager.engine import Engine


async def lease(home: House, id: str) -> Engine:
    async with home.manager.lease(id) as engine:
        return engine


def loaded(home: House) -> set[str]:
    return {id for id, state in home.states().items() if state == "loaded"}


async def test_the_least_recently_used_idle_engine_makes_room(tmp_path: Path) -> None:
    specs = [spec(id) for id in ("a4", "b4", "c4")]
    async with house(tmp_path, gib=10, specs=specs) as home:
        await lease(home, "a4")
        await lease(home, "b4")
        await lease(home, "a4")
        await lease(home, "c4")
        assert loaded(home) == {"a4", "c4"}
        assert home.sink.of("unloaded") == [("unloaded", "b4", "evicted for 'c4'")]


async def test_neither_a_busy_nor_a_pinned_engine_is_evicted(tmp_path: Path) -> None:
    specs = [spec("p4", pin=True), spec("b4", ENDLESS), spec("i2"), spec("n4")]
    async with house(tmp_path, gib=12, specs=specs) as home:
        await lease(home, "p4")
        async with home.manager.lease("b4") as busy, busy.submit(ask()) as stream:
            await anext(stream)
            await lease(home, "i2")
            await lease(home, "n4")
            assert loaded(home) == {"p4", "b4", "n4"}
            await anext(stream)


async def test_what_can_never_fit_is_refused_at_once_and_evicts_nobody(tmp_path: Path) -> None:
    specs = [spec("p4", pin=True), spec("i2"), spec("n7")]
    async with house(tmp_path, gib=10, specs=specs) as home:
        await lease(home, "p4")
        await lease(home, "i2")
        with pytest.raises(OutOfMemory, match=r"needs 7.5 GB .* budget is 10.7 GB") as caught:
            await lease(home, "n7")
        assert "'p4' (pinned)" in caught.value.message
        assert caught.value.retry_after_s is None
        assert loaded(home) == {"p4", "i2"}
        assert home.status("n7").state == "failed"


async def test_a_load_waits_for_a_busy_engine_to_become_idle(tmp_path: Path) -> None:
    async with house(tmp_path, gib=10, specs=[spec("b8"), spec("n8")]) as home:
        async with home.manager.lease("b8") as busy:
            waiting = asyncio.create_task(lease(home, "n8"))
            await asyncio.sleep(0.05)
            assert home.status("n8").stage == "memory"
            assert await answer(busy, max_tokens=3)
            assert not waiting.done()
        assert await answer(await waiting, max_tokens=3)
        assert loaded(home) == {"n8"}


async def test_the_wait_for_busy_engines_has_a_deadline(tmp_path: Path) -> None:
    specs = [spec("b8"), spec("n8")]
    async with house(tmp_path, gib=10, specs=specs, room_wait_ms=50) as home:
        async with home.manager.lease("b8"):
            with pytest.raises(OutOfMemory, match=r"8.6 GB are held by 'b8' \(busy\)") as caught:
                await lease(home, "n8")
            assert caught.value.retry_after_s is not None
        assert await lease(home, "n8")


async def test_loads_that_wait_are_served_in_the_order_they_came(tmp_path: Path) -> None:
    specs = [spec(id) for id in ("b8", "n7", "m6", "s1")]
    async with house(tmp_path, gib=8, specs=specs) as home:
        async with home.manager.lease("b8"):
            tasks = []
            for id in ("n7", "m6", "s1"):
                tasks.append(asyncio.create_task(lease(home, id)))
                await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)
        assert [id for _, id in home.sink.of("loaded")][:2] == ["b8", "n7"]


async def test_a_loaded_engine_is_leased_past_those_that_wait(tmp_path: Path) -> None:
    async with house(tmp_path, gib=10, specs=[spec("b8"), spec("n8")]) as home:
        async with home.manager.lease("b8") as busy:
            waiting = asyncio.create_task(lease(home, "n8"))
            await asyncio.sleep(0.02)
            assert await lease(home, "b8") is busy
        await waiting


async def test_a_load_that_waits_for_room_can_be_given_up(tmp_path: Path) -> None:
    specs = [spec("b8"), spec("n8"), spec("s2")]
    async with house(tmp_path, gib=10, specs=specs) as home, home.manager.lease("b8"):
        waiting = asyncio.create_task(lease(home, "n8"))
        await asyncio.sleep(0.02)
        await home.manager.unload("n8", force=True)
        with contextlib.suppress(Exception):
            await waiting
        await lease(home, "s2")
        assert loaded(home) == {"b8", "s2"}


async def test_models_that_fit_together_load_side_by_side(tmp_path: Path) -> None:
    specs = [spec("a3", {"load_ms": 500}), spec("b3", {"load_ms": 500})]
    async with house(tmp_path, gib=6, specs=specs) as home:
        await asyncio.gather(lease(home, "a3"), lease(home, "b3"))
        kinds = [event[0] for event in home.sink.events if event[1] in ("a3", "b3")]
        first_loaded = kinds.index("loaded")
        assert {e[1] for e in home.sink.events[:first_loaded]} == {"a3", "b3"}


async def test_memory_of_a_failed_load_is_free_again(tmp_path: Path) -> None:
    async with house(tmp_path, gib=8, specs=[spec("f8", {"refuse": "no"}), spec("n8")]) as home:
        with pytest.raises(LoadFailed):
            await lease(home, "f8")
        assert home.status("f8").memory_bytes == 0
        await lease(home, "n8")


async def test_the_number_of_engines_may_be_limited(tmp_path: Path) -> None:
    specs = [spec(id) for id in ("a1", "b1", "c1")]
    async with house(tmp_path, gib=99, specs=specs, max_engines=2, room_wait_ms=50) as home:
        for id in ("a1", "b1", "c1"):
            await lease(home, id)
        assert loaded(home) == {"b1", "c1"}
        async with home.manager.lease("b1"), home.manager.lease("c1"):
            with pytest.raises(Busy, match="2 engines"):
                await lease(home, "a1")


async def test_a_load_that_runs_out_of_memory_is_tried_again_without_the_idle_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt of ``n1`` finds no memory, as it does when the estimate was too low."""
    marker = tmp_path / "tried"
    pretend(
        monkeypatch,
        f"""
load = next(frames)
tried = {str(marker)!r}
if load.path == "n" and not os.path.exists(tried):
    open(tried, "w").close()
    send(wire.Refused(ErrorInfo("OutOfMemory", "no memory left")))
else:
    ready(); next(frames)
""",
    )
    specs = [spec("i1"), spec("b1"), spec("n1")]
    specs[2] = type(specs[2])(id="n1", path=Path("n"), params=specs[2].params, source="config")
    async with house(tmp_path, gib=99, specs=specs) as home:
        await lease(home, "i1")
        async with home.manager.lease("b1"):
            await lease(home, "n1")
            assert loaded(home) == {"b1", "n1"}
        marker.unlink()
        await home.manager.unload("n1")
        await home.manager.unload("b1")
        with pytest.raises(OutOfMemory, match="no memory left"):
            await lease(home, "n1")
