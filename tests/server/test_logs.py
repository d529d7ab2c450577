"""GET /logs, names of requests, and the access log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import ENDLESS, FAKE, fake, house, served

from kolo.config import LogSettings, Settings
from kolo.manager.logs import WorkerLog, log_path
from kolo.server.recent import ACCESS, KEPT, Recent

SECRET = "sk-kolo-0123456789abcdef"


@pytest.fixture
def recent() -> Iterator[Recent]:
    """As ``kolo serve`` has it: a handler of everything that is logged."""
    handler = Recent()
    root = logging.getLogger()
    root.addHandler(handler)
    before = logging.getLogger("kolo").level
    logging.getLogger("kolo").setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    logging.getLogger("kolo").setLevel(before)


def of_engine(folder: Path, *lines: str) -> None:
    log = WorkerLog(log_path(folder / "logs", FAKE))
    log.feed("".join(f"{line}\n" for line in lines).encode())
    log.close()


async def test_the_servers_own_lines_in_kolosals_form(tmp_path: Path, recent: Recent) -> None:
    async with house(tmp_path) as home:
        home.app.service.recent = recent
        logging.getLogger("kolo.server").warning("the %s is low", "oil")
        for path in ("/logs", "/v1/logs", "/server/logs"):
            told = (await home.get(path)).json
            assert told["total_count"] == len(told["logs"])
            assert told["logs"][-1]["message"] == "the oil is low"
            assert told["logs"][-1]["level"] == "WARNING"
            for stamp in (told["retrieved_at"], told["logs"][-1]["timestamp"]):
                assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", stamp)
        assert (await home.get("/logs?n=0")).json["logs"] == []
        assert (await home.get("/logs?n=99999")).status == 400


async def test_an_engines_log_with_levels_and_times(tmp_path: Path) -> None:
    of_engine(tmp_path, "I loading", "W it is odd", "E it is bad", "plain words")
    async with house(tmp_path, specs=[fake(FAKE)]) as home:
        told = (await home.get(f"/logs?engine={FAKE}&n=3")).json
        assert told["engine"] == FAKE
        assert [(line["level"], line["message"]) for line in told["logs"]] == [
            ("WARNING", "it is odd"),
            ("ERROR", "it is bad"),
            ("INFO", "plain words"),
        ]
        assert all(line["timestamp"] for line in told["logs"])


async def test_an_engine_that_never_spoke_and_one_that_is_none(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await home.get(f"/logs?engine={FAKE}")).json["logs"] == []
        reply = await home.get("/logs?engine=../../etc/passwd")
        assert reply.status == 404
        assert reply.error["code"] == "model_not_found"


async def test_new_lines_are_followed_until_the_server_stops(tmp_path: Path) -> None:
    of_engine(tmp_path, "I before")
    async with house(tmp_path) as home, served(home) as at:
        seen: asyncio.Queue[str] = asyncio.Queue()

        async def follow() -> None:
            url = f"/logs?engine={FAKE}&follow=true"
            async with at.client.stream("GET", url) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        await seen.put(json.loads(line[6:])["message"])

        following = asyncio.create_task(follow())
        async with asyncio.timeout(60):
            assert await seen.get() == "before"
            of_engine(tmp_path, "I after")
            assert await seen.get() == "after"
            drain = home.app.drain
            assert (drain.active, drain.working) == (1, 0)  # a stop has nothing to wait for
            at.stop.ask()
            await following


async def test_the_ring_is_bounded(recent: Recent) -> None:
    log = logging.getLogger("kolo.test")
    for at in range(KEPT + 10):
        log.info("line %d", at)
    assert len(recent.since(0, 10**6)) == KEPT
    assert recent.since(0, 1)[0].message == f"line {KEPT + 9}"
    assert recent.since(recent.seq, 10) == []


# Names of requests ---------------------------------------------------------------------------


async def test_a_request_keeps_its_name_in_header_and_error(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reply = await home.post("/v1/completions", {"prompt": 1.5}, **{"X-Request-Id": "mine-7"})
        assert reply.status == 400
        assert reply.headers["X-Request-Id"] == "mine-7"
        assert reply.error["request_id"] == "mine-7"


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "ünsane"])
async def test_a_name_that_is_not_sane_is_replaced(tmp_path: Path, name: str) -> None:
    async with house(tmp_path) as home:
        reply = await home.get("/nowhere", **{"X-Request-Id": name})
        assert re.fullmatch(r"req_[0-9a-f]{24}", reply.headers["X-Request-Id"])
        assert reply.error["request_id"] == reply.headers["X-Request-Id"]


async def test_a_streams_last_error_has_the_name_too(tmp_path: Path) -> None:
    crashing = fake(FAKE, {**ENDLESS, "crash_after_calls": 20})
    async with house(tmp_path, specs=[crashing]) as home:
        reply = await home.complete(stream=True, max_tokens=500)
        assert reply.headers["X-Request-Id"]
        errors = [each["error"] for each in reply.events if "error" in each]
        assert [error["request_id"] for error in errors] == [reply.headers["X-Request-Id"]]


# Access ----------------------------------------------------------------------------------------


@pytest.fixture
def access() -> Iterator[asyncio.Queue[dict[str, Any]]]:
    """What the access log says, as it does."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.put_nowait(record.__dict__["fields"])

    ear, log = Ear(), logging.getLogger(ACCESS)
    log.addHandler(ear)
    log.setLevel(logging.INFO)
    yield heard
    log.removeHandler(ear)
    log.setLevel(logging.NOTSET)


