"""What happened, in words: one line each, crowds in one, the last thousand kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kolo.errors import BadParameter, Busy, EngineCrashed, InternalError, LoadFailed, OutOfMemory
from kolo.manager.sink import Finished
from kolo.monitor.eventlog import CROWD_S, KEPT, EventLog
from kolo.monitor.feed import Feed
from kolo.snapshot import Event
from kolo.types import ModelInfo


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> EventLog:
    return EventLog(clock=lambda: 1234.5678, steady=clock)


def failed(error: Any, *, cancelled: bool = False) -> Finished:
    return Finished(1, "generate", None, error, cancelled, 10.0, "")


def kinds(log: EventLog) -> list[str]:
    return [event.kind for event in log.recent()]


def test_a_load_is_told_stage_by_stage_and_not_percent_by_percent(log: EventLog) -> None:
    for percent in range(100):
        log.loading("a", "weights", percent / 100)
    log.loading("a", "context", 0.0)
    log.loaded("a", ModelInfo(), 1234.56)
    assert [(e.kind, e.stage) for e in log.recent()] == [
        ("loading", "weights"),
        ("loading", "context"),
        ("loaded", ""),
    ]
    last = log.recent()[-1]
    assert (last.text, last.load_ms, last.at, last.engine) == (
        "a loaded in 1.2 s",
        1234.6,
        1234.568,
        "a",
    )
    log.unloaded("a", "idle")
    log.loading("a", "weights", 0.0)
    assert kinds(log)[-2:] == ["unloaded", "loading"]


def test_an_eviction_is_told_from_other_unloads(log: EventLog) -> None:
    log.unloaded("a", "evicted for 'b'")
    log.unloaded("a", "requested")
    assert [(e.kind, e.reason) for e in log.recent()] == [
        ("evicted", "evicted for 'b'"),
        ("unloaded", "requested"),
    ]


def test_what_went_wrong_is_an_error_in_one_line(log: EventLog) -> None:
    log.crashed("a", "engine 'a' crashed:\n  killed by signal 9")
    log.refused("b", OutOfMemory("too\tlarge"))
    log.refused("c", Busy("no memory for it now"))
    log.note("a", "warning", "a default template")
    log.note("a", "odd", "x")
    events = log.recent()
    assert [e.level for e in events] == ["error", "error", "error", "warning", "info"]
    assert [e.kind for e in events] == ["crashed", "load_failed", "load_failed", "note", "note"]
    assert not any("\n" in e.text or "\t" in e.text for e in events)


def test_requests_turned_away_are_one_line_with_how_many(log: EventLog, clock: Clock) -> None:
    log.loaded("a", ModelInfo(), 1.0)
    for _ in range(1000):
        log.refused("a", Busy("queue full"))
    assert kinds(log) == ["loaded", "rejected"]
    clock.now += CROWD_S
    log.refused("a", Busy("queue full"))
    assert log.recent()[-1].text == (
        "a turned a request away: queue full (999 more since the last such line)"
    )
    clock.now += CROWD_S
    log.refused("a", Busy("queue full"))
    assert "more" not in log.recent()[-1].text


def test_failures_of_the_caller_or_of_the_engine_are_not_failures_of_requests(
    log: EventLog,
) -> None:
    log.finished("a", failed(BadParameter("no")))
    log.finished("a", failed(EngineCrashed("gone")))
    log.finished("a", failed(InternalError("x"), cancelled=True))
    assert kinds(log) == []
    log.finished("a", failed(InternalError("a defect")))
    assert log.recent()[-1].text == "a request failed: a defect"


def test_downloads_are_told_when_they_begin_and_end(log: EventLog) -> None:
    feed = Feed(log.heard)
    for done in (0, 10, 20):
        feed.downloading("qwen", "hf:x/y", done, 100)
    feed.downloaded("qwen", 100)
    feed.downloading("other", "hf:x/z", 0, None)
    feed.download_failed("other", "no space", "disk_full")
    feed.removed("engine")  # not the log's: whoever removes an engine tells it
    assert [(e.kind, e.level) for e in log.recent()] == [
        ("download", "info"),
        ("download", "info"),
        ("download", "info"),
        ("download", "warning"),
    ]


def test_only_the_last_are_kept_and_numbers_go_on(log: EventLog) -> None:
    for number in range(KEPT + 5):
        log.add("note", str(number))
    events = log.recent()
    assert len(events) == KEPT
    assert (events[0].seq, events[-1].seq) == (6, KEPT + 5)


async def test_listeners_hear_at_once_and_one_that_fails_silences_no_other(log: EventLog) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("no")

    log.listen(broken)
    stop = log.listen(heard.append)
    log.refused("a", LoadFailed("x"))
    stop()
    log.removed("a")
    assert [event.kind for event in heard] == ["load_failed"]
    assert len(reported) == 2
