"""Kolosal's /engines and the later /models: adding, listing, status, removing."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from homes import GUIDE, delete, get_with_body, home
from serving import ENDLESS, House, fake, house

from kolo.config import ModelSettings, Settings
from kolo.server.state import Registry
from kolo.types import LoadParams

TEN = {
    "n_ctx",
    "n_keep",
    "use_mlock",
    "use_mmap",
    "cont_batching",
    "warmup",
    "n_parallel",
    "n_gpu_layers",
    "n_batch",
    "n_ubatch",
}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    async with home(tmp_path) as made:
        yield made


async def add(place: House, id: str = "mine", **fields: Any) -> Any:
    body = {"engine_id": id, "model_path": GUIDE, "load_immediately": False, **fields}
    return await place.post("/engines", body)


# Adding ----------------------------------------------------------------------------------


async def test_an_engine_is_added_loaded_and_answers_under_its_id(place: House) -> None:
    reply = await add(place, load_immediately=True)
    assert reply.status == 201
    told = reply.json
    assert told["engine_id"] == "mine"
    assert told["model_path"] == GUIDE
    assert told["status"] == "loaded"
    assert told["load_immediately"] is True
    assert told["main_gpu_id"] == 0
    assert told["message"] == "Engine added successfully"
    assert set(told["loading_parameters"]) == TEN
    answer = await place.complete(model="mine", max_tokens=3)
    assert answer.json["model"] == "mine"


async def test_kolosals_defaults_hold_for_what_is_left_out(place: House) -> None:
    told = (await add(place)).json
    assert told["status"] == "created"
    assert told["loading_parameters"] == {
        "n_ctx": 4096,
        "n_keep": 4096,
        "use_mlock": False,
        "use_mmap": True,
        "cont_batching": True,
        "warmup": False,
        "n_parallel": 1,
        "n_gpu_layers": None,
        "n_batch": 2048,
        "n_ubatch": 512,
    }


async def test_the_engine_table_of_the_settings_goes_before_kolosals_defaults(
    tmp_path: Path,
) -> None:
    settings = Settings(engine=LoadParams(ctx=2048, parallel=3, mlock=True))
    async with home(tmp_path, settings=settings) as place:
        told = (await add(place)).json["loading_parameters"]
        assert (told["n_ctx"], told["n_parallel"], told["use_mlock"]) == (2048, 3, True)


@pytest.mark.parametrize("nested", [True, False])
async def test_parameters_may_be_flat_or_nested(
    place: House, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kolo.server.kolosal.loading.gpu_present", lambda: True)
    monkeypatch.setattr("kolo.server.kolosal.loading.gpu_built", lambda: True)
    given = {
        "n_ctx": 1024,
        "n_keep": 100,
        "use_mlock": True,
        "use_mmap": False,
        "cont_batching": True,
        "warmup": True,
        "n_parallel": 2,
        "n_gpu_layers": 7,
        "n_batch": 256,
        "n_ubatch": 128,
    }
    fields = {"loading_parameters": given} if nested else given
    reply = await add(place, main_gpu_id=1, **fields)
    assert reply.json["loading_parameters"] == given
    assert reply.json["main_gpu_id"] == 1


async def test_gpu_layers_asked_for_by_habit_are_left_open_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kolo.server.kolosal.loading.gpu_present", lambda: False)
    async with home(tmp_path, backend="llama") as place:
        told = await add(place, load_immediately=True, n_ctx=64, n_gpu_layers=100)
        assert told.status == 201
        assert told.json["loading_parameters"]["n_gpu_layers"] == 0


async def test_n_ctx_is_for_each_of_n_parallel_requests(place: House) -> None:
    await add(place, load_immediately=True, n_ctx=512, n_parallel=3)
    (engine,) = [one for one in place.manager.list() if one.id == "mine"]
    assert engine.info is not None
    assert (engine.info.n_ctx, engine.info.parallel) == (512, 3)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n_cxt": 5}, "n_cxt"),
        ({"loading_parameters": {"n_cxt": 5}}, "loading_parameters.n_cxt"),
        ({"n_ctx": 0}, "n_ctx"),
        ({"n_ctx": 1_000_001}, "n_ctx"),
        ({"n_ctx": "4096"}, "n_ctx"),
        ({"n_ctx": 1024, "n_keep": 1025}, "n_keep"),
        ({"n_batch": 128, "n_ubatch": 129}, "n_ubatch"),
        ({"n_batch": 8193}, "n_batch"),
        ({"n_parallel": 0}, "n_parallel"),
        ({"n_gpu_layers": -1}, "n_gpu_layers"),
        ({"cont_batching": False}, "cont_batching"),
        ({"main_gpu_id": 16}, "main_gpu_id"),
        ({"n_ctx": 1024, "loading_parameters": {"n_ctx": 2048}}, "n_ctx"),
        ({"engine_id": ""}, "engine_id"),
        ({"engine_id": "a/../b"}, "engine_id"),
        ({"engine_id": "a\nb"}, "engine_id"),
        ({"engine_id": "x" * 257}, "engine_id"),
        ({"load_immediately": "yes"}, "load_immediately"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(
    place: House, fields: dict[str, Any], param: str
) -> None:
    reply = await add(place, **fields)
    assert reply.status == 400
    assert reply.error["param"] == param
    assert [one.id for one in place.manager.list()] == []


@pytest.mark.parametrize("missing", ["engine_id", "model_path"])
async def test_what_is_missing_is_a_400_that_names_it(place: House, missing: str) -> None:
    body = {"engine_id": "mine", "model_path": GUIDE}
    del body[missing]
    reply = await place.post("/engines", body)
    assert (reply.status, reply.error["param"]) == (400, missing)


async def test_a_path_that_leads_nowhere_says_how(place: House, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.txt").write_text("no model")
    os.mkfifo(tmp_path / "pipe")
    for path, code in (
        (tmp_path / "none.gguf", "model_path_not_found"),
        (tmp_path / "other.txt" / "below", "model_path_not_found"),
        ("a\0b", "model_path_not_found"),
        ("x" * 4000, "model_path_not_found"),
        (tmp_path / "empty", "model_file_not_found"),
        (tmp_path / "other.txt", "invalid_model_format"),
        (tmp_path / "pipe", "invalid_model_path_type"),
        ("/dev/null", "invalid_model_path_type"),
    ):
        reply = await add(place, model_path=str(path))
        assert (reply.status, reply.error["code"]) == (400, code), path
        assert reply.error["param"] == "model_path"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
async def test_a_file_that_may_not_be_read_says_so(place: House, tmp_path: Path) -> None:
    (tmp_path / "closed.gguf").write_bytes(b"GGUF")
    (tmp_path / "closed.gguf").chmod(0)
    reply = await add(place, model_path=str(tmp_path / "closed.gguf"))
    assert (reply.status, reply.error["code"]) == (400, "model_path_access_denied")


async def test_a_folder_with_one_model_stands_for_it(place: House, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.gguf").symlink_to(GUIDE)
    assert (await add(place, model_path=str(tmp_path / "folder"))).status == 201
    (engine,) = place.manager.list()
    assert engine.path == str(tmp_path / "folder" / "one.gguf")


@pytest.mark.parametrize("url", ["ftp://example.org/x.gguf", "s3://bucket/x.gguf"])
async def test_a_url_that_cannot_be_fetched_is_refused(place: House, url: str) -> None:
    reply = await add(place, model_path=url)
    assert (reply.status, reply.error["code"]) == (422, "download_start_failed")
    assert reply.error["type"] == "model_download_error"
    assert "https://" in reply.error["message"]


@pytest.mark.parametrize("url", ["hf://user/repo", "https://example.org/page", "oci:UPPER"])
async def test_a_malformed_source_is_refused_by_its_field(place: House, url: str) -> None:
    reply = await add(place, model_path=url)
    assert (reply.status, reply.error["param"]) == (400, "model_path")


@pytest.mark.parametrize("id", ["guide", "mine"])
async def test_an_id_that_is_taken_is_a_409(place: House, id: str) -> None:
    await add(place)
    reply = await add(place, id)
    assert (reply.status, reply.error["code"]) == (409, "engine_id_exists")
    assert reply.error["param"] == "engine_id"
    assert "already exists" in reply.error["message"]


def no_known_kind(path: Path) -> Path:
    """A whole GGUF file, of an architecture that llama.cpp does not have."""
    writer = GGUFWriter(path, "nonsense")
    writer.add_context_length(64)
    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.add_tensor("token_embd.weight", np.zeros((8, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


async def test_a_load_that_fails_leaves_no_engine_and_can_be_tried_again(tmp_path: Path) -> None:
    path = str(no_known_kind(tmp_path / "nonsense.gguf"))
    registry = Registry(tmp_path / "engines.json")
    async with home(tmp_path, backend="llama", registry=registry) as place:
        for _ in range(2):
            reply = await add(place, model_path=path, load_immediately=True, n_ctx=512)
            assert (reply.status, reply.error["code"]) == (422, "model_loading_failed")
            assert reply.error["type"] == "model_loading_error"
            assert reply.error["details"] == {
                "engine_id": "mine",
                "model_id": "mine",
                "model_path": path,
                "n_ctx": 512,
                "n_gpu_layers": None,
                "main_gpu_id": 0,
            }
        assert place.manager.list() == []
        assert registry.specs() == []


# Listing and status ----------------------------------------------------------------------


async def test_the_list_holds_all_that_can_be_asked_for(tmp_path: Path) -> None:
    configured = ModelSettings(path=Path(GUIDE), aliases=("short",))
    settings = Settings(models={"configured": configured})
    async with home(tmp_path, settings=settings) as place:
        await add(place)
        listed = (await place.get("/engines")).json
        assert listed["total_count"] == 3
        engines = {one["engine_id"]: one for one in listed["engines"]}
        assert set(engines) == {"configured", "guide", "mine"}
        assert engines["configured"]["aliases"] == ["short"]
        assert engines["mine"]["status"] == engines["mine"]["state"] == "unloaded"
        assert engines["mine"]["last_accessed"] == "never"
        assert engines["mine"]["model_path"] == GUIDE


async def test_the_list_shows_what_a_loaded_engine_holds(place: House) -> None:
    await add(place, load_immediately=True, n_ctx=512)
    await place.complete(model="mine", max_tokens=2)
    engines = {one["engine_id"]: one for one in (await place.get("/v1/engines")).json["engines"]}
    mine = engines["mine"]
    assert (mine["status"], mine["state"], mine["ctx"], mine["parallel"]) == (
        "loaded",
        "loaded",
        512,
        1,
    )
    assert mine["pid"] > 0
    assert mine["in_flight"] == 0
    assert mine["idle_s"] >= 0
    assert mine["expires_s"] <= mine["ttl_s"]
    assert mine["last_accessed"].endswith("+00:00")


async def test_the_status_of_an_engine_before_and_after_its_load(place: House) -> None:
    await add(place, n_ctx=512, n_parallel=2)
    before = (await place.get("/engines/mine/status")).json
    assert (before["status"], before["available"]) == ("unloaded", True)
    assert before["parameters"]["n_ctx"] == 512
    assert before["performance"] == {"last_inference_tps": 0.0, "total_requests": 0}
    assert "memory_usage" not in before
    for n_asked in range(1, 100):
        await place.complete(model="mine", max_tokens=20)
        after = (await place.get("/engines/mine")).json
        assert after["performance"]["total_requests"] == n_asked
        if after["performance"]["last_inference_tps"]:  # else all came in one read: no rate
            break
    assert after["status"] == "loaded"
    assert after["performance"]["last_inference_tps"] > 0
    assert after["parameters"]["n_parallel"] == 2
    assert "memory_usage" in after


async def test_an_engine_that_failed_says_why(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("bad", {"refuse": "out of luck"})]) as place:
        await place.complete(model="bad")
        told = (await place.get("/engines/bad/status")).json
        assert (told["status"], told["available"]) == ("failed", False)
        assert told["error"] == "out of luck"
        assert "out of luck" in told["message"]
        (listed, *_) = (await place.get("/engines")).json["engines"]
        assert (listed["state"], listed["error"]) == ("failed", "out of luck")


async def test_ids_may_hold_slashes_percent_encoded_or_not(place: House) -> None:
    await add(place, "org/model")
    for path in (
        "/engines/org/model/status",
        "/engines/org%2Fmodel/status",
        "/v1/engines/org/model",
        "/models/org/model",
        "/models/org/model/status",
        "/v1/models/org/model/status",
    ):
        assert (await place.get(path)).json["engine_id"] == "org/model", path
    assert (await place.get("/v1/models/org/model")).json["id"] == "org/model"
    assert (await delete(place, "/engines/org/model")).json["engine_id"] == "org/model"


@pytest.mark.parametrize("path", ["/engines/none/status", "/engines/none", "/v1/engines/none"])
async def test_an_unknown_engine_is_a_404(place: House, path: str) -> None:
    reply = await place.get(path)
    assert reply.status == 404
    assert reply.error["type"] == "not_found_error"
    assert (reply.error["param"], reply.error["code"]) == ("engine_id", "model_not_found")


async def test_the_id_may_stand_in_the_body_as_kolosals_clients_send_it(place: House) -> None:
    await add(place)
    told = await get_with_body(place, "/engines/mine/status", {"engine_id": "mine"})
    assert told.json["engine_id"] == "mine"
    other = await get_with_body(place, "/engines/mine/status", {"engine_id": "guide"})
    assert (other.status, other.error["param"]) == (400, "engine_id")
    unknown = await get_with_body(place, "/engines/mine/status", {"id": "mine"})
    assert (unknown.status, unknown.error["param"]) == (400, "id")


# Removing --------------------------------------------------------------------------------


async def test_an_engine_is_removed_and_its_file_stays(place: House) -> None:
    await add(place, load_immediately=True)
    removed = await delete(place, "/engines/mine", {"engine_id": "mine"})
    assert removed.status == 200
    assert removed.json == {
        "engine_id": "mine",
        "status": "removed",
        "message": "Engine removed successfully",
    }
    assert (await place.get("/engines/mine")).status == 404
    assert (await delete(place, "/engines/mine")).status == 404
    assert (await add(place, load_immediately=True)).status == 201


async def test_what_the_settings_or_kolo_bring_is_not_removed(tmp_path: Path) -> None:
    settings = Settings(models={"configured": ModelSettings(path=Path(GUIDE))})
    async with home(tmp_path, settings=settings) as place:
        for id in ("guide", "configured"):
            reply = await delete(place, f"/engines/{id}")
            assert (reply.status, reply.error["code"]) == (409, "engine_configured")


async def test_an_engine_in_use_is_removed_only_by_force(tmp_path: Path) -> None:
    async with (
        house(tmp_path, specs=[fake("busy", ENDLESS)]) as place,
        place.manager.lease("busy"),
    ):
        refused = await delete(place, "/engines/busy")
        assert (refused.status, refused.error["code"]) == (503, "engine_busy")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await delete(place, "/engines/busy?force=true")).status == 200


# Over a restart --------------------------------------------------------------------------


async def test_an_engine_that_was_added_is_kept_for_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "engines.json"
    async with home(tmp_path, registry=Registry(file)) as place:
        await add(place, "kept", n_ctx=512)
        await add(place, "gone")
        await delete(place, "/engines/gone")
    (spec,) = Registry(file).specs()
    assert (spec.id, str(spec.path), spec.params.ctx) == ("kept", GUIDE, 512)


async def test_bytes_that_are_no_json_are_a_400(place: House) -> None:
    for raw in (b"", b"{", b"\xff", b"[]", b'{"engine_id": "\\ud800", "model_path": "x"}'):
        reply = await place.post("/engines", raw=raw)
        assert reply.status == 400, raw
        assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"
