"""The manager over fake workers: load once, lease, unload, crash, restart, close."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from managing import ENDLESS, House, answer, ask, house, spec

from kolo.errors import (
    Busy,
    DeadlineExceeded,
    EngineCrashed,
    EngineStopped,
    LoadFailed,
    ModelNotFound,
)
from kolo.manager.backoff import Backoff
from kolo.manager.engine import Engine

HANGS = {"hang_on_load": True}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as one:
        yield one


async def lease(home: House, id: str) -> Engine:
    """The engine, its lease already given back."""
    async with home.manager.lease(id) as engine:
        return engine


# Loading -----------------------------------------------------------------------------------


async def test_however_many_ask_at_once_it_is_loaded_once(home: House) -> None:
    home.manager.register(spec("a"))
    engines = await asyncio.gather(*(lease(home, "a") for _ in range(20)))
    assert len(set(engines)) == 1
    assert len(home.sink.of("loaded")) == 1
    assert len(home.sink.of("loading")) > 1
    assert await answer(engines[0], max_tokens=5)


async def test_a_loaded_engine_is_leased_again_by_id_or_alias(home: House) -> None:
    home.manager.register(spec("a", aliases=("also",)))
    assert await lease(home, "a") is await lease(home, "also") is await lease(home, "a")


async def test_an_unknown_name_is_not_found(home: House) -> None:
    with pytest.raises(ModelNotFound):
        await lease(home, "nobody")
    with pytest.raises(ModelNotFound):
        await home.manager.unload("nobody")
    assert home.manager.list() == []


async def test_the_list_tells_each_state(home: House) -> None:
    for one in (spec("off"), spec("on"), spec("bad", {"refuse": "no"}), spec("slow", HANGS)):
        home.manager.register(one)
    await lease(home, "on")
    with pytest.raises(LoadFailed):
        await lease(home, "bad")
    waiting = asyncio.create_task(lease(home, "slow"))
    await asyncio.sleep(0)
    assert home.states() == {"off": "unloaded", "on": "loaded", "bad": "failed", "slow": "loading"}
    on = home.status("on")
    assert on.pid is not None
    assert psutil.pid_exists(on.pid)
    assert on.info is not None
    assert on.info.parallel == 8
    assert home.status("bad").error == LoadFailed("no", hint="the script says so").info()
    await home.manager.close()
    with pytest.raises(EngineStopped):
        await waiting


async def test_progress_of_a_load_is_told_and_listed(home: House) -> None:
    home.manager.register(spec("a"))
    seen: list[float] = []
    told = home.sink.loading

    def loading(id: str, stage: str, fraction: float) -> None:
        told(id, stage, fraction)
        seen.append(home.status("a").progress)

    home.sink.loading = loading  # type: ignore[method-assign]
    await lease(home, "a")
    assert seen == [fraction for _, _, _, fraction in home.sink.of("loading")]
    assert seen[0] == 0.0
    assert max(seen) == 1.0


async def test_a_waiter_that_goes_away_does_not_stop_the_load_for_others(home: House) -> None:
    home.manager.register(spec("a"))
    tasks = [asyncio.create_task(lease(home, "a")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] is await tasks[2]
    assert tasks[0].cancelled()


async def test_a_load_goes_on_when_all_waiters_have_gone(home: House) -> None:
    home.manager.register(spec("a"))
    task = asyncio.create_task(lease(home, "a"))
    await asyncio.sleep(0)
    task.cancel()
    await home.until("a", "loaded")
    assert home.status("a").leases == 0
    assert await answer(await lease(home, "a"), max_tokens=3)
    assert len(home.sink.of("loaded")) == 1


async def test_every_waiter_of_a_refused_load_is_told_why(home: House) -> None:
    home.manager.register(spec("a", {"refuse": "no such thing"}))
    errors = await asyncio.gather(*(lease(home, "a") for _ in range(4)), return_exceptions=True)
    assert [str(error) for error in errors] == ["no such thing"] * 4
    assert len({id(error) for error in errors}) == 4
    assert home.sink.of("refused") == [("refused", "a", "LoadFailed")]
    assert home.status("a").state == "failed"


async def test_a_lease_has_a_deadline_of_its_own_and_the_load_goes_on(home: House) -> None:
    home.manager.register(spec("a"))
    with pytest.raises(DeadlineExceeded):
        async with home.manager.lease("a", deadline_ms=1):
            pass
    await home.until("a", "loaded")


async def test_a_worker_that_hangs_while_loading_is_killed(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a", HANGS)], load_deadline_ms=1_500) as home:
        with pytest.raises(LoadFailed, match="no progress"):
            await lease(home, "a")
        assert home.status("a").pid is None


# Parameters --------------------------------------------------------------------------------


async def test_a_load_with_other_parameters_loads_an_idle_engine_anew(home: House) -> None:
    home.manager.register(spec("a"))
    first = await home.manager.load("a")
    assert await home.manager.load("a", overrides={"parallel": 8}) is first
    second = await home.manager.load("a", overrides={"parallel": 2})
    assert (second.info.parallel, second.info.n_ctx) == (2, 4096)
    assert first.state == "stopped"
    assert await lease(home, "a") is second


async def test_parameters_that_cannot_be_loaded_are_not_kept(home: House) -> None:
    home.manager.register(spec("a"))
    with pytest.raises(LoadFailed):
        await home.manager.load("a", overrides={"chat_template": "{% if %}"})
    assert home.states() == {"a": "failed"}
    assert (await lease(home, "a")).spec.params.chat_template is None


async def test_a_busy_engine_is_not_loaded_anew(home: House) -> None:
    home.manager.register(spec("a"))
    async with home.manager.lease("a") as engine:
        with pytest.raises(Busy):
            await home.manager.load("a", overrides={"parallel": 2})
        assert await answer(engine, max_tokens=3)


async def test_another_id_is_another_engine_of_the_same_model(home: House) -> None:
    home.manager.register(spec("a", aliases=("also",)))
    other = await home.manager.load("a", id="b", overrides={"parallel": 1})
    assert other.id == "b"
    assert other is not await lease(home, "a")
    assert home.states() == {"a": "loaded", "b": "loaded"}
    assert (await lease(home, "also")).id == "a"


# Unloading ---------------------------------------------------------------------------------


async def test_unloading_ends_the_worker_and_a_lease_loads_again(home: House) -> None:
    home.manager.register(spec("a"))
    first = await lease(home, "a")
    await home.manager.unload("a")
    assert not psutil.pid_exists(first.pid)
    assert home.sink.of("unloaded") == [("unloaded", "a", "requested")]
    assert home.status("a").state == "unloaded"
    await home.manager.unload("a")
    assert (await lease(home, "a")).pid != first.pid


async def test_an_engine_in_use_is_unloaded_by_force_only(home: House) -> None:
    home.manager.register(spec("a", ENDLESS))
    async with home.manager.lease("a") as engine, engine.submit(ask()) as stream:
        await anext(stream)
        with pytest.raises(Busy):
            await home.manager.unload("a")
        await anext(stream)
        await home.manager.unload("a", force=True)
        with pytest.raises(EngineStopped):
            [delta async for delta in stream]
        with pytest.raises(EngineStopped):
            engine.submit(ask())
    assert home.status("a").leases == 0


@pytest.mark.parametrize("progress", [False, True], ids=["at once", "half way"])
async def test_unloading_while_loading_gives_the_load_up(home: House, progress: bool) -> None:
    home.manager.register(spec("a", {"load_ms": 5000}))
    waiter = asyncio.create_task(lease(home, "a"))
    await asyncio.sleep(0)
    if progress:
        await home.sink.until(lambda: bool(home.sink.of("loading")))
        assert home.status("a").pid is not None
    with pytest.raises(Busy):
        await home.manager.unload("a")
    await asyncio.gather(*(home.manager.unload("a", force=True) for _ in range(2)))
    with pytest.raises(EngineStopped, match="requested"):
        await waiter
    assert home.status("a").state == "unloaded"


async def test_a_lease_during_an_unload_waits_and_loads_again(home: House) -> None:
    home.manager.register(spec("a"))
    first = await lease(home, "a")
    unloading = asyncio.create_task(home.manager.unload("a"))
    await asyncio.sleep(0)
    assert home.status("a").state == "unloading"
    second = await lease(home, "a")
    await unloading
    assert second.pid != first.pid
    assert home.status("a").state == "loaded"


async def test_a_crash_during_an_unload_is_an_unload(home: House) -> None:
    home.manager.register(spec("a"))
    engine = await lease(home, "a")
    os.kill(engine.pid, signal.SIGSTOP)
    unloading = asyncio.create_task(home.manager.unload("a"))
    await asyncio.sleep(0)
    os.kill(engine.pid, signal.SIGKILL)
    await unloading
    assert home.status("a").state == "unloaded"
    assert home.sink.of("crashed") == []


async def test_an_idle_engine_is_unloaded_after_its_time(tmp_path: Path) -> None:
    specs = [spec("a"), spec("kept", ttl_s=0.0), spec("pinned", pin=True), spec("busy")]
    async with house(tmp_path, specs=specs, idle_unload_s=0.05) as home:
        await asyncio.gather(lease(home, "kept"), lease(home, "pinned"))
        async with home.manager.lease("busy"):
            await lease(home, "a")
            await home.until("a", "unloaded")
            assert home.states() == {
                "a": "unloaded",
                "kept": "loaded",
                "pinned": "loaded",
                "busy": "loaded",
            }
        await home.until("busy", "unloaded")
        assert {reason for _, _, reason in home.sink.of("unloaded")} == {"idle"}


async def test_an_idle_engine_says_how_long_it_still_has(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a", ttl_s=600.0)]) as home:
        async with home.manager.lease("a"):
            assert home.status("a").expires_s is None
        expires_s = home.status("a").expires_s
        assert expires_s is not None
        assert 590 < expires_s <= 600


async def test_a_forgotten_engine_is_gone(home: House) -> None:
    home.manager.register(spec("a"))
    engine = await lease(home, "a")
    await asyncio.gather(home.manager.forget("a"), home.manager.forget("a"), return_exceptions=True)
    assert home.manager.list() == []
    assert not psutil.pid_exists(engine.pid)
    with pytest.raises(ModelNotFound):
        await lease(home, "a")


# Crashes -----------------------------------------------------------------------------------


async def test_a_crash_fails_every_stream_and_the_next_request_is_answered(home: House) -> None:
    home.manager.register(spec("a", ENDLESS))
    async with home.manager.lease("a") as engine:
        streams = [engine.submit(ask(f"number {at}")) for at in range(8)]
        for stream in streams:
            await anext(stream)
        async with asyncio.timeout(5):
            os.kill(engine.pid, signal.SIGKILL)
            for stream in streams:
                with pytest.raises(EngineCrashed, match="SIGKILL"):
                    [delta async for delta in stream]
    assert [id for _, id, _ in home.sink.of("crashed")] == ["a"]
    status = home.status("a")
    assert (status.state, status.pid, status.memory_bytes) == ("failed", None, 0)
    assert status.error is not None
    assert status.error.kind == "EngineCrashed"
    again = await lease(home, "a")
    assert again.pid != engine.pid
    assert await answer(again, max_tokens=3)


async def test_one_engine_that_crashes_leaves_the_others_alone(home: House) -> None:
    home.manager.register(spec("a", {"words": 10**9, "crash_after_calls": 50}))
    home.manager.register(spec("b"))
    async with home.manager.lease("a") as bad, home.manager.lease("b") as good:
        wrong, right = await asyncio.gather(
            answer(bad), answer(good, max_tokens=30), return_exceptions=True
        )
    assert isinstance(wrong, EngineCrashed)
    assert "SIGSEGV" in wrong.message
    assert isinstance(right, str)


async def crash(home: House, id: str) -> None:
    engine = await lease(home, id)
    crashes = len(home.sink.of("crashed"))
    os.kill(engine.pid, signal.SIGKILL)
    await home.sink.until(lambda: len(home.sink.of("crashed")) > crashes)


async def test_a_worker_that_keeps_crashing_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a")], backoff=lambda: Backoff(100, 100)) as home:
        await crash(home, "a")
        await crash(home, "a")
        with pytest.raises(EngineCrashed, match="SIGKILL") as caught:
            await lease(home, "a")
        assert caught.value.retry_after_s is not None
        assert 90 < caught.value.retry_after_s <= 100
        assert home.status("a").pid is None
        assert (await home.manager.load("a")).state == "loaded"


async def test_a_short_pause_is_waited_out(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[spec("a")], backoff=lambda: Backoff(0.1, 0.1)) as home:
        await crash(home, "a")
        await crash(home, "a")
        engines = await asyncio.gather(*(lease(home, "a") for _ in range(3)))
        assert len(set(engines)) == 1


async def test_a_lease_held_over_a_crash_does_not_hold_the_next_worker(home: House) -> None:
    home.manager.register(spec("a"))
    async with home.manager.lease("a") as old:
        os.kill(old.pid, signal.SIGKILL)
        await home.until("a", "failed")
        new = await lease(home, "a")
        assert new is not old
        with pytest.raises(EngineCrashed):
            old.submit(ask())
    assert home.status("a").leases == 0


# Closing -----------------------------------------------------------------------------------


async def test_closing_stops_everything_whatever_it_is_doing(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    specs = [spec("on", ENDLESS), spec("slow", HANGS), spec("going")]
    async with house(tmp_path, specs=specs) as home:
        await lease(home, "going")
        waiter = asyncio.create_task(lease(home, "slow"))
        async with home.manager.lease("on") as engine, engine.submit(ask()) as stream:
            await anext(stream)
            unloading = asyncio.create_task(home.manager.unload("going"))
            await asyncio.sleep(0)
            impatient = asyncio.create_task(home.manager.close())
            await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(home.manager.close(), home.manager.close(), unloading)
            with pytest.raises(EngineStopped):
                [delta async for delta in stream]
        with pytest.raises(EngineStopped):
            await waiter
        assert set(home.states().values()) == {"unloaded"}
        assert set(psutil.Process().children()) <= before
        with pytest.raises(EngineStopped):
            await lease(home, "on")


async def test_closing_a_manager_that_did_nothing_is_nothing(home: House) -> None:
    await home.manager.close()


# Over time ---------------------------------------------------------------------------------


async def test_fifty_rounds_leave_files_tasks_and_memory_as_they_were(home: House) -> None:
    home.manager.register(spec("a"))
    process = psutil.Process()

    async def round_trip() -> None:
        await answer(await lease(home, "a"), max_tokens=2)
        await home.manager.unload("a")

    for _ in range(5):
        await round_trip()
    fds, tasks = process.num_fds(), len(asyncio.all_tasks())
    before = process.memory_info().rss
    for _ in range(45):
        await round_trip()
    assert process.num_fds() == fds
    assert len(asyncio.all_tasks()) == tasks
    assert process.memory_info().rss - before < 4 << 20
