"""The history of a server, asked for over HTTP."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving import House, fake, house

from kolo.monitor.history import reader
from kolo.monitor.history.history import FILE, History


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    paced = {"row_ms": 2}  # tokens that are read at once have no time between them
    async with house(tmp_path, specs=[fake("a", paced), fake("b", paced)], history=True) as made:
        yield made


def history_of(place: House) -> History:
    history = place.app.service.monitor.history
    assert history is not None
    return history


async def written(place: House) -> None:
    """Have the minute so far written, as its end would."""
    collector = place.app.service.monitor.collector
    assert collector is not None
    history = history_of(place)
    history._recorder.sample(await collector.take())
    history._recorder.flush()
    assert history._writer.flush()


def known(series: dict[str, Any], name: str) -> list[Any]:
    return [point[name] for point in series["points"] if name in point]


async def test_what_was_answered_is_in_the_history_per_engine_and_in_all(place: House) -> None:
    for model, n in (("a", 4), ("a", 6), ("b", 5)):
        await place.complete(model=model, max_tokens=n)
    await written(place)
    asked = "/v1/monitor/history?metric=done,output_tokens,ttft_ms,itl_ms"
    for query, done, tokens in (("&engine=a", 2, 10), ("&engine=b", 1, 5), ("", 3, 15)):
        reply = await place.get(asked + query)
        assert reply.status == 200, reply.body
        series = {one["metric"]: one for one in reply.json["series"]}
        assert sum(known(series["done"], "total")) == done
        assert sum(known(series["output_tokens"], "total")) == tokens
        assert sum(known(series["ttft_ms"], "n")) == done
        assert sum(known(series["itl_ms"], "n")) == tokens - done
        assert reply.json["step_s"] == 60
        assert [point["at"] % 60 for point in series["done"]["points"]] == [0] * 61


async def test_a_range_and_a_step_are_taken_as_asked(place: House) -> None:
    await written(place)
    now = time.time()
    query = f"metric=running&from={now - 7200:.0f}&to={now:.0f}&step=600"
    absolute = (await place.get(f"/v1/monitor/history?{query}")).json
    assert absolute["step_s"] == 600
    assert absolute["from_at"] <= now - 7200 < absolute["from_at"] + 600
    assert len(absolute["series"][0]["points"]) in (12, 13)
    relative = (await place.get("/v1/monitor/history?metric=running&from=-7200&step=600")).json
    assert abs(relative["from_at"] - absolute["from_at"]) <= 600


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("", 400, None),
        ("metric=", 400, "metric"),
        ("metric=nonsense", 400, "metric"),
        ("metric=done,,", 400, "metric"),
        ("metric=gpu_power_w", 400, "metric"),
        ("metric=host_cpu_percent&engine=a", 400, "metric"),
        ("metric=done&engine=a&gpu=nvidia:0", 400, "gpu"),
        ("metric=done&step=61", 400, "step"),
        ("metric=done&step=x", 400, "step"),
        ("metric=done&from=-1e9&step=60", 400, "step"),
        ("metric=done&from=now", 400, "from"),
        ("metric=done&from=100&to=50", 400, "to"),
        ("metric=done&to=1e300", 400, "to"),
        ("metric=done&engine=nobody", 404, "engine"),
        ("metric=gpu_power_w&gpu=nobody", 404, "gpu"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(
    place: House, query: str, status: int, param: str | None
) -> None:
    await written(place)
    reply = await place.get(f"/v1/monitor/history?{query}")
    assert (reply.status, reply.error["param"]) == (status, param), reply.body


async def test_events_and_runs_are_kept(place: House) -> None:
    await place.complete(model="a", max_tokens=1)
    await place.manager.unload("a")
    await place.complete(model="a", max_tokens=2)
    await written(place)
    found = (await place.get("/v1/monitor/events?engine=a")).json["events"]
    events = [event for event in found if event["kind"] != "note"]
    assert [event["kind"] for event in events] == ["loaded", "unloaded", "loaded"]
    assert events[1]["reason"] == "requested"
    runs = (await place.get("/v1/monitor/runs?engine=a")).json["runs"]
    assert [(run["reason"], run["done"], run["output_tokens"]) for run in runs] == [
        ("requested", 1, 1),
        ("", 0, 0),
    ]
    assert runs[0]["ended_at"] >= runs[0]["loaded_at"]
    assert runs[1]["ended_at"] is None
    (last,) = (await place.get("/v1/monitor/events?engine=a&limit=1")).json["events"]
    assert last == events[-1]
    assert (await place.get("/v1/monitor/events?limit=0")).error["param"] == "limit"


async def test_the_last_unloads_are_written_when_the_server_ends(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("a")], history=True) as place:
        await place.complete(model="a", max_tokens=3)
        await place.manager.close()
    (run,) = reader.read_runs(tmp_path / FILE, engine=None, from_at=0, to_at=9e9, limit=9)
    assert run.ended_at is not None
    assert (run.done, run.output_tokens) == (1, 3)
    assert run.reason == "the server is stopping"


async def test_questions_never_block_the_event_loop(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that hangs holds up itself alone."""
    loop_thread, threads = threading.get_ident(), []
    real = reader.read_range

    def noted(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return real(*args, **kwargs)

    await written(place)
    monkeypatch.setattr(reader, "read_range", noted)
    assert (await place.get("/v1/monitor/history?metric=done")).status == 200
    assert threads
    assert loop_thread not in threads


async def test_a_reader_in_the_middle_of_a_write_sees_what_was_before(place: House) -> None:
    await place.complete(model="a", max_tokens=2)
    await written(place)
    db = sqlite3.connect(history_of(place).path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM engine_figures")
    (series,) = (await place.get("/v1/monitor/history?metric=done&engine=a")).json["series"]
    assert sum(known(series, "total")) == 1
    db.execute("ROLLBACK")
    db.close()


async def test_a_damaged_file_is_told_and_replaced_and_the_server_goes_on(place: House) -> None:
    await written(place)
    history_of(place).path.write_bytes(b"nonsense" * 4000)
    reply = await place.get("/v1/monitor/history?metric=done")
    assert (reply.status, reply.error["code"]) == (503, "history_unavailable")
    assert reply.headers["Retry-After"] == "60"
    assert (await place.complete(model="a", max_tokens=2)).status == 200
    await written(place)
    assert (await place.get("/v1/monitor/history?metric=done&engine=a")).status == 200
    told = [event.text for event in place.app.service.monitor.log.recent()]
    assert any("set aside" in text for text in told)
    assert list(history_of(place).path.parent.glob("history.2*.db"))


async def test_a_server_without_a_history_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as place:
        for path in ("history?metric=done", "events", "runs"):
            reply = await place.get(f"/v1/monitor/{path}")
            assert (reply.status, reply.error["code"]) == (404, "no_history")
    assert not (tmp_path / FILE).exists()
