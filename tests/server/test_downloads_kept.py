"""Downloads that a server had not ended when it was stopped, and what the next one does."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from homes import GUIDE, delete, home
from origin import Origin
from registry_server import OLLAMA, Registry
from serving import House

from kolo.config import DownloadSettings, Settings, StoreSettings
from kolo.errors import ConfigError
from kolo.server.downloads import manager
from kolo.types import LoadParams

BODY = Path(GUIDE).read_bytes()
HALF = len(BODY) // 2
ENDED = ("completed", "already_complete", "failed", "engine_created", "engine_creation_failed")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin().running() as made:
        yield made


@asynccontextmanager
async def place(folder: Path, ollama: str = "") -> AsyncIterator[House]:
    """A server whose downloads are kept in ``folder``; it goes on with those of the last."""
    settings = Settings(
        engine=LoadParams(threads=1, warmup=False),
        store=StoreSettings(dir=str(folder / "store"), ollama_registry=ollama),
        downloads=DownloadSettings(allow_private=True),
    )
    file = folder / "state" / "downloads.json"
    async with home(folder, settings=settings, downloads_file=file) as made:
        made.app.service.downloads.go_on()
        try:
            yield made
        finally:
            await made.app.service.downloads.close()


async def until(house: House, id: str, wanted: Callable[[Any], bool]) -> Any:
    """What GET /download-progress says, once it is as wanted."""
    for _ in range(6000):
        told = (await house.get(f"/download-progress/{id}")).json
        if wanted(told):
            return told
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {told}")


async def ended(house: House, id: str) -> Any:
    return await until(house, id, lambda told: told["status"] in ENDED)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def half(house: House, id: str) -> None:
    await until(house, id, lambda told: told["progress"]["downloaded_bytes"] > 0)


async def active(house: House) -> dict[str, Any]:
    listed = (await house.get("/downloads")).json["active_downloads"]
    return {one["model_id"]: one for one in listed}


async def test_what_was_under_way_goes_on_by_itself_and_makes_its_engine(
    tmp_path: Path, origin: Origin
) -> None:
    file = origin.put("/small.gguf", BODY, hold_at=HALF)
    url = f"{origin.url}/small.gguf?key=secret"
    async with place(tmp_path) as house:
        body = {"engine_id": "mine", "model_path": url, "n_ctx": 512, "load_immediately": False}
        assert (await house.post("/engines", body)).status == 202
        await half(house, "mine")
    kept = tmp_path / "state" / "downloads.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    had = next((tmp_path / "store" / "partial").glob("*.part")).stat().st_size
    file.hold_at = None
    async with place(tmp_path) as house:
        told = await ended(house, "mine")
        assert told["status"] == "engine_created", told
        assert told["url"] == f"{origin.url}/small.gguf"
        listed = (await house.get("/engines")).json["engines"]
        assert "mine" in {one["engine_id"] for one in listed}
        status = (await house.get("/engines/mine/status")).json
        assert status["parameters"]["n_ctx"] == 512
        assert await active(house) == {}
    last = [seen for seen in origin.seen if seen.method == "GET"][-1]
    assert last.path == "/small.gguf?key=secret"
    assert last.headers["Range"] == f"bytes={had}-"
    async with place(tmp_path) as house:
        assert await active(house) == {}


async def test_what_was_paused_is_paused_still_and_can_be_gone_on_with(
    tmp_path: Path, origin: Origin
) -> None:
    file = origin.put("/small.gguf", BODY, hold_at=HALF)
    async with place(tmp_path) as house:
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        await half(house, "small")
        await house.post("/downloads/small/pause")
        before = (await active(house))["small"]
    seen = len(origin.seen)
    file.hold_at = None
    async with place(tmp_path) as house:
        now = (await active(house))["small"]
        same = ("status", "url", "local_path", "progress")
        assert {key: now[key] for key in same} == {key: before[key] for key in same}
        assert len(origin.seen) == seen, "nobody asks for what is paused"
        assert (await house.post("/downloads/small/resume")).status == 200
        assert (await ended(house, "small"))["status"] == "completed"


async def test_what_was_paused_can_be_cancelled_and_leaves_nothing(
    tmp_path: Path, origin: Origin
) -> None:
    origin.put("/small.gguf", BODY, hold_at=HALF)
    async with place(tmp_path) as house:
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        await half(house, "small")
        await house.post("/downloads/small/pause")
    async with place(tmp_path) as house:
        assert (await delete(house, "/downloads/small")).status == 200
        assert list((tmp_path / "store" / "partial").iterdir()) == []
    async with place(tmp_path) as house:
        assert await active(house) == {}


async def test_a_file_that_changed_meanwhile_is_fetched_anew(
    tmp_path: Path, origin: Origin
) -> None:
    other = BODY[:-1] + b"x"
    origin.put("/small.gguf", other, etag='"old"', hold_at=HALF)
    async with place(tmp_path) as house:
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        await half(house, "small")
    origin.put("/small.gguf", BODY, etag='"new"')
    async with place(tmp_path) as house:
        told = await ended(house, "small")
        assert told["status"] == "completed", told
        assert read(told["local_path"]) == BODY


async def test_a_source_that_is_away_leaves_it_paused_with_the_reason(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "RENEW_PAUSE_S", 0.01)
    with Origin().running() as away:
        away.put("/small.gguf", BODY, hold_at=HALF)
        async with place(tmp_path) as house:
            await house.post("/models", {"model": f"{away.url}/small.gguf"})
            await half(house, "small")
    async with place(tmp_path) as house:
        told = await until(house, "small", lambda told: told["status"] == "paused")
        assert told["error_code"] == "source_unreachable"
        assert told["progress"]["downloaded_bytes"] > 0


async def test_a_list_that_cannot_be_read_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state" / "downloads.json"
    file.parent.mkdir()
    file.write_text('{"downloads": [{"id"')
    async with place(tmp_path) as house:
        assert await active(house) == {}
    assert file.with_suffix(".unreadable.json").exists()
    assert "the downloads that were under way are lost" in caplog.text


async def test_a_list_that_cannot_be_written_stops_no_download(
    tmp_path: Path, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").touch()
    origin.put("/small.gguf", BODY)
    with pytest.raises(ConfigError):
        async with place(tmp_path):
            pass
    (tmp_path / "state").unlink()
    async with place(tmp_path) as house:
        (tmp_path / "state").touch()
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        assert (await ended(house, "small"))["status"] == "completed"
    assert "a restart will not know of downloads" in caplog.text


async def test_a_model_on_its_way_is_listed_with_how_far_it_is(
    tmp_path: Path, origin: Origin
) -> None:
    file = origin.put("/small.gguf", BODY, hold_at=HALF)
    async with place(tmp_path) as house:
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        await half(house, "small")
        listed = (await house.get("/models")).json
        assert len(listed["data"]) == len(listed["models"]) == listed["total_count"]
        cards = {card["id"]: card for card in listed["data"]}
        status = cards["small"]["status"]
        assert (status["value"], status["progress"]["stage"]) == ("downloading", "download")
        assert 0 < status["progress"]["value"] <= 0.5
        assert status["progress"]["total_bytes"] == len(BODY)
        entries = {entry["model_id"]: entry for entry in listed["models"]}
        assert entries["small"]["status"] == "downloading"
        for asked in (await house.chat(model="small"), await house.get("/props?model=small")):
            assert (asked.status, asked.error["code"]) == (404, "model_not_found")
            assert "the download of 'small' is under way" in asked.error["message"]
        await house.post("/downloads/small/pause")
        card = (await house.get("/v1/models/small")).json
        assert card["status"]["progress"]["stage"] == "paused"
        assert card in (await house.get("/v1/models")).json["data"]
        file.hold_at = None
        await house.post("/downloads/small/resume")
        await ended(house, "small")
        cards = {card["id"]: card for card in (await house.get("/v1/models")).json["data"]}
        assert cards["small"]["status"]["value"] == "unloaded"


async def test_an_engine_of_a_reference_is_loaded_as_its_model_was_published(
    tmp_path: Path, origin: Origin
) -> None:
    registry = Registry(origin)
    layers = [
        (f"{OLLAMA}model", BODY),
        (f"{OLLAMA}params", b'{"stop": ["###"], "temperature": 0.25}'),
        (f"{OLLAMA}system", b"Be brief."),
    ]
    registry.put("library/tiny", "latest", layers)
    async with place(tmp_path, origin.host) as house:
        for id in ("first", "second"):  # fetched, and there already
            body = {"engine_id": id, "model_path": "ollama:tiny", "load_immediately": False}
            assert (await house.post("/engines", body)).status in (201, 202)
            if id == "first":
                assert (await ended(house, id))["status"] == "engine_created"
        params = {one.id: one.params for one in house.manager.list()}
        for id in ("first", "second"):
            assert (params[id].stop, params[id].system) == (["###"], "Be brief.")
            assert params[id].sampling.temperature == 0.25
        registry.put("library/tiny", "latest", layers[:1])
        await house.post("/models", {"model": "ollama:tiny"})
        assert (await ended(house, "tiny:latest"))["status"] == "completed"
        async with house.manager.lease("first") as engine:
            assert (engine.spec.params.stop, engine.spec.params.system) == (None, None)
