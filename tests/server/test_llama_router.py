"""llama-server's router verbs, llama-swap's names for them, and the events of models."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from homes import GUIDE, home
from serving import FAKE, House, events, fake, house, served

from kolo.config import ModelSettings, Settings
from kolo.errors import DiskFull
from kolo.models.resolve import ModelSpec
from kolo.server.state import Registry
from kolo.types import LoadParams


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    async with home(tmp_path) as made:
        yield made


def state(place: House, id: str) -> str:
    return next(one.state for one in place.manager.list() if one.id == id)


# Load ------------------------------------------------------------------------------------


async def test_a_load_answers_at_once_and_goes_on(place: House) -> None:
    reply = await place.post("/models/load", {"model": "guide"})
    assert (reply.status, reply.json) == (
        200,
        {"success": True, "id": "guide", "state": "loading"},
    )
    again = await place.post("/models/load", {"model": "guide"})
    assert (again.status, again.error["code"]) == (400, "model_already_running")
    await place.sink.until(lambda: bool(place.sink.of("loaded")))
    assert state(place, "guide") == "loaded"


async def test_a_load_that_is_waited_for_answers_when_it_is_there(place: House) -> None:
    body = {"model": "guide", "wait": True, "pin": True, "ttl_s": 30, "ctx": 512, "parallel": 2}
    for _ in range(2):  # to load what is loaded so already is no mistake
        reply = await place.post("/models/load", body)
        assert reply.json == {"success": True, "id": "guide", "state": "loaded"}
    (engine,) = place.manager.list()
    assert (engine.pinned, engine.ttl_s) == (True, 30)
    assert engine.info is not None
    assert (engine.info.n_ctx, engine.info.parallel) == (512, 2)
    assert len(place.sink.of("loaded")) == 1


async def test_a_load_that_fails_says_why_if_one_waits(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("bad", {"refuse": "out of luck"})]) as place:
        reply = await place.post("/models/load", {"model": "bad", "wait": True})
        assert (reply.status, reply.error["code"]) == (422, "model_load_failed")
        assert "out of luck" in reply.error["message"]
        cards = {one["id"]: one for one in (await place.get("/models")).json["data"]}
        assert cards["bad"]["status"]["value"] == "unloaded"
        assert cards["bad"]["status"]["failed"] is True
        assert cards["bad"]["status"]["error"] == "out of luck"


async def test_a_file_is_loaded_under_its_stem_and_kept_for_the_next_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "small.gguf").symlink_to(GUIDE)
    path = str(tmp_path / "small.gguf")
    registry = Registry(tmp_path / "engines.json")
    async with home(tmp_path, registry=registry) as place:
        for _ in range(2):
            reply = await place.post("/models/load", {"model": path, "wait": True, "pin": True})
            assert reply.json["id"] == "small"
        named = await place.post("/models/load", {"model": path, "id": "other", "wait": True})
        assert named.json["id"] == "other"
        assert {one.id for one in place.manager.list()} == {"small", "other"}
        assert (await place.complete(model="small", max_tokens=1)).status == 200
    kept = {spec.id: spec for spec in Registry(tmp_path / "engines.json").specs()}
    assert set(kept) == {"small", "other"}
    assert kept["small"].pin is True
    assert str(kept["small"].path) == path


async def test_what_could_not_be_kept_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.gguf").symlink_to(GUIDE)
    registry = Registry(tmp_path / "engines.json")
    path = str(tmp_path / "small.gguf")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with home(tmp_path, registry=registry) as place:
        assert (await place.post("/models/load", {"model": path, "wait": True})).status == 200
        assert (await place.post("/models/unload", {"model": "small"})).status == 200
        monkeypatch.setattr(os, "fsync", full)
        body = {"model": path, "id": "other", "wait": True}
        reply = await place.post("/models/load", body)
        assert (reply.status, reply.error["code"]) == (507, "disk_full")
        assert place.manager.loaded() == ()
        again = await place.post("/models/load", {"model": "small", "wait": True})
        assert again.status == 200  # nothing about it is new


async def test_what_is_loaded_is_answered_so_though_it_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "small.gguf").symlink_to(GUIDE)
    registry = Registry(tmp_path / "engines.json")

    def full(spec: ModelSpec) -> None:
        raise DiskFull("cannot write it", hint="Make room.")

    monkeypatch.setattr(registry, "remember", full)
    async with home(tmp_path, registry=registry) as place:
        body = {"model": str(tmp_path / "small.gguf"), "wait": True}
        reply = await place.post("/models/load", body)
        assert (reply.status, reply.json["id"]) == (200, "small")
        assert "a restart will not know of engine small: cannot write it" in caplog.text


async def test_the_path_stands_in_where_the_stem_is_taken(tmp_path: Path) -> None:
    (tmp_path / "guide.gguf").symlink_to(GUIDE)
    path = str(tmp_path / "guide.gguf")
    async with home(tmp_path) as place:
        reply = await place.post("/models/load", {"model": path, "wait": True})
        assert reply.json["id"] == path


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({}, 400, "model"),
        ({"model": ""}, 400, "model"),
        ({"model": "guide", "ctxx": 5}, 400, "ctxx"),
        ({"model": "guide", "ctx": 1}, 400, "ctx"),
        ({"model": "guide", "ctx": "512"}, 400, "ctx"),
        ({"model": "guide", "ttl_s": -1}, 400, "ttl_s"),
        ({"model": "guide", "id": "a/../b"}, 400, "id"),
        ({"model": "/etc/passwd"}, 400, "model"),
        ({"model": "/none/at/all.gguf"}, 400, "model"),
        ({"model": "../../../etc/passwd"}, 404, "model"),
        ({"model": "none"}, 404, "model"),
    ],
)
async def test_what_cannot_be_loaded_is_refused_by_name(
    place: House, fields: dict[str, Any], status: int, param: str
) -> None:
    reply = await place.post("/models/load", fields)
    assert (reply.status, reply.error["param"]) == (status, param)
    assert place.manager.list() == []


async def test_an_id_of_another_model_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").symlink_to(GUIDE)
    async with home(tmp_path) as place:
        body = {"model": str(tmp_path / "small.gguf"), "id": "guide"}
        reply = await place.post("/models/load", body)
        assert (reply.status, reply.error["param"]) == (409, "id")


async def test_a_parameter_can_be_set_back_to_its_default_for_a_load(tmp_path: Path) -> None:
    given = LoadParams(mmap=False, kv_unified=True, flash_attn="off", ctx=512, parallel=2)
    models = {"mine": ModelSettings(path=Path(GUIDE), params=given)}
    async with home(tmp_path, settings=Settings(models=models)) as place:
        body = {"model": "mine", "mmap": True, "kv_unified": False, "flash_attn": "auto"}
        reply = await place.post("/models/load", {**body, "parallel": None, "wait": True})
        assert reply.status == 200, reply.body
        (engine,) = place.manager.list()
        assert engine.params == LoadParams(ctx=512)


# Loads that cannot be ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"lora": [{"path": "/none/at/all.gguf"}]}, "lora"),
        ({"chat_template": "{% if %}"}, "chat_template"),
        ({"kv_type_v": "q4_0", "flash_attn": "off"}, "model"),
        ({"ctx": 2**27, "parallel": 256}, "ctx"),
    ],
)
async def test_a_load_that_came_to_nothing_is_a_422_that_names_what_was_asked(
    tmp_path: Path, fields: dict[str, Any], param: str
) -> None:
    async with home(tmp_path, backend="llama") as place:
        reply = await place.post("/models/load", {"model": "guide", "wait": True, **fields})
        assert (reply.status, reply.error["param"]) == (422, param), reply.body
        assert reply.error["type"] == "invalid_request_error"
        assert reply.error["code"] in ("model_load_failed", "out_of_memory")
        assert (await place.complete(model="guide", max_tokens=1)).status == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"batch": 1, "parallel": 4}, "batch"),
        ({"batch": 64, "ubatch": 128}, "ubatch"),
        ({"sampling": {"samplers": ["dice"]}}, "samplers"),
        ({"sampling": {"logit_bias": {"99999999": 1}}}, "logit_bias"),
        ({"devices": ["CUDA99"]}, "devices"),
    ],
)
async def test_parameters_that_no_model_could_have_are_refused_by_name(
    tmp_path: Path, fields: dict[str, Any], param: str
) -> None:
    async with home(tmp_path, backend="llama") as place:
        reply = await place.post("/models/load", {"model": "guide", "wait": True, **fields})
        assert (reply.status, reply.error["param"]) == (400, param), reply.body


@pytest.fixture
def whole() -> bytes:
    return Path(GUIDE).read_bytes()


async def test_a_file_that_is_cut_short_is_refused_by_name(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "cut.gguf").write_bytes(whole[:100_000])
    (tmp_path / "text.gguf").write_text("hello")
    async with home(tmp_path, backend="llama") as place:
        for name in ("cut.gguf", "text.gguf"):
            body = {"model": str(tmp_path / name), "wait": True}
            reply = await place.post("/models/load", body)
            assert (reply.status, reply.error["param"]) == (400, "model")
            assert reply.error["code"] == "invalid_model_format"


# Unload ----------------------------------------------------------------------------------


async def test_a_model_is_unloaded_by_either_name_of_the_verb(place: House) -> None:
    for path, body in (("/models/unload", {"model": "guide"}), ("/api/models/unload/guide", None)):
        await place.post("/models/load", {"model": "guide", "wait": True})
        reply = await place.post(path, body)
        assert reply.json == {"success": True, "msg": "ok", "unloaded": ["guide"], "busy": []}
        assert state(place, "guide") == "unloaded"
    again = await place.post("/models/unload", {"model": "guide"})
    assert (again.status, again.error["code"]) == (400, "model_not_running")
    assert (await place.post("/api/models/unload/guide")).json["unloaded"] == []


async def test_a_model_in_use_is_unloaded_only_by_force(place: House) -> None:
    async with place.manager.lease("guide"):
        refused = await place.post("/models/unload", {"model": "guide"})
        assert (refused.status, refused.error["code"]) == (503, "engine_busy")
        assert (await place.post("/api/models/unload")).json["busy"] == ["guide"]
        forced = await place.post("/models/unload", {"model": "guide", "force": True})
        assert forced.json["unloaded"] == ["guide"]


async def test_a_load_under_way_is_given_up(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("slow", {"hang_on_load": True})]) as place:
        await place.post("/models/load", {"model": "slow"})
        assert (await place.post("/models/unload", {"model": "slow"})).status == 200
        assert state(place, "slow") == "unloaded"


# Events ----------------------------------------------------------------------------------


async def test_events_tell_of_loads_with_progress_and_of_their_end(tmp_path: Path) -> None:
    specs = [fake(FAKE, {"load_ms": 50}), fake("bad", {"refuse": "out of luck"})]
    async with house(tmp_path, specs=specs) as place, served(place) as server:
        client = server.client
        async with client.stream("GET", "/models/sse") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            await client.post("/models/load", json={"model": FAKE, "wait": True})
            await client.post("/models/unload", json={"model": FAKE})
            await client.post("/models/load", json={"model": "bad", "wait": True})
            await client.delete(f"/engines/{FAKE}")
            server.stop.ask()
            told = events(b"".join([piece async for piece in stream.aiter_bytes()]))
    of_fake = [one for one in told if one["model"] == FAKE]
    statuses = [one["data"].get("status") for one in of_fake if one["event"] == "model_status"]
    assert statuses[0] == "loading"
    assert statuses[-2:] == ["loaded", "unloaded"]
    progress = [one["data"]["progress"] for one in of_fake if "progress" in one["data"]]
    assert {"current": "weights", "stage": "weights", "value": 1.0}.items() <= progress[-1].items()
    values = [one["value"] for one in progress]
    assert values == sorted(values)
    assert of_fake[-1]["event"] == "model_remove"
    (failed,) = [one["data"] for one in told if one["data"].get("failed")]
    assert (failed["status"], failed["error"], failed["code"]) == (
        "unloaded",
        "out of luck",
        "model_load_failed",
    )


async def test_a_listener_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as place, served(place) as server:
        feed = place.app.service.monitor.feed
        async with server.client.stream("GET", "/models/sse"):
            assert len(feed._listeners) == 1
        async with asyncio.timeout(10):
            while feed._listeners:
                await server.client.get("/health/live")
