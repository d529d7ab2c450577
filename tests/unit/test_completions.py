"""What the server counts, passes on and reads of its host."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from kolo.errors import BadParameter, Busy, EngineStopped, LoadFailed
from kolo.manager.machine import Machine
from kolo.manager.meter import Emission, Meter, Progress
from kolo.manager.sink import Finished, NullSink
from kolo.monitor.completions import Completions, Tally
from kolo.monitor.feed import MAX_BEHIND, Event, Feed
from kolo.monitor.monitor import Monitor, Tee
from kolo.monitor.system import SHORTEST_S, HostMonitor
from kolo.types import Embedded, Generated, ModelInfo, Timings, Usage


def generated(prompt: int = 10, written: int = 5, cached: int = 4) -> Generated:
    return Generated(
        usage=Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=written),
        timings=Timings(queue_ms=1, prefill_ms=9, ttft_ms=10, decode_ms=50),
    )


def ended(**how: Any) -> Finished:
    given = {
        "request": 1,
        "kind": "generate",
        "result": generated(),
        "error": None,
        "cancelled": False,
        "wall_ms": 100.0,
        "user": "",
        "ttft_ms": 10.0,
        "decode_ms": 50.0,
    }
    return Finished(**{**given, **how})


def failed() -> Finished:
    return ended(result=None, error=BadParameter("no"))


# Counting --------------------------------------------------------------------------------


def test_a_completed_request_is_summed_for_its_engine_and_for_all() -> None:
    counts = Completions(clock=lambda: 1234.5)
    counts.finished("a", ended())
    counts.finished("a", ended(result=generated(20, 8, 0), wall_ms=50))
    counts.finished("b", ended())
    work = counts.of("a").completed
    assert (work.requests, work.prompt_tokens, work.cached_tokens) == (2, 30, 4)
    assert (work.completion_tokens, work.wall_ms, work.ttft_ms) == (13, 150, 20)
    assert (work.queue_ms, work.prefill_ms, work.decode_ms) == (2, 18, 100)
    assert counts.of("a").updated_at == 1234.5
    assert counts.overall.completed.requests == 3
    assert counts.overall.prompt_tokens == 40


def test_a_cancelled_request_counts_its_tokens_and_no_times_of_answers() -> None:
    counts = Completions()
    counts.finished("a", ended(cancelled=True))
    counts.finished("a", ended(cancelled=True, result=None, error=EngineStopped("gone")))
    tally = counts.of("a")
    assert tally.cancelled.requests == 2
    assert tally.completed.requests == tally.failed == 0
    assert (tally.prompt_tokens, tally.completion_tokens) == (10, 5)
    assert tally.completed.wall_ms == 0
    assert tally.finished == 2


def test_a_failed_request_counts_as_failed_alone() -> None:
    counts = Completions()
    counts.finished("a", failed())
    assert counts.of("a").failed == counts.of("a").finished == 1
    assert counts.of("a").prompt_tokens == 0


def test_an_embedding_counts_its_tokens_and_no_first_token() -> None:
    counts = Completions()
    counts.finished("a", ended(kind="embed", result=Embedded(vectors=[], prompt_tokens=7)))
    work = counts.of("a").completed
    assert (work.requests, work.prompt_tokens, work.generated) == (1, 7, 0)
    assert work.ttft_ms == work.decode_ms == 0


def test_busy_is_a_rejection_of_a_loaded_engine_and_else_a_failed_load() -> None:
    counts = Completions()
    counts.refused("a", Busy("no room"))
    counts.loaded("a", ModelInfo(), 12.0)
    counts.refused("a", Busy("queue full"))
    counts.unloaded("a", "idle")
    counts.refused("a", LoadFailed("broken"))
    tally = counts.of("a")
    assert (tally.rejected, tally.failed_loads) == (1, 2)
    assert (tally.loads, tally.load_ms, tally.unloads) == (1, 12.0, {"idle": 1})
    assert tally.finished == 0


def test_a_crash_is_counted_and_the_engine_is_not_loaded_any_more() -> None:
    counts = Completions()
    counts.loaded("a", ModelInfo(), 1.0)
    counts.crashed("a", "signal 11")
    counts.refused("a", Busy("backing off"))
    assert (counts.of("a").crashes, counts.of("a").rejected) == (1, 0)


def test_the_last_rate_is_that_of_the_last_answer() -> None:
    counts = Completions()
    counts.finished("a", ended())
    counts.finished("a", failed())
    assert counts.of("a").last_tps == 5 / 0.050


def test_an_engine_that_is_forgotten_stays_in_the_sum() -> None:
    counts = Completions()
    counts.finished("a", ended())
    counts.forget("a")
    assert counts.of("a") == Tally()
    assert counts.overall.completed.requests == 1


def test_tokens_count_when_they_come_and_requests_when_they_end() -> None:
    steady = [0.0]
    counts = Completions(steady=lambda: steady[0])
    steady[0] = 3.0
    counts.emitted("a", Emission(3.0, 6, [120.0], [10.0, 30.0], [(5.0, 3)]))
    window = counts.windows("a", busy=True).last_5s
    assert (window.output_tokens, window.done, window.ttft_ms.n) == (6, 0, 1)
    assert window.itl_ms.n == 5
    assert window.itl_ms.mean == pytest.approx((10 + 30 + 15) / 5)
    counts.finished("a", ended())
    window = counts.windows("a", busy=False).last_5s
    assert (window.output_tokens, window.done, window.prompt_tokens) == (6, 1, 10)
    assert (window.queue_ms.mean, window.prefill_ms.mean, window.e2e_ms.mean) == (1, 9, 100)
    assert window.prefill_tokens_per_s == pytest.approx(6 / 0.009, rel=1e-3)
    assert counts.of("a").totals().output_tokens == counts.of("a").itl_ms.n + 1 == 6


def test_only_answers_that_ended_well_have_an_end_to_end_time() -> None:
    counts = Completions()
    counts.finished("a", failed())
    counts.finished("a", ended(cancelled=True))
    window = counts.windows("a", busy=False).last_5s
    assert (window.failed, window.cancelled, window.e2e_ms.n) == (1, 1, 0)
    assert window.queue_ms.n == 1


def test_percentiles_over_engines_are_those_of_all_values() -> None:
    counts = Completions(steady=lambda: 7.0)
    counts.emitted("quick", Emission(7.0, 99, [], [10.0] * 99, []))
    counts.emitted("slow", Emission(7.0, 1, [], [1000.0], []))
    overall = counts.windows(busy=True).last_1m.itl_ms
    assert (overall.n, overall.p95) == (100, pytest.approx(10, rel=0.01))
    assert overall.max == pytest.approx(1000, rel=0.01)
    assert counts.windows("slow", busy=True).last_1m.itl_ms.p50 == pytest.approx(1000, rel=0.01)


def test_an_engine_nobody_asked_has_windows_of_nothing() -> None:
    counts = Completions()
    assert counts.windows("none", busy=False).last_1m.output_tokens_per_s is None


def test_drafts_and_computed_prompts_count() -> None:
    steady = [0.0]
    counts = Completions(steady=lambda: steady[0])
    timings = Timings(draft_tokens=8, draft_accepted=6)
    result = Generated(usage=Usage(prompt_tokens=3, completion_tokens=7), timings=timings)
    steady[0] = 2.0
    counts.finished("a", ended(result=result))
    counts.computed("a", 50)
    window = counts.windows("a", busy=False).last_5s
    assert (window.draft_tokens, window.draft_accepted_share) == (8, 0.75)
    assert window.prompt_tokens_per_s == pytest.approx(25)
    assert counts.overall.totals().draft_accepted == 6


# The meter -------------------------------------------------------------------------------


def metered(*frames: tuple[float, int, int]) -> tuple[Progress, list[Emission]]:
    """A request of which each frame (when, choice, tokens) brings some."""
    told: list[Emission] = []
    meter, one = Meter(told.append), Progress(submitted_s=100.0)
    for at_s, choice, n_tokens in frames:
        meter.begin(at_s)
        meter.take(one, choice, n_tokens)
    meter.flush()
    meter.flush()
    return one, told


def test_tokens_that_come_together_share_their_time() -> None:
    one, (emission,) = metered((100.1, 0, 1), (100.2, 0, 1), (100.6, 0, 4), (100.8, 0, 2))
    assert (emission.at_s, emission.tokens, one.tokens) == (100.8, 8, 8)
    assert emission.ttft_ms == [pytest.approx(100)]
    assert emission.itl_ms == [pytest.approx(100)]
    assert emission.shared_itl_ms == [(pytest.approx(100), 4), (pytest.approx(100), 2)]
    values = [*emission.itl_ms, *(itl for itl, n in emission.shared_itl_ms for _ in range(n))]
    assert sum(values) == pytest.approx(one.decode_ms)
    assert len(values) == 7


def test_frames_that_are_read_at_once_came_together() -> None:
    one, (emission,) = metered(
        (100.1, 0, 1), (100.1, 1, 1), (100.4, 0, 1), (100.4, 1, 1), (100.4, 0, 2), (100.5, 0, 1)
    )
    assert (emission.tokens, one.tokens) == (7, 7)
    assert emission.shared_itl_ms == [(pytest.approx(100), 3)]
    assert emission.itl_ms == [pytest.approx(300), pytest.approx(100)]


def test_a_flush_between_two_frames_of_one_read_loses_nothing() -> None:
    told: list[Emission] = []
    meter, one = Meter(told.append), Progress(submitted_s=100.0)
    for _ in range(3):
        meter.begin(100.5)
        meter.take(one, 0, 1)
        meter.flush()
    assert sum(emission.tokens for emission in told) == one.tokens == 3
    assert [value for emission in told for value in emission.itl_ms] == [0.0, 0.0]


def test_text_without_a_token_of_its_own_is_no_token() -> None:
    one, (emission,) = metered((100.1, 0, 1), (100.5, 0, 0), (100.9, 0, 1))
    assert (one.tokens, emission.itl_ms) == (2, [pytest.approx(800)])


def test_each_choice_has_its_own_pace_and_the_request_one_first_token() -> None:
    _, (emission,) = metered((100.1, 0, 1), (100.2, 1, 1), (100.3, 0, 1), (100.6, 1, 1))
    assert emission.ttft_ms == [pytest.approx(100)]
    assert emission.itl_ms == [pytest.approx(200), pytest.approx(400)]


def test_the_sink_is_told_of_each_second_by_itself_and_never_of_nothing() -> None:
    _, told = metered(*((100 + step / 100, 0, 1) for step in range(50, 350)))
    assert [int(emission.at_s) for emission in told] == [100, 101, 102, 103]
    assert [emission.tokens for emission in told] == [50, 100, 100, 50]


def test_a_request_without_a_token_has_no_times() -> None:
    one = Progress(submitted_s=3.0)
    assert one.ttft_ms is None
    assert one.decode_ms == 0.0


# The feed --------------------------------------------------------------------------------


async def heard(feed: Feed, *happen: Any) -> list[Event]:
    """What a listener heard of ``happen`` until the feed was closed."""
    with feed.listen() as listener:
        for one in happen:
            one()
        feed.close()
        events = []
        while (event := await listener.next()) is not None:
            events.append(event)
        return events


async def test_a_listener_hears_everything_in_order() -> None:
    feed = Feed()
    events = await heard(
        feed,
        lambda: feed.loading("a", "weights", 0.5),
        lambda: feed.loaded("a", ModelInfo(), 7.0),
        lambda: feed.unloaded("a", "idle"),
        lambda: feed.refused("a", LoadFailed("broken")),
        lambda: feed.removed("a"),
    )
    assert [event.kind for event in events] == [
        "loading",
        "loaded",
        "unloaded",
        "failed",
        "removed",
    ]
    assert (events[0].stage, events[0].fraction) == ("weights", 0.5)
    assert (events[3].reason, events[3].code) == ("broken", "model_load_failed")


async def test_a_request_that_is_turned_away_says_nothing_of_its_engine() -> None:
    feed = Feed()
    feed.loaded("a", ModelInfo(), 1.0)
    assert await heard(feed, lambda: feed.refused("a", Busy("queue full"))) == []


async def test_a_crash_is_a_failure() -> None:
    feed = Feed()
    (event,) = await heard(feed, lambda: feed.crashed("a", "signal 9"))
    assert (event.kind, event.reason, event.code) == ("failed", "signal 9", "engine_crashed")


async def test_a_listener_that_is_too_slow_is_cut_off() -> None:
    feed = Feed()
    with feed.listen() as listener:
        for _ in range(MAX_BEHIND + 10):
            feed.removed("a")
        got = [await listener.next() for _ in range(MAX_BEHIND + 1)]
    assert got[-1] is None
    assert all(event is not None for event in got[:-1])


async def test_a_listener_waits_and_may_be_cancelled_without_loss() -> None:
    feed = Feed()
    with feed.listen() as listener:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await listener.next()
        waiting = asyncio.create_task(listener.next())
        await asyncio.wait({waiting}, timeout=0)
        feed.removed("a")
        assert await waiting == Event(engine="a", kind="removed")


async def test_a_closed_feed_ends_new_listeners_too() -> None:
    feed = Feed()
    feed.close()
    with feed.listen() as listener:
        assert await listener.next() is None


# All together ----------------------------------------------------------------------------


async def test_the_monitors_sink_tells_all_even_after_one_fails() -> None:
    class Broken(NullSink):
        def finished(self, id: str, request: Finished) -> None:
            raise RuntimeError("a bad sink")

    notes: list[str] = []

    class Last(NullSink):
        def note(self, id: str, level: str, message: str) -> None:
            notes.append(message)

    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    monitor = Monitor(Broken(), Last())
    for sink in (monitor.sink, Tee(Broken(), monitor.completions)):
        sink.finished("a", ended())
        sink.note("a", "warning", "hello")
    monitor.sink.loading("a", "weights", 0.1)
    monitor.sink.loaded("a", ModelInfo(), 1.0)
    monitor.sink.refused("a", Busy("full"))
    monitor.sink.crashed("a", "signal 9")
    monitor.sink.unloaded("a", "requested")
    tally = monitor.completions.of("a")
    assert tally.completed.requests == 2
    assert (tally.loads, tally.rejected, tally.crashes) == (1, 1, 1)
    assert tally.unloads == {"requested": 1}
    assert notes == ["hello"]
    assert len(reported) == 2


# The host --------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def host(clock: Clock, loads: list[float]) -> HostMonitor:
    memory = Machine(8 << 30, 6 << 30, "this machine")
    return HostMonitor(clock=clock, cpu_percent=lambda: loads.pop(0), memory=lambda: memory)


def test_the_load_is_unknown_until_there_is_time_to_measure_it() -> None:
    clock, loads = Clock(), [0.0, 40.0, 60.0]
    monitor = host(clock, loads)
    assert monitor.read().cpu_percent is None
    clock.now += SHORTEST_S
    assert monitor.read().cpu_percent == 40.0
    clock.now += SHORTEST_S / 2
    assert monitor.read().cpu_percent == 40.0
    clock.now += SHORTEST_S / 2
    assert monitor.read().cpu_percent == 60.0


def test_memory_is_what_this_process_may_use() -> None:
    reading = host(Clock(), [0.0]).read()
    assert reading.memory_total_bytes == 8 << 30
    assert reading.memory_available_bytes == 6 << 30


def test_a_host_that_hides_its_load_has_none() -> None:
    def hidden() -> float:
        raise psutil.AccessDenied

    clock = Clock()
    monitor = HostMonitor(clock=clock, cpu_percent=hidden)
    clock.now += SHORTEST_S
    assert monitor.read().cpu_percent is None
