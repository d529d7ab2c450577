"""A server watched through its monitor socket: what it shows of engines, requests and mishaps."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from serving import ENDLESS, FAKE, fake, house, served
from watching import DEADLINE_S, raw, until, watched

import kolo
from kolo.manager.caller import account
from kolo.monitor.completions import unload_kind
from kolo.monitor.subscribe import Link, connect
from kolo.server.access.limits import Allowance, Limits
from kolo.server.access.principal import by_address
from kolo.snapshot import Engine, Event, Gpu, GpuProcess, Snapshot
from kolo.types import Generate, Prompt

QUICK_S = 0.1


def ask(text: str = "hello", **options: Any) -> Generate:
    return Generate(input=Prompt(text=text), **options)


def engine(snapshot: Snapshot, id: str = FAKE) -> Engine:
    return next(one for one in snapshot.engines if one.id == id)


def states(snapshot: Snapshot) -> list[str]:
    return [request.state for request in snapshot.requests]


# What is to be seen ----------------------------------------------------------------------


async def test_a_server_at_rest_shows_itself_and_what_is_loaded(tmp_path: Path) -> None:
    async with watched(tmp_path, specs=[fake("a", parallel=3), fake("b")]) as (place, path):
        await place.manager.load("a", pin=True)
        monitor = place.app.service.monitor
        async with served(place) as front:
            monitor.url = f"http://127.0.0.1:{front.port}"
            async with connect(path, interval_s=QUICK_S) as link:
                assert link.hello.server.version == kolo.__version__
                assert link.hello.server.pid == os.getpid()
                assert link.hello.server.url == monitor.url
                seen = await until(link, lambda s: engine(s, "a").slots is not None)
    a, b = engine(seen, "a"), engine(seen, "b")
    assert (a.state, b.state) == ("loaded", "unloaded")
    assert a.pinned
    assert not b.pinned
    assert a.model is not None
    assert (a.model.architecture, a.model.parallel, a.model.n_ctx) == ("fake", 3, 4096)
    assert (b.model, b.slots, b.kv, b.process, b.loaded_at) == (None, None, None, None, None)
    assert a.slots is not None
    assert [slot.state for slot in a.slots] == ["idle"] * 3
    assert a.kv is not None
    assert (a.kv.total_tokens, a.kv.used_tokens) == (3 * 4096, 0)
    assert a.process is not None
    assert a.process.rss_bytes
    assert seen.server_process is not None
    assert seen.server_process.pid == os.getpid()
    assert seen.host.memory_total_bytes
    assert seen.host.disk is not None
    assert seen.host.disk.path == str(tmp_path)
    assert seen.watchers == 1
    assert seen.windows.last_1m.output_tokens_per_s is None
    assert (seen.running, seen.waiting, seen.requests) == (0, 0, [])


async def test_a_request_is_followed_from_the_queue_to_its_end(tmp_path: Path) -> None:
    spec = fake(FAKE, {"row_ms": 20, "words": 10**6}, parallel=1, batch=32)
    async with (
        watched(tmp_path, specs=[spec]) as (place, path),
        served(place) as front,
        connect(path, interval_s=QUICK_S) as link,
    ):
        body = {"model": FAKE, "prompt": "x" * 3000, "max_tokens": 200, "user": "ada"}
        first = asyncio.create_task(front.client.post("/v1/completions", json=body))
        second = asyncio.create_task(
            front.client.post("/v1/completions", json={**body, "max_tokens": 2})
        )
        reading = await until(
            link, lambda s: any(r.slot is not None and r.state == "prefill" for r in s.requests)
        )
        writing = await until(link, lambda s: states(s) == ["decode", "queued"])
        steady = await until(
            link, lambda s: states(s)[:1] == ["decode"] and s.requests[0].output_tokens > 50
        )
        await asyncio.gather(first, second)
        done = await until(link, lambda s: s.totals.done == 2 and not s.requests)
    part = reading.requests[0]
    assert (part.engine, part.kind, part.user, part.client) == (
        FAKE,
        "generate",
        "ada",
        "127.0.0.1",
    )
    assert part.prompt_tokens == 3000
    assert part.prompt_done is not None
    assert part.prompt_done <= 3000
    assert part.ttft_ms is None
    one, two = writing.requests
    assert one.age_s >= two.age_s
    assert one.ttft_ms is not None
    assert one.ttft_ms <= one.age_s * 1000
    assert (writing.running, writing.waiting) == (1, 1)
    assert engine(writing).running == engine(writing).waiting == 1
    running = steady.requests[0]
    assert running.tokens_per_s is not None
    assert 5 < running.tokens_per_s < 75
    assert engine(steady).kv is not None
    slots = engine(steady).slots
    assert slots is not None
    assert slots[0].request == running.id
    assert 3000 <= slots[0].held_tokens <= 3000 + running.output_tokens + 1
    window = done.windows.last_1m
    assert (window.done, window.output_tokens, window.prompt_tokens) == (2, 202, 6000)
    assert window.ttft_ms.n == window.queue_ms.n == window.prefill_ms.n == 2
    assert window.itl_ms.n == 200
    assert engine(done).totals == done.totals
    assert engine(done).windows.last_1m.prompt_tokens_per_s is not None


async def test_prompts_that_are_read_count_while_they_are_read(tmp_path: Path) -> None:
    def read(snapshot: Snapshot) -> float:
        window = snapshot.windows.last_1m
        return (window.prompt_tokens_per_s or 0) * window.covered_s

    async with (
        watched(tmp_path, specs=[fake(FAKE, {"row_ms": 200}, batch=256)]) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
    ):
        asking = asyncio.create_task(place.complete(prompt="x" * 3000, max_tokens=2))
        early = await until(link, lambda s: read(s) > 0)
        assert read(early) < 2990
        assert early.totals.prompt_tokens == 0
        await asking
        late = await until(link, lambda s: read(s) > 2990)
        assert read(late) == pytest.approx(3000, rel=0.01)


async def test_cancelled_and_failed_requests_are_told_apart(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, specs=[fake(FAKE, ENDLESS, ctx=512)]) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
    ):
        assert (await place.complete(prompt="x" * 2000)).status == 400
        async with place.manager.lease(FAKE) as handle, handle.submit(ask()) as stream:
            await anext(stream)
            await until(link, lambda s: states(s) == ["decode"])
        seen = await until(link, lambda s: s.totals.cancelled == 1)
    assert (seen.totals.failed, seen.totals.done) == (1, 0)
    assert seen.windows.last_5s.cached_share is not None


async def test_gpus_name_the_engine_whose_worker_is_on_them(tmp_path: Path) -> None:
    pids: list[int] = []

    def gpus() -> list[Gpu]:
        processes = [GpuProcess(pid=pid, memory_bytes=7) for pid in (*pids, 1)]
        return [Gpu(id="nvidia:0", vendor="nvidia", index=0, name="H200", processes=processes)]

    async with (
        watched(tmp_path, gpus=gpus) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
    ):
        pids.append((await place.manager.load(FAKE)).pid)
        seen = await until(link, lambda s: any(len(gpu.processes or ()) == 2 for gpu in s.gpus))
    (shown,) = seen.gpus
    assert shown.processes is not None
    assert [one.engine for one in shown.processes] == [FAKE, None]


# What happens ----------------------------------------------------------------------------


async def test_a_worker_that_dies_is_an_event_at_once_and_a_state_after(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, specs=[fake("a", ENDLESS), fake("b", ENDLESS)]) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
        place.manager.lease("a") as a,
        place.manager.lease("b") as b,
        a.submit(ask()) as dying,
        b.submit(ask()) as living,
    ):
        await anext(dying)
        await anext(living)
        before = await until(link, lambda s: states(s) == ["decode", "decode"])
        os.kill(a.pid, signal.SIGKILL)
        crash = await event(link, "crashed")
        after = await until(link, lambda s: engine(s, "a").state == "failed")
        assert (crash.engine, crash.level) == ("a", "error")
        assert "signal 9" in crash.text
        dead, alive = engine(after, "a"), engine(after, "b")
        assert dead.error is not None
        assert (dead.slots, dead.kv, dead.process, dead.model) == (None, None, None, None)
        assert dead.totals.crashes == dead.totals.failed == 1
        assert dead.totals.output_tokens >= engine(before, "a").totals.output_tokens
        assert [request.engine for request in after.requests] == ["b"]
        assert alive.state == "loaded"
        more = alive.totals.output_tokens
        await until(link, lambda s: engine(s, "b").totals.output_tokens > more)
        again = await place.manager.load("a")
        back = await until(link, lambda s: engine(s, "a").slots is not None)
        process = engine(back, "a").process
        assert process is not None
        assert process.pid == again.pid
        assert engine(back, "a").totals.loads == 2


async def event(link: Any, kind: str) -> Event:
    async with asyncio.timeout(DEADLINE_S):
        async for message in link:
            if isinstance(message, Event) and message.kind == kind:
                return message
    raise AssertionError(f"no {kind}")


async def test_a_late_client_hears_what_happened_before(tmp_path: Path) -> None:
    specs = [fake("a", {"load_ms": 30}), fake("b")]
    async with watched(tmp_path, specs=specs, limits={"max_engines": 1}) as (place, path):
        await place.complete(model="a", max_tokens=1)
        await place.complete(model="b", max_tokens=1)
        await place.manager.unload("b")
        async with raw(path) as client:
            assert (await client.line())["type"] == "hello"
            told = []
            while (line := await client.line())["type"] == "event":
                told.append((line["kind"], line["engine"]))
    assert told[0] == ("server", None)
    assert told[1] == ("loading", "a")
    assert [one for one in told if one[0] in ("loaded", "evicted", "unloaded")] == [
        ("loaded", "a"),
        ("evicted", "a"),
        ("loaded", "b"),
        ("unloaded", "b"),
    ]


async def test_reasons_of_unloads_are_counted_by_kind(tmp_path: Path) -> None:
    specs = [fake("a"), fake("b")]
    async with house(tmp_path, specs=specs, limits={"max_engines": 1}) as place:
        counts = place.app.service.monitor.completions
        await place.manager.load("a")
        await place.manager.load("b")
        assert counts.of("a").unloads == {"evicted": 1}
        await place.manager.load("b", overrides={"parallel": 2})
        await place.manager.unload("b")
        await place.manager.load("b", ttl_s=0.01)
        await place.sink.until(lambda: ("unloaded", "b", "idle") in place.sink.events)
        await place.manager.load("a")
    assert counts.of("b").unloads == {"changed": 1, "requested": 1, "idle": 1}
    assert counts.of("a").unloads == {"evicted": 1, "stopping": 1}
    assert unload_kind("anything else") == "changed"


async def test_a_queue_that_is_full_is_counted_and_told_once(tmp_path: Path) -> None:
    spec = fake(FAKE, ENDLESS, parallel=1)
    account.set(by_address("", Limits(), Allowance()))  # as who is refused below
    async with (
        watched(tmp_path, specs=[spec], limits={"max_queue": 1}) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
        place.manager.lease(FAKE) as handle,
        handle.submit(ask()),
        handle.submit(ask()),
    ):
        for _ in range(20):
            assert (await place.complete(max_tokens=1)).status == 503
        told = await event(link, "rejected")
        seen = await until(link, lambda s: s.totals.rejected == 20)
    assert told.engine == FAKE
    assert engine(seen).max_queue == 1
    assert (engine(seen).running, engine(seen).waiting) == (1, 1)
    events = place.app.service.monitor.log.recent()
    assert [e.kind for e in events].count("rejected") == 1


async def test_a_server_that_stops_says_so_and_its_stream_ends(tmp_path: Path) -> None:
    async def rest(link: Link) -> None:
        async for _ in link:
            pass

    async with AsyncExitStack() as held:
        async with watched(tmp_path) as (place, path):
            link = await held.enter_async_context(connect(path, interval_s=QUICK_S))
            await until(link, lambda s: not s.stopping)
            async with served(place):
                pass
            await until(link, lambda s: s.stopping)
        await asyncio.wait_for(rest(link), DEADLINE_S)


# It reads only ---------------------------------------------------------------------------


async def test_watching_loads_nothing_and_keeps_nothing_awake(tmp_path: Path) -> None:
    specs = [fake("a"), fake("idle")]
    async with (
        watched(tmp_path, specs=specs) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
    ):
        handle = await place.manager.load("a", ttl_s=1.0)
        used = handle.last_used
        seen = await until(link, lambda s: engine(s, "a").slots is not None)
        assert handle.last_used == used
        assert engine(seen, "a").expires_s is not None
        gone = await until(link, lambda s: engine(s, "a").state == "unloaded")
    assert engine(gone, "idle").state == "unloaded"
    assert gone.totals.loads == 1
    assert gone.totals.unloads == 1


async def test_a_worker_at_rest_is_not_asked_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as (place, path):
        handle = await place.manager.load(FAKE)
        asked = 0
        really = handle.stats

        async def counted(**options: Any) -> Any:
            nonlocal asked
            asked += 1
            return await really(**options)

        handle.stats = counted  # type: ignore[method-assign]
        async with (
            connect(path, interval_s=QUICK_S) as link,
        ):
            await until(link, lambda s: engine(s).stats_age_s is not None)
            later = await until(link, lambda s: s.uptime_s > 2.5)
            assert asked == 1
            assert engine(later).stats_age_s == 0.0
            await place.complete(max_tokens=2)
            await until(link, lambda s: s.totals.done == 1 and bool(engine(s).kv))
            held = await until(link, lambda s: bool(engine(s).kv and engine(s).kv.cached_tokens))
            assert asked == 2
            assert held.totals.done == 1


async def test_a_worker_that_does_not_answer_holds_up_no_snapshot(tmp_path: Path) -> None:
    spec = fake(FAKE, {"row_ms": 5, "words": 10**9})
    async with (
        watched(tmp_path, specs=[spec]) as (place, path),
        connect(path, interval_s=QUICK_S) as link,
        place.manager.lease(FAKE) as handle,
        handle.submit(ask()) as stream,
    ):
        await anext(stream)
        await until(link, lambda s: engine(s).slots is not None)
        os.kill(handle.pid, signal.SIGSTOP)
        try:
            stuck = await until(link, lambda s: (engine(s).stats_age_s or 0) > 1.5)
        finally:
            os.kill(handle.pid, signal.SIGCONT)
        assert [request.state for request in stuck.requests] == ["decode"]
        await until(link, lambda s: (engine(s).stats_age_s or 9) < 1.0)


async def test_a_house_that_nobody_watches_counts_all_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as place:
        await place.complete(max_tokens=7)
        totals = place.app.service.monitor.completions.overall.totals()
    assert (totals.done, totals.output_tokens) == (1, 7)
