"""Models of the store and of folders as a server has them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from homes import home
from stores import model, put

from kolo.config import Settings, StoreSettings
from kolo.models import known
from kolo.models.store import need_store
from kolo.types import LoadParams


async def test_a_model_of_the_store_can_be_removed_and_others_not(tmp_path: Path) -> None:
    settings = Settings(
        engine=LoadParams(threads=1, warmup=False),
        store=StoreSettings(
            dir=str(tmp_path / "store"), folders=[str(model(tmp_path / "gguf", 1).parent)]
        ),
    )
    store = need_store(settings)
    put(store, "mine", model(tmp_path, 2))
    async with home(tmp_path, settings=settings) as house:
        cards = {card["id"]: card for card in (await house.get("/v1/models")).json["data"]}
        assert {id for id, card in cards.items() if card["can_remove"]} == {"mine"}
        for name, status, code in (
            ("guide", 409, "model_not_stored"),
            ("m-1", 409, "model_not_stored"),
            ("nothing", 404, "model_not_found"),
        ):
            refused = await house.delete(f"/models?model={name}")
            assert (refused.status, refused.error["code"]) == (status, code)
        async with house.manager.lease("mine"):
            busy = await house.delete("/models?model=mine")
            assert (busy.status, "mine" in store.models()) == (503, True)
        assert (await house.delete("/models?model=mine")).json["model"] == "mine"
        assert store.models() == {}
        listed = (await house.get("/v1/models")).json["data"]
        assert {card["id"] for card in listed} == {"guide", "m-1"}
        assert (await house.chat(model="mine")).status == 404


async def test_a_model_that_left_the_store_is_listed_no_longer_once_it_is_unloaded(
    tmp_path: Path,
) -> None:
    settings = Settings(
        engine=LoadParams(threads=1, warmup=False), store=StoreSettings(dir=str(tmp_path / "store"))
    )
    store = need_store(settings)
    put(store, "mine", model(tmp_path, 2))
    async with home(tmp_path, settings=settings) as house:
        assert (await house.post("/models/load", {"model": "mine", "id": "own"})).status == 200
        assert (await house.chat(model="mine")).status == 200
        store.remove("mine")

        async def ids() -> set[str]:
            return {card["id"] for card in (await house.get("/v1/models")).json["data"]}

        assert await ids() == {"guide", "own", "mine"}, "what is loaded still answers"
        assert (await house.chat(model="mine")).status == 200
        assert (await house.post("/models/unload", {"model": "mine"})).status == 200
        assert await ids() == {"guide", "own"}


async def test_folders_are_looked_through_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    scan = known.scan

    def watched(*args: object, **more: object) -> object:
        threads.append(threading.current_thread())
        return scan(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(known, "scan", watched)
    settings = Settings(
        engine=LoadParams(threads=1, warmup=False),
        store=StoreSettings(
            dir=str(tmp_path / "store"), folders=[str(model(tmp_path / "gguf", 1).parent)]
        ),
    )
    async with home(tmp_path, settings=settings) as house:
        for path in (
            "/v1/models",
            "/models",
            "/v1/models/m-1",
            "/engines",
            "/engines/none/status",
            "/health",
            "/props?model=nothing",
            "/v1/metrics/completion",
        ):
            assert (await house.get(path)).status in (200, 404), path
        assert (await house.chat(model="unheard-of")).status == 404
        assert (await house.chat(model="m-")).status == 200
        body = {"engine_id": "x", "model_path": str(tmp_path / "gguf" / "m-1.gguf")}
        assert (await house.post("/engines", body)).status == 201
        assert (await house.post("/models/load", {"model": "m-1", "id": "y"})).status == 200
        assert (await house.post("/models/unload", {"model": "y"})).status == 200
    assert len(threads) >= 8
    assert threading.main_thread() not in threads


async def test_a_list_says_what_the_files_of_unloaded_models_are(tmp_path: Path) -> None:
    file = model(tmp_path / "gguf", 1)
    settings = Settings(
        store=StoreSettings(dir=str(tmp_path / "store"), folders=[str(file.parent)])
    )
    async with home(tmp_path, settings=settings) as house:

        async def listed() -> dict[str, Any]:
            data = (await house.get("/v1/models")).json["data"]
            return {card["id"]: card for card in data}

        (told,) = [card["file"] for id, card in (await listed()).items() if id == file.stem]
        assert told["size_bytes"] == file.stat().st_size
        assert told["n_params"] > 0
        assert told["quant"]
        assert (await house.get("/v1/models/guide")).json["file"]["n_params"] > 3e6
        file.write_bytes(b"no model any more")
        assert "file" not in (await listed())[file.stem]
