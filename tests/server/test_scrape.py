"""``GET /metrics`` on a server: whose, under which names, and that looking changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import ENDLESS, House, fake, house

from kolo.manager.engine import Engine
from kolo.types import Generate, Prompt


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    specs = [fake("a"), fake("org/b"), fake("busy", ENDLESS), fake("never")]
    async with house(tmp_path, specs=specs) as made:
        yield made


async def values(place: House, query: str = "") -> dict[tuple[str, str], float]:
    """By name of the sample and of the engine, ``model_name`` or ``model`` where that is it."""
    reply = await place.get(f"/metrics{query}")
    assert reply.status == 200, reply.body
    return {
        (sample.name, sample.labels.get("engine") or sample.labels.get("model_name", "")): (
            sample.value
        )
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


async def test_every_engine_that_is_known_is_told_of(place: House) -> None:
    await place.complete(model="a", max_tokens=4)
    await place.complete(model="org/b", max_tokens=6)
    found = await values(place)
    assert found["kolo_generation_tokens_total", "a"] == 4
    assert found["kolo_generation_tokens_total", "org/b"] == 6
    assert found["kolo_generation_tokens_total", "never"] == 0
    assert found["kolo_engine_memory_bytes", "a"] > 1e6
    assert ("kolo_engine_memory_bytes", "never") not in found


async def test_one_engine_may_be_asked_for_as_with_the_router(place: House) -> None:
    await place.complete(model="a", max_tokens=4)
    found = await values(place, "?model=org/b")
    assert {engine for _, engine in found} == {"", "org/b"}
    missing = await place.get("/metrics?model=nobody")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")
    assert {status.id: status.state for status in place.manager.list()}["org/b"] == "unloaded"


async def test_other_names_are_asked_for_by_name(place: House) -> None:
    await place.complete(model="a", max_tokens=4)
    theirs = await values(place, "?names=vllm")
    assert theirs["vllm:generation_tokens_total", "a"] == 4
    reply = await place.get("/metrics?names=llamacpp&model=a")
    assert b'llamacpp:tokens_predicted_total{model="a"} 4' in reply.body.splitlines()
    wrong = await place.get("/metrics?names=tgi")
    assert (wrong.status, wrong.error["param"]) == (400, "names")


async def test_counters_outlive_unloads_and_crashes(place: House) -> None:
    for _ in range(2):
        await place.complete(model="a", max_tokens=4)
        await place.manager.unload("a")
    async with place.manager.lease("a") as engine:
        before = await values(place)
        engine._process.kill("for the test")
        await place.sink.until(lambda: bool(place.sink.of("crashed")))
    await place.complete(model="a", max_tokens=4)
    after = await values(place)
    assert before["kolo_generation_tokens_total", "a"] == 8
    assert after["kolo_generation_tokens_total", "a"] == 12
    assert after["kolo_time_to_first_token_seconds_count", "a"] == 3
    assert after["kolo_model_loads_total", "a"] == 4
    for (name, engine_id), value in before.items():
        if name.endswith(("_total", "_count", "_sum")) and engine_id == "a":
            assert after[name, engine_id] >= value, name


async def test_a_scrape_waits_for_no_worker(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is in a step of minutes answers nothing meanwhile."""
    ask = Generate(input=Prompt(text="hello"))
    async with place.manager.lease("busy") as engine, engine.submit(ask) as stream:
        await anext(stream)
        asked: list[str] = []

        async def silent(self: Engine, **how: float) -> None:
            asked.append(self.id)
            await asyncio.Event().wait()

        monkeypatch.setattr(Engine, "stats", silent)
        async with asyncio.timeout(30):
            for _ in range(5):
                found = await values(place)
        assert found["kolo_num_requests_running", "busy"] == 1
        assert len(asked) <= len(place.manager.loaded()), "a scrape asked a worker"


async def test_a_scrape_does_not_count_as_use(place: House) -> None:
    await place.complete(model="a", max_tokens=1)
    (before,) = [status for status in place.manager.list() if status.id == "a"]
    for _ in range(3):
        await values(place)
    (after,) = [status for status in place.manager.list() if status.id == "a"]
    assert after.last_used == before.last_used
    assert {status.id for status in place.manager.list() if status.state == "loaded"} == {"a"}
