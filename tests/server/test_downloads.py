"""Downloads that requests ask for: Kolosal's routes, a URL as model_path, the router's verb."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from homes import GUIDE, delete, home
from origin import Origin
from serving import House, events, served

from kolo.config import DownloadSettings, Settings, StoreSettings
from kolo.models.store import Added, Store
from kolo.server.downloads import manager as downloads
from kolo.types import LoadParams

BODY = Path(GUIDE).read_bytes()
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin().running() as made:
        yield made


@asynccontextmanager
async def place(folder: Path, *, allow_private: bool = True) -> AsyncIterator[House]:
    settings = Settings(
        engine=LoadParams(threads=1, warmup=False),
        store=StoreSettings(dir=str(folder / "store")),
        downloads=DownloadSettings(allow_private=allow_private),
    )
    async with home(folder, settings=settings) as made:
        try:
            yield made
        finally:
            await made.app.service.downloads.close()


async def until(house: House, id: str, wanted: Callable[[Any], bool]) -> Any:
    """What GET /download-progress says, once it is as wanted."""
    for _ in range(3000):
        told = (await house.get(f"/download-progress/{id}")).json
        if wanted(told):
            return told
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {told}")


async def until_it_is(house: House, id: str, *statuses: str) -> Any:
    return await until(house, id, lambda told: told["status"] in statuses)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def test_an_engine_is_made_of_a_url(tmp_path: Path, origin: Origin) -> None:
    file = origin.put("/m/small-Q8_0.gguf", BODY, hold_at=len(BODY) // 2)
    url = f"{origin.url}/m/small-Q8_0.gguf"
    async with place(tmp_path) as house:
        body = {"engine_id": "mine", "model_path": url, "loading_parameters": {"n_ctx": 512}}
        reply = await house.post("/engines", body)
        assert reply.status == 202
        assert reply.json["download_status"] == "started"
        assert reply.json["progress_endpoint"] == "/download-progress/mine"
        await asyncio.to_thread(origin.holding.wait, 10)
        again = await house.post("/engines", body)
        assert (again.status, again.json["download_status"]) == (202, "in_progress")
        listed = (await house.get("/downloads")).json
        assert listed["total_active"] == listed["summary"]["regular_downloads"] == 1
        (one,) = listed["active_downloads"]
        assert one["engine_creation"]["engine_id"] == "mine"
        assert one["url"] == url
        await until(house, "mine", lambda told: told["progress"]["downloaded_bytes"] > 0)
        # The half that hangs is broken off, and gone on with.
        assert (await house.post("/downloads/mine/pause")).json["success"] is True
        assert (await until_it_is(house, "mine", "paused"))["progress"]["total_bytes"] == len(BODY)
        file.hold_at = None
        assert (await house.post("/downloads/mine/resume")).json["success"] is True
        told = await until_it_is(
            house, "mine", "engine_created", "engine_creation_failed", "failed"
        )
        assert told["status"] == "engine_created", told
        assert told["progress"]["downloaded_bytes"] == told["progress"]["total_bytes"] == len(BODY)
        assert told["progress"]["percentage"] == 100.0
        assert read(told["local_path"]) == BODY
        assert (await house.complete(model="mine", max_tokens=1)).status == 200
        listed = (await house.get("/engines")).json["engines"]
        assert [one["ctx"] for one in listed if one["engine_id"] == "mine"] == [512]
        # What is there now is not fetched again.
        more = await house.post("/models", {"model_id": "other", "model_path": url})
        assert more.status == 201
        assert more.json["download_info"]["was_downloaded"] is False
        taken = await house.post("/engines", body)
        assert (taken.status, taken.error["code"]) == (409, "engine_id_exists")
    ranges = [seen.headers.get("Range") for seen in origin.gets("/m/small-Q8_0.gguf")]
    assert ranges[-1] is not None
    assert int(ranges[-1].removeprefix("bytes=").removesuffix("-")) > 0


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path, origin: Origin) -> None:
    origin.put("/a.gguf", BODY, hold_at=1000)
    async with place(tmp_path) as house:
        for id in ("one", "two", "three"):
            reply = await house.post(
                "/models", {"model_id": id, "model_path": f"{origin.url}/a.gguf?{id}"}
            )
            assert (reply.status, reply.json["model_id"]) == (202, id)
        gone = await delete(house, "/downloads/one")
        assert gone.json["previous_status"] == "downloading"
        assert (await house.get("/download-progress/one")).json["status"] == "cancelled"
        again = await house.post("/downloads/one/cancel")
        assert (again.status, again.error["code"]) == (400, "download_not_active")
        all_gone = (await delete(house, "/downloads")).json
        assert all_gone["summary"]["successful_cancellations"] == 2
        assert {one["model_id"] for one in all_gone["cancelled_downloads"]} == {"two", "three"}
        assert (await house.get("/downloads")).json["active_downloads"] == []
        assert list((tmp_path / "store" / "partial").iterdir()) == []


async def test_what_is_being_put_into_the_store_is_not_said_to_be_cancelled(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.put("/a.gguf", BODY)
    adopting, go_on = threading.Event(), threading.Event()
    adopt = Store.adopt

    def slowly(self: Store, *given: Any, **more: Any) -> Added:
        adopting.set()
        assert go_on.wait(60)
        return adopt(self, *given, **more)

    monkeypatch.setattr(Store, "adopt", slowly)
    async with place(tmp_path) as house:
        try:
            body = {"model_id": "one", "model_path": f"{origin.url}/a.gguf"}
            assert (await house.post("/models", body)).status == 202
            assert await asyncio.to_thread(adopting.wait, 60)
            for action in ("cancel", "pause"):
                reply = await house.post(f"/downloads/one/{action}")
                assert (reply.status, reply.error["code"]) == (400, "download_not_active")
                assert "put into the store" in reply.error["message"]
        finally:
            go_on.set()
        await until_it_is(house, "one", "engine_created")
        assert len(Store(tmp_path / "store").models()) == 1


async def test_what_is_paused_can_be_begun_again_though_no_more_may_be(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_ACTIVE", 1)
    origin.put("/a.gguf", BODY, hold_at=1000)
    async with place(tmp_path) as house:
        body = {"model_id": "one", "model_path": f"{origin.url}/a.gguf"}
        assert (await house.post("/models", body)).status == 202
        assert (await house.post("/downloads/one/pause")).status == 200
        other = await house.post("/models", {**body, "model_id": "two"})
        assert other.status == 503
        job = house.app.service.downloads.find("one")
        again = await house.app.service.downloads.start("one", job.plan)
        assert again.status == "downloading"


async def test_what_cannot_be_fetched_says_why(tmp_path: Path, origin: Origin) -> None:
    origin.put("/page.gguf", b"<html>", content_type="text/html")
    async with place(tmp_path) as house:
        for path in ("/none.gguf", "/page.gguf"):
            reply = await house.post(
                "/engines", {"engine_id": "x", "model_path": origin.url + path}
            )
            assert (reply.status, reply.error["code"]) == (422, "download_start_failed")
            assert reply.error["param"] == "model_path"
        for path, status in (
            ("/download-progress/none", 404),
            ("/download-progress/../x", 404),
        ):
            assert (await house.get(path)).status == status
        lost = await house.post("/downloads/none/pause")
        assert (lost.status, lost.error["code"]) == (404, "download_not_found")
        bad = await house.post("/models", {"model": "just-a-name"})
        assert (bad.status, bad.error["param"]) == (400, "model")
        unlike = await house.post("/models", {"model": "hf:owner"})
        assert (unlike.status, unlike.error["param"]) == (400, "model")


async def test_a_download_that_fails_is_told_and_can_be_begun_again(
    tmp_path: Path, origin: Origin
) -> None:
    broken = BODY[:-100] + bytes(100)
    digest = {"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}
    origin.put("/m.gguf", broken, headers=digest)
    async with place(tmp_path) as house:
        body = {"engine_id": "mine", "model_path": f"{origin.url}/m.gguf"}
        await house.post("/engines", body)
        told = await until_it_is(house, "mine", "failed")
        assert told["error_code"] == "checksum_mismatch"
        origin.put("/m.gguf", BODY, etag='"v2"')
        assert (await house.post("/engines", body)).status == 202
        assert (await until_it_is(house, "mine", "engine_created"))["progress"]["percentage"] == 100


async def test_an_engine_may_have_the_name_of_its_file(tmp_path: Path, origin: Origin) -> None:
    origin.put("/small.gguf", BODY)
    async with place(tmp_path) as house:
        body = {"engine_id": "small", "model_path": f"{origin.url}/small.gguf"}
        await house.post("/engines", body)
        told = await until_it_is(house, "small", "engine_created", "engine_already_exists")
        assert told["status"] == "engine_created"


async def test_what_is_no_model_makes_no_engine(tmp_path: Path, origin: Origin) -> None:
    origin.put("/m.gguf", b"GGUF but then nothing that follows from it" * 10)
    async with place(tmp_path) as house:
        await house.post("/engines", {"engine_id": "mine", "model_path": f"{origin.url}/m.gguf"})
        assert (await until_it_is(house, "mine", "failed"))["error_code"] == "model_invalid"
        assert (await house.get("/engines/mine")).status == 404


async def test_an_engine_taken_meanwhile_is_left_alone(tmp_path: Path, origin: Origin) -> None:
    file = origin.put("/m.gguf", BODY, hold_at=1000)
    async with place(tmp_path) as house:
        await house.post("/engines", {"engine_id": "mine", "model_path": f"{origin.url}/m.gguf"})
        await asyncio.to_thread(origin.holding.wait, 10)
        body = {"engine_id": "mine", "model_path": GUIDE, "load_immediately": False}
        assert (await house.post("/engines", body)).status == 201
        await house.post("/downloads/mine/pause")
        file.hold_at = None
        await house.post("/downloads/mine/resume")
        assert await until_it_is(house, "mine", "engine_already_exists")
        (engine,) = [
            e for e in (await house.get("/engines")).json["engines"] if e["engine_id"] == "mine"
        ]
        assert engine["model_path"] == GUIDE


async def test_private_addresses_are_refused_unless_allowed(tmp_path: Path, origin: Origin) -> None:
    origin.put("/m.gguf", BODY)
    port = origin.host.rpartition(":")[2]
    async with place(tmp_path, allow_private=False) as house:
        for host in (
            "127.0.0.1",
            "localhost",
            "[::1]",
            "127.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
        ):
            url = f"http://{host}:{port}/m.gguf"
            for path, body in (
                ("/models", {"model": url}),
                ("/engines", {"engine_id": "x", "model_path": url}),
            ):
                reply = await house.post(path, body)
                assert (reply.status, reply.error["code"]) == (403, "private_source"), (host, path)
        reply = await house.post("/models", {"model": f"oci:{origin.host}/name"})
        assert (reply.status, reply.error["code"]) == (403, "private_source")
    assert origin.seen == []


async def test_the_router_fetches_a_model_and_tells_as_it_goes(
    tmp_path: Path, origin: Origin
) -> None:
    origin.put("/small.gguf", BODY, block_s=0.005)
    origin.put("/html.gguf", b"GGUF" + bytes(100))
    url = f"{origin.url}/small.gguf"
    async with place(tmp_path) as house, served(house) as server:
        client = server.client
        async with client.stream("GET", "/models/sse") as stream:
            reply = (await client.post("/models", json={"model": url})).json()
            assert (reply["success"], reply["model"]) == (True, "small")
            same = (await client.post("/models", json={"model": url})).json()
            assert same["status"] == "downloading"
            await until_it_is(house, "small", "completed")
            await client.post("/models", json={"model": url})
            assert (await until_it_is(house, "small", "already_complete"))["status"]
            await client.post("/models", json={"model": f"{origin.url}/html.gguf"})
            await until_it_is(house, "html", "failed")
            server.stop.ask()
            told = events(b"".join([piece async for piece in stream.aiter_bytes()]))
    of_small = [one for one in told if one["model"] == "small"]
    finished = {
        "model": "small",
        "event": "download_finished",
        "data": {"status": "downloaded", "size": len(BODY)},
    }
    first = of_small[: of_small.index(finished)]
    done = [one["data"][url]["done"] for one in first if one["event"] == "download_progress"]
    assert done == sorted(done)
    assert of_small[-1] == finished
    assert [one["event"] for one in told if one["model"] == "html"][-1] == "download_failed"
    assert len(origin.gets("/small.gguf")) == 1


async def test_a_stopped_server_leaves_what_the_next_one_goes_on_with(
    tmp_path: Path, origin: Origin
) -> None:
    file = origin.put("/small.gguf", BODY, hold_at=len(BODY) // 2)
    url = f"{origin.url}/small.gguf"
    async with place(tmp_path) as house, served(house) as server:
        await server.client.post("/models", json={"model": url})
        await until(house, "small", lambda told: told["progress"]["downloaded_bytes"] > 0)
    (part,) = (tmp_path / "store" / "partial").glob("*.part")
    had = part.stat().st_size
    assert had > 0
    file.hold_at = None
    async with place(tmp_path) as house:
        await house.post("/engines", {"engine_id": "again", "model_path": url})
        await until_it_is(house, "again", "engine_created")
    assert origin.gets("/small.gguf")[-1].headers["Range"] == f"bytes={had}-"


async def test_unload_gives_a_download_up(tmp_path: Path, origin: Origin) -> None:
    origin.put("/small.gguf", BODY, hold_at=1000)
    async with place(tmp_path) as house:
        await house.post("/models", {"model": f"{origin.url}/small.gguf"})
        assert (await house.post("/models/unload", {"model": "small"})).status == 200
        assert (await house.get("/download-progress/small")).json["status"] == "cancelled"
