"""Graphs of the time before: what is asked of the server's history, and where it is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from watching_top import last_snapshot, recorded

from kolo.client.http import Http
from kolo.errors import ServerUnreachable
from kolo.snapshot import Disk, Engine, Kv
from kolo.top.history import Answer, Point, Series, fetch, wanted_span
from kolo.top.panels.header import alerts
from kolo.top.session import Session


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Answers every metric with one point a minute: 10 a second, a mean of 0.5, p50 of 20."""
    asked: list[dict[str, str]] = []
    now = last_snapshot().at

    async def get(self: Http, path: str, type_: Any, *, query: dict[str, str]) -> Answer:
        assert path == "/v1/monitor/history"
        asked.append(query)
        points = [Point(at=now - 60 * n, per_s=10.0, mean=0.5, p50=20.0) for n in range(30, 0, -1)]
        return Answer([Series(name, points) for name in query["metric"].split(",")])

    monkeypatch.setattr(Http, "get", get)
    return asked


def seen() -> Session:
    session = Session()
    for at, one in enumerate(recorded()):
        session.take(one, float(at))
    return session


async def test_history_is_drawn_before_what_was_seen(server: list[dict[str, str]]) -> None:
    picture = seen().picture
    picture.history = await fetch("http://127.0.0.1:9", picture, 900.0, "qwen3-8b")
    values = picture.series("qwen3-8b", "kv", 900.0, 90)
    assert values[:80] == [50.0] * 80  # a share of 0.5, as the panel's percent
    assert values[-1] != 50.0
    assert picture.series("qwen3-8b", "in", 900.0, 90)[0] == 0.0  # all of it was cached
    assert picture.series("nvidia:0", "gpu", 900.0, 90)[0] == 0.5
    assert {query.get("gpu") for query in server} == {None, "nvidia:0", "nvidia:1"}
    assert {query["from"] for query in server} == {"-900"}


async def test_the_short_range_needs_no_history(server: list[dict[str, str]]) -> None:
    picture = seen().picture
    picture.history = await fetch("http://127.0.0.1:9", picture, 900.0, "qwen3-8b")
    assert picture.series("qwen3-8b", "kv", 60.0, 60)[0] is None
    assert wanted_span("1m") is None
    assert wanted_span("24h") == 86_400.0


async def test_before_anything_was_heard_there_is_nothing_to_ask_for() -> None:
    assert await fetch("http://127.0.0.1:9", Session().picture, 900.0, "a") == {}


async def test_no_server_is_said() -> None:
    with pytest.raises(ServerUnreachable):
        await fetch("http://127.0.0.1:9", seen().picture, 900.0, "a")


def test_alerts_count_what_needs_a_look() -> None:
    calm = replace(last_snapshot(), engines=[], gpus=[])
    assert alerts(calm) == 0
    full = Engine(id="a", state="loaded", kv=Kv(total_tokens=100, used_tokens=99))
    failed = Engine(id="b", state="failed")
    hot = replace(last_snapshot().gpus[0], throttle=["hot"])
    disk = Disk(path="/", total_bytes=10**12, free_bytes=10**9)
    host = replace(calm.host, disk=disk)
    assert alerts(replace(calm, engines=[full, failed], gpus=[hot], host=host)) == 4
