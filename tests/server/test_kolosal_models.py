"""The later form of Kolosal's engines: /models, one object for every reader."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from homes import GUIDE, delete, home
from serving import House


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    async with home(tmp_path) as made:
        yield made


async def test_a_model_is_added_in_the_later_form(place: House) -> None:
    body = {
        "model_id": "later",
        "model_path": GUIDE,
        "model_type": "llm",
        "inference_engine": "llama-cpu",
        "load_immediately": True,
        "main_gpu_id": 0,
        "loading_parameters": {"n_ctx": 1024, "n_gpu_layers": 100},
    }
    reply = await place.post("/models", body)
    assert reply.status == 201
    told = reply.json
    assert (told["model_id"], told["model_type"], told["status"]) == ("later", "llm", "loaded")
    assert told["loading_parameters"]["n_ctx"] == 1024
    again = await place.post("/models", body)
    assert (again.status, again.error["code"]) == (409, "model_already_loaded")
    assert "already exists" in again.error["message"]
    (listed,) = [
        one for one in (await place.get("/models")).json["models"] if one["model_id"] == "later"
    ]
    assert (listed["status"], listed["type"], listed["vision"]) == ("loaded", "llm", False)
    removed = await delete(place, "/models/later")
    assert removed.json == {
        "model_id": "later",
        "status": "removed",
        "message": "Model removed successfully",
    }


async def test_llama_cpu_puts_no_layer_on_a_gpu(place: House) -> None:
    body = {
        "model_id": "later",
        "model_path": GUIDE,
        "inference_engine": "llama-cpu",
        "load_immediately": False,
        "n_gpu_layers": 100,
    }
    assert (await place.post("/models", body)).json["loading_parameters"]["n_gpu_layers"] == 0


async def test_one_list_serves_every_reader(place: House) -> None:
    listed = (await place.get("/models")).json
    assert listed["object"] == "list"
    assert listed["total_count"] == len(listed["data"]) == len(listed["models"]) == 1
    (card,), (entry,) = listed["data"], listed["models"]
    assert (card["id"], card["object"], card["status"]["value"]) == ("guide", "model", "unloaded")
    assert {entry[name] for name in ("id", "model_id", "name", "model")} == {"guide"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model_id"),
        ({"model_id": "x"}, "model_path"),
        ({"model_path": GUIDE}, "model_id"),
        ({"model": "a", "model_id": "x", "model_path": GUIDE}, "model"),
        (
            {"model_id": "x", "model_path": GUIDE, "inference_engine": "llama-cuda"},
            "inference_engine",
        ),
        ({"model_id": "x", "model_path": GUIDE, "model_type": "vision"}, "model_type"),
        ({"model_id": "x", "model_path": GUIDE, "mmproj": "y"}, "mmproj"),
    ],
)
async def test_a_model_body_that_says_too_little_or_too_much_is_a_400(
    place: House, body: dict[str, Any], param: str
) -> None:
    reply = await place.post("/models", body)
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_an_unknown_model_is_a_404_in_the_later_form(place: House) -> None:
    for reply in (await place.get("/models/none/status"), await delete(place, "/models/none")):
        assert (reply.status, reply.error["param"]) == (404, "model_id")