WANTED = Settings(log=LogSettings(access=True))


async def test_no_access_log_unless_asked_for(
    tmp_path: Path, access: asyncio.Queue[dict[str, Any]]
) -> None:
    async with house(tmp_path) as home:
        await home.get("/health")
    async with house(tmp_path, settings=WANTED) as home:
        await home.get("/status")
    assert access.get_nowait()["path"] == "/status"


async def test_an_access_line_says_who_what_and_how_it_ended_but_no_text_and_no_key(
    tmp_path: Path, access: asyncio.Queue[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with house(tmp_path, settings=WANTED) as home, served(home) as at:
        reply = await at.client.post(
            f"/v1/completions?key={SECRET}",
            json={"prompt": "tell nobody", "max_tokens": 60, "ignore_eos": True},
            headers={"Authorization": f"Bearer {SECRET}", "X-Request-Id": "r-1"},
        )
        async with asyncio.timeout(60):  # a line is written when the last byte is out
            first = await access.get()
            await at.client.get("/nothing%0Ahere")
            second = await access.get()
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/completions", 200)
    assert first["request_id"] == "r-1"
    assert first["bytes"] == len(reply.content)
    assert second["path"] == "/nothing\\nhere"
    ours = [record for record in caplog.records if record.name.startswith("kolo")]
    said = "\n".join(f"{vars(record)} {record.getMessage()}" for record in ours)
    assert "/v1/completions" in said
    assert SECRET not in said
    assert "tell nobody" not in said
    answer = reply.json()["choices"][0]["text"]
    assert len(answer) > 20
    assert answer not in said


async def test_a_client_that_leaves_has_a_line_as_well(
    tmp_path: Path, access: asyncio.Queue[dict[str, Any]]
) -> None:
    endless = fake(FAKE, ENDLESS)
    async with house(tmp_path, settings=WANTED, specs=[endless]) as home, served(home) as at:
        await leave_a_stream(at.client)
        async with asyncio.timeout(60):
            assert (await access.get())["status"] == 200


async def leave_a_stream(client: httpx2.AsyncClient) -> None:
    body = {"prompt": "a", "stream": True, "max_tokens": 3000, "ignore_eos": True}
    async with client.stream("POST", "/v1/completions", json=body) as response:
        async for _ in response.aiter_bytes():
            return
