"""The history: what is kept of a minute, how it thins, and what is read back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kolo.config import HistorySettings
from kolo.errors import BadParameter, ConfigError, ModelNotFound
from kolo.manager.meter import Emission
from kolo.manager.sink import Finished
from kolo.monitor.completions import Completions
from kolo.monitor.histogram import Histogram
from kolo.monitor.history import reader
from kolo.monitor.history.figures import (
    EVERY,
    FIGURES,
    Batch,
    EventRow,
    Row,
    RunRow,
    columns_of,
    figures_of,
)
from kolo.monitor.history.packing import merged, pack, unpack
from kolo.monitor.history.reader import (
    MAX_POINTS,
    ROWS_PER_POINT,
    choose_step,
    find_figures,
    range_query,
    read_events,
    read_range,
    read_runs,
)
from kolo.monitor.history.recorder import Recorder
from kolo.monitor.history.schema import MIGRATIONS, NewerSchema
from kolo.monitor.history.store import SCOPES, STEPS_S, WAL_BYTES, Store
from kolo.snapshot import Engine, Event, Gpu, Host, Kv, Process, Snapshot
from kolo.types import Generated, ModelInfo, Timings, Usage
from kolo.units import Bytes

NOON = 1_800_000_000 // 86_400 * 86_400 + 43_200
DAY = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path, server="1@1")
    yield made
    made.close()


def up(at: int, seconds: float = 60.0) -> Row:
    """The host's row of a minute in which the server was up."""
    return Row("host", EVERY, at, {"covered_s": seconds})


def minute(at: int, engine: str = "a", **cells: Any) -> Batch:
    return Batch([up(at), Row("engine", engine, at, cells)])


def ask(path: Path, *names: str, engine: str | None = "a", at: int = NOON, **how: Any) -> Any:
    figures = find_figures(list(names), engine=engine, gpu=None)
    span = {"from_at": at, "to_at": at + 3600, "step_s": 60, **how}
    return read_range(path, figures, name=engine, **span)


# Histograms ------------------------------------------------------------------------------


def test_a_packed_histogram_is_the_same_histogram() -> None:
    values = [0.0001, 0.4, 7.0, 7.0, 1234.5, 1e7]
    found = unpack(pack(Histogram(values)))
    assert found.summary() == Histogram(values).summary()
    assert found.sum_millionths == Histogram(values).sum_millionths
    assert unpack(pack(Histogram())).n == 0


def test_a_packed_histogram_is_small() -> None:
    spread = Histogram(1.01**exponent for exponent in range(700))
    assert len(pack(spread)) < 2 * 700 + 20


def test_merging_what_is_packed_merges_all_values() -> None:
    both = merged(pack(Histogram([1, 2, 3])), pack(Histogram([100, 200])))
    assert both is not None
    assert unpack(both).summary() == Histogram([1, 2, 3, 100, 200]).summary()
    assert merged(None, None) is None
    assert merged(None, both) == merged(both, None) == both


@pytest.mark.parametrize("wrong", [b"", b"\x92\x01\x02", b"\xc0", b"\x91\xa1x"])
def test_what_is_no_packed_histogram_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # msgspec words it
        unpack(wrong)


# The file --------------------------------------------------------------------------------


def test_the_tables_have_a_column_for_every_figure(store: Store, path: Path) -> None:
    with sqlite3.connect(path) as db:
        for scope in SCOPES:
            found = [row[1] for row in db.execute(f"PRAGMA table_info({scope}_figures)")]
            assert found == ["step_s", "name", "at", *dict(columns_of(scope))]
    db.close()
    names = [figure.name for figure in FIGURES]
    assert len(set(names)) == len(names)


def test_the_file_knows_its_version_and_shrinks(store: Store, path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    db.close()


def test_a_file_of_a_later_version_is_not_touched(store: Store, path: Path) -> None:
    store.close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(NewerSchema):
        Store(path, server="1@1")


def test_every_level_holds_what_a_minute_brought(store: Store, path: Path) -> None:
    store.write([minute(NOON + 60, done=2, ttft_ms=pack(Histogram([10.0])))])
    store.write([minute(NOON + 660, done=3, ttft_ms=pack(Histogram([30.0])))])
    for step_s, wanted in ((60, [2, 3]), (600, [2, 3]), (3600, [5]), (21_600, [5])):
        answer = ask(path, "done", "ttft_ms", step_s=step_s)
        done, ttft = answer.series
        assert [point.total for point in done.points if point.total] == wanted
        assert sum(point.n for point in ttft.points if point.n) == 2
    assert ask(path, "ttft_ms", step_s=3600).series[0].points[0].max == pytest.approx(30, rel=0.01)


def test_a_minute_written_twice_adds_up(store: Store, path: Path) -> None:
    """A server that is stopped and started again within a minute."""
    gauge = {"running_n": 2, "running_sum": 6.0, "running_max": 4.0}
    store.write([minute(NOON, done=1, itl_ms=pack(Histogram([5.0])), **gauge)])
    store.write([minute(NOON, done=2, itl_ms=pack(Histogram([7.0])), running_n=1, running_max=3.0)])
    done, itl, running = (
        series.points[0] for series in ask(path, "done", "itl_ms", "running").series
    )
    assert done.total == 3
    assert (itl.n, itl.mean) == (2, 6.0)
    assert (running.n, running.mean, running.max) == (3, 2.0, 4.0)


def test_a_write_is_whole_or_not_at_all(store: Store, path: Path) -> None:
    bad = Row("engine", "a", NOON, {"no_such_column": 1})
    with pytest.raises(KeyError):
        store.write([minute(NOON, done=1), Batch([bad])])
    with pytest.raises(ModelNotFound):
        ask(path, "done")
    store.write([minute(NOON, done=1)])
    assert ask(path, "done").series[0].points[0].total == 1


# Thinning and the limit ------------------------------------------------------------------


def test_thinning_forgets_minutes_and_then_tens_of_minutes(store: Store, path: Path) -> None:
    store.write([minute(NOON + day * DAY, done=1) for day in range(-40, 1)])
    store.thin(NOON, minutes_s=2 * DAY, ten_minutes_s=30 * DAY)
    db = sqlite3.connect(path)
    counts = dict(db.execute("SELECT step_s, count(*) FROM engine_figures GROUP BY 1"))
    db.close()
    assert counts == {60: 3, 600: 31, 3600: 41, 21_600: 41}
    whole = ask(path, "done", at=NOON - 40 * DAY, to_at=NOON + 3600, step_s=DAY)
    assert sum(point.total or 0 for point in whole.series[0].points) == 41


def test_thirty_days_stay_under_the_limit_and_a_graph_of_them_reads_few_rows(path: Path) -> None:
    """An engine under load for 30 days, written minute by minute as a server would."""
    limit, settings = 4 << 20, HistorySettings(max_size_bytes=Bytes(4 << 20))
    busy = pack(Histogram(5 + value * 0.37 for value in range(60)))
    cells = {
        "done": 40, "prompt_tokens": 20_000, "cached_tokens": 9_000, "output_tokens": 8_000,
        "running_n": 60, "running_sum": 120.0, "running_max": 4.0,
        "kv_share_n": 60, "kv_share_sum": 20.0, "kv_share_max": 0.8,
        "memory_bytes_n": 60, "memory_bytes_sum": 6e11, "memory_bytes_max": 1e10,
        "queue_ms": busy, "ttft_ms": busy, "itl_ms": busy, "e2e_ms": busy,
    }  # fmt: skip
    store = Store(path, server="1@1")
    start, sizes = NOON - 30 * DAY, []
    for hour in range(30 * 24):
        # One minute in six: the same rows at every level but the first, in a sixth of the time.
        minutes = range(start + hour * 3600, start + (hour + 1) * 3600, 360)
        store.write(
            Batch([up(at), *(Row("engine", name, at, cells) for name in (EVERY, "a"))])
            for at in minutes
        )
        if hour % 12 == 0:
            now = start + (hour + 1) * 3600
            store.thin(
                now,
                minutes_s=settings.keep_minutes_s,
                ten_minutes_s=settings.keep_ten_minutes_s,
            )
            store.fit(limit, now)
            sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))
    assert max(sizes) <= limit
    assert sizes[-1] > limit / 4, "too little is kept for the limit to mean anything"
    figures = find_figures(["ttft_ms", "done"], engine=None, gpu=None)
    step_s = choose_step(start, NOON, None)
    answer = read_range(path, figures, name=None, from_at=start, to_at=NOON, step_s=step_s)
    ttft, done = answer.series
    assert len(ttft.points) <= MAX_POINTS
    assert sum(point.total or 0 for point in done.points) == 30 * 24 * 10 * 40
    assert {point.n for point in ttft.points} == {answer.step_s // 3600 * 10 * 60}
    store.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_the_oldest_goes_first_when_there_is_too_much(store: Store, path: Path) -> None:
    noise = pack(Histogram(1.02**exponent for exponent in range(300)))
    start = NOON - 20 * DAY
    for day in range(20):
        store.write(
            minute(start + day * DAY + at, ttft_ms=noise, done=1) for at in range(0, DAY, 600)
        )
        store.write(
            [
                Batch(
                    events=[
                        EventRow(
                            at=start + day * DAY,
                            kind="note",
                            level="info",
                            engine=None,
                            text=f"day {day}",
                        )
                    ]
                )
            ]
        )
    before = store.used_bytes()
    store.fit(WAL_BYTES + before // 3, NOON)
    assert store.used_bytes() <= before // 3
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= WAL_BYTES + before // 3
    db = sqlite3.connect(path)
    oldest = dict(db.execute("SELECT step_s, min(at) FROM engine_figures GROUP BY 1"))
    db.close()
    assert oldest[60] > NOON - DAY
    assert oldest[3600] <= oldest[600] <= oldest[60]
    last = ask(path, "done", at=NOON - 3600)
    assert sum(point.total or 0 for point in last.series[0].points) == 6


def test_events_alone_are_brought_under_the_limit_too(store: Store) -> None:
    events = [
        EventRow(at=NOON + n, kind="note", level="info", engine="a", text="x" * 200)
        for n in range(9000)
    ]
    store.write([Batch(events=events)])
    limit = store.used_bytes() // 2
    store.fit(WAL_BYTES + limit, NOON + 9000)
    assert store.used_bytes() <= limit


def test_a_limit_that_nothing_fits_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="4MiB at least"):
        HistorySettings(max_size_bytes=Bytes(1 << 20))


# Questions -------------------------------------------------------------------------------


def test_what_is_not_known_is_absent_and_what_did_not_happen_is_zero(
    store: Store, path: Path
) -> None:
    store.write([Batch([up(NOON + 60, 30.0)]), minute(NOON + 120, done=6)])
    points = ask(path, "done", to_at=NOON + 240).series[0].points
    assert [point.at - NOON for point in points] == [0, 60, 120, 180]
    assert [point.total for point in points] == [None, 0.0, 6.0, None]
    assert [point.per_s for point in points] == [None, 0.0, 0.1, None]
    assert all(point.n is None for point in ask(path, "ttft_ms").series[0].points)


def test_a_rate_is_over_the_time_in_which_the_server_was_up(store: Store, path: Path) -> None:
    store.write([Batch([up(NOON, 15.0), Row("engine", "a", NOON, {"output_tokens": 300})])])
    assert ask(path, "output_tokens").series[0].points[0].per_s == 20.0


def test_all_engines_together_are_those_that_are_no_more_as_well() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    for id, times in (("a", range(1, 91)), ("gone", [1000] * 10)):
        made.completions.emitted(id, emission(ttft_ms=[float(ms) for ms in times]))
    made.completions.finished("gone", finished())
    made.recorder.flush()
    cells = made.cells("engine", EVERY)
    assert cells["done"] == 1
    all_times = unpack(cells["ttft_ms"])
    assert all_times.n == 100
    assert all_times.quantiles(0.5, 0.95) == pytest.approx([50, 1000], rel=0.02)
    assert unpack(made.cells("engine", "a")["ttft_ms"]).n == 90


def test_gauges_of_all_engines_are_those_sampled_together(store: Store, path: Path) -> None:
    def running(at: str, highest: float) -> Row:
        cells = {"running_n": 1, "running_sum": highest, "running_max": highest}
        return Row("engine", at, NOON, cells)

    store.write([Batch([up(NOON), running("a", 4.0), running("b", 4.0), running(EVERY, 5.0)])])
    assert ask(path, "running", engine=None).series[0].points[0].max == 5.0
    assert ask(path, "running", engine="b").series[0].points[0].max == 4.0


def test_figures_too_old_for_the_step_come_in_a_longer_one(store: Store, path: Path) -> None:
    store.write(
        [minute(NOON - 40 * DAY, done=5), minute(NOON - 10 * DAY, done=6), minute(NOON, done=7)]
    )
    store.thin(NOON, minutes_s=2 * DAY, ten_minutes_s=30 * DAY)
    for days, wanted in ((0, 60), (10, 600), (40, 3600)):
        answer = ask(path, "done", at=NOON - days * DAY)
        assert answer.step_s == wanted
        assert sum(point.total or 0 for point in answer.series[0].points) > 0


def test_a_range_query_is_a_search_by_key_whatever_the_file_holds(store: Store, path: Path) -> None:
    db = sqlite3.connect(path)
    db.create_aggregate("summarized", 1, reader._Summarized)
    for figure in FIGURES:
        for name in (None, "a"):
            query, values = range_query(figure, name, 60, (60, NOON, NOON + 3600))
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            figures = [line for line in plan if "_figures" in line]
            key = "PRIMARY KEY (step_s=? AND name=? AND at>? AND at<?)"
            assert figures == [f"SEARCH {figure.scope}_figures USING {key}"], (figure.name, plan)
    db.close()


def test_the_step_bounds_the_rows_that_are_read() -> None:
    for step_s in (60, 300, 540, 600, 3000, 3600, 43_200, 86_400):
        level_s = max(level for level in STEPS_S if level <= step_s)
        assert choose_step(NOON, NOON + step_s * 10, step_s) / level_s <= ROWS_PER_POINT


@pytest.mark.parametrize("step_s", [0, -60, 59, 90, 660, 3660, 25_200, 90_000, 1_000_000])
def test_a_step_that_cannot_be_is_refused(step_s: int) -> None:
    with pytest.raises(BadParameter) as caught:
        choose_step(NOON, NOON + 3600, step_s)
    assert caught.value.param == "step"


def test_a_range_that_is_empty_or_too_fine_is_refused() -> None:
    with pytest.raises(BadParameter, match="after from"):
        choose_step(NOON, NOON, None)
    with pytest.raises(BadParameter, match="too many"):
        choose_step(NOON - 30 * DAY, NOON, 60)


@pytest.mark.parametrize(
    ("span_s", "step_s"), [(900, 60), (3600, 60), (DAY, 600), (7 * DAY, 3600), (30 * DAY, 21_600)]
)
def test_a_step_that_is_left_open_suits_the_range(span_s: int, step_s: int) -> None:
    assert choose_step(NOON - span_s, NOON, None) == step_s


def test_metrics_are_those_of_whom_they_are_asked(path: Path) -> None:
    names = [figure.name for figure in figures_of("engine")]
    assert [f.name for f in find_figures(names, engine="a", gpu=None)] == names
    assert find_figures(["host_cpu_percent", "done"], engine=None, gpu=None)
    assert find_figures(["gpu_power_w"], engine=None, gpu="nvidia:0")
    for names, engine, gpu in (
        (["nonsense"], None, None),
        (["gpu_power_w"], None, None),
        (["host_cpu_percent"], "a", None),
        (["done"], None, "nvidia:0"),
        (["done"], "a", "nvidia:0"),
    ):
        with pytest.raises(BadParameter):
            find_figures(names, engine=engine, gpu=gpu)


def test_events_and_runs_come_back_by_time_and_engine(store: Store, path: Path) -> None:
    events = [
        EventRow(at=NOON + n, kind="note", level="info", engine="ab"[n % 2], text=str(n))
        for n in range(10)
    ]
    ended = RunRow(
        engine="a", path="/m", loaded_at=NOON, load_ms=5.0, ended_at=NOON + 4, reason="idle"
    )
    running = RunRow(engine="b", path="/n", loaded_at=NOON + 2, load_ms=6.0)
    store.write([Batch([], events, [ended, running])])
    span = {"from_at": NOON + 2, "to_at": NOON + 8}
    found = read_events(path, engine=None, limit=3, **span)
    assert [event.text for event in found] == ["5", "6", "7"]
    assert {e.engine for e in read_events(path, engine="b", limit=9, **span)} == {"b"}
    assert [run.engine for run in read_runs(path, engine=None, limit=9, **span)] == ["a", "b"]
    later = {"from_at": NOON + 5, "to_at": NOON + 8}
    (still,) = read_runs(path, engine=None, limit=9, **later)
    assert (still.engine, still.ended_at) == ("b", None)


def test_runs_of_a_server_that_is_no_more_end_when_it_last_wrote(store: Store, path: Path) -> None:
    run = RunRow(engine="a", path="/m", loaded_at=NOON + 10.5, load_ms=5.0)
    store.write([Batch([up(NOON), up(NOON + 60)], runs=[run])])
    store.close()
    later = Store(path, server="2@2")
    assert later.open_servers() == ["1@1"]
    later.end_runs(["1@1"], "gone")
    (found,) = read_runs(path, engine=None, from_at=0, to_at=NOON + DAY, limit=9)
    assert (found.ended_at, found.reason) == (NOON + 120, "gone")
    assert later.open_servers() == []
    later.close()


# Recording -------------------------------------------------------------------------------


def emission(**how: Any) -> Emission:
    given = {"tokens": 1, "ttft_ms": [], "itl_ms": [], "shared_itl_ms": []}
    return Emission(**{"at_s": time.monotonic(), **given, **how})


def finished(**how: Any) -> Finished:
    result = Generated(
        usage=Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=5),
        timings=Timings(queue_ms=2, prefill_ms=8, ttft_ms=10, decode_ms=40),
    )
    given = {
        "request": 1, "kind": "generate", "result": result, "error": None, "cancelled": False,
        "wall_ms": 50.0, "user": "", "ttft_ms": 10.0, "decode_ms": 40.0,
    }  # fmt: skip
    return Finished(**{**given, **how})


def snapshot(at: float, **engine: Any) -> Snapshot:
    one = Engine(
        id="a", path="/m.gguf",
        **{
            "state": "loaded", "running": 2, "kv": Kv(total_tokens=100, used_tokens=25),
            "process": Process(pid=1, cpu_percent=150.0, rss_bytes=1000), **engine,
        },
    )  # fmt: skip
    return Snapshot(
        at=at,
        uptime_s=at - NOON,
        host=Host(cpu_percent=50.0, memory_total_bytes=100, memory_available_bytes=40),
        gpus=[Gpu(id="nvidia:0", vendor="nvidia", index=0, power_w=70.0)],
        engines=[one],
        running=one.running,
    )


class Recorded:
    """A recorder, and what it hands over."""

    def __init__(self) -> None:
        self.completions = Completions()
        self.batches: list[Batch] = []
        self.recorder = Recorder(self.completions, self.batches.append)

    def cells(self, scope: str, name: str) -> dict[str, Any]:
        """Of the last batch."""
        (row,) = [r for r in self.batches[-1].rows if (r.scope, r.name) == (scope, name)]
        return dict(row.cells)


def test_a_minute_is_handed_over_when_the_next_begins() -> None:
    made = Recorded()
    for second in (1, 30, 59):
        made.recorder.sample(snapshot(NOON + second))
    assert made.batches == []
    made.recorder.sample(snapshot(NOON + 60))
    assert {row.at for row in made.batches[0].rows} == {NOON}
    assert made.cells("host", EVERY)["covered_s"] == 59


def test_a_minute_holds_what_was_gained_in_it_alone() -> None:
    made = Recorded()
    for number in range(3):
        made.recorder.sample(snapshot(NOON + number * 60))
        made.completions.emitted(
            "a", emission(tokens=5, ttft_ms=[10.0 + number], itl_ms=[2.0, 3.0, 4.0, 5.0])
        )
        made.completions.finished("a", finished())
    made.recorder.flush()
    assert len(made.batches) == 3
    for number, batch in enumerate(made.batches):
        (cells,) = [row.cells for row in batch.rows if (row.scope, row.name) == ("engine", "a")]
        assert (cells["done"], cells["prompt_tokens"], cells["cached_tokens"]) == (1, 10, 4)
        assert cells["output_tokens"] == 5
        assert unpack(cells["ttft_ms"]).mean == 10.0 + number
        assert unpack(cells["itl_ms"]).n == 4
        assert unpack(cells["e2e_ms"]).mean == 50.0
        assert unpack(cells["queue_ms"]).mean == 2.0


def test_what_is_sampled_becomes_mean_and_maximum_and_what_is_not_known_nothing() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON, running=2))
    made.recorder.sample(snapshot(NOON + 1, running=4))
    made.recorder.sample(snapshot(NOON + 2, running=0, kv=None, process=None))
    made.recorder.flush()
    cells = made.cells("engine", "a")
    assert (cells["running_n"], cells["running_sum"], cells["running_max"]) == (3, 6, 4)
    assert (cells["kv_share_n"], cells["kv_share_sum"]) == (2, 0.5)
    assert cells["cpu_percent_n"] == 2
    assert made.cells("engine", EVERY)["running_max"] == 4
    assert made.cells("gpu", "nvidia:0") == {
        "gpu_power_w_n": 3, "gpu_power_w_sum": 210.0, "gpu_power_w_max": 70.0,
    }  # fmt: skip
    assert made.cells("host", EVERY)["host_memory_used_bytes_max"] == 60


def test_an_engine_that_is_not_loaded_has_no_gauges() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON, state="unloaded"))
    made.recorder.flush()
    assert ("engine", "a") not in {(row.scope, row.name) for row in made.batches[0].rows}


def test_preemptions_add_up_over_loads() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    made.completions.computed("a", 100, 3)
    made.completions.loaded("a", ModelInfo(), 1.0)
    made.completions.computed("a", 100, 2)
    made.recorder.flush()
    assert made.cells("engine", "a")["preemptions"] == 5


def test_an_engine_that_was_removed_and_added_again_begins_anew() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    for _ in range(3):
        made.completions.finished("a", finished())
    made.recorder.flush()
    made.completions.forget("a")
    made.completions.finished("a", finished())
    made.recorder.flush()
    assert made.cells("engine", "a")["done"] == 1


def test_what_an_engine_did_in_the_minute_of_its_removal_is_kept() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    removed = Event(seq=1, at=NOON + 1.5, kind="removed", engine="a", text="a removed")
    for ttft_ms in (10.0, 900.0):  # it is added anew within the minute, and removed again
        made.completions.emitted("a", emission(tokens=1, ttft_ms=[ttft_ms], itl_ms=[]))
        made.completions.finished("a", finished())
        made.recorder.event(removed)
        made.completions.forget("a")
    made.recorder.flush()
    assert made.cells("engine", "a")["done"] == 2
    assert unpack(made.cells("engine", "a")["ttft_ms"]).n == 2


def test_a_clock_that_goes_back_loses_nothing() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON + 60))
    made.completions.finished("a", finished())
    made.recorder.sample(snapshot(NOON - 3600))
    made.completions.finished("a", finished())
    made.recorder.flush()
    counted = [row for batch in made.batches for row in batch.rows if row.name == "a"]
    assert [(row.at, row.cells["done"]) for row in counted] == [(NOON + 60, 1), (NOON - 3600, 1)]


def test_a_run_is_from_load_to_unload_with_what_it_did() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    made.completions.finished("a", finished())
    loaded = Event(seq=1, at=NOON + 1.5, kind="loaded", engine="a", text="a loaded", load_ms=900.0)
    made.recorder.event(loaded)
    made.completions.finished("a", finished())
    made.completions.finished("a", finished())
    made.recorder.event(
        Event(seq=2, at=NOON + 9, kind="evicted", engine="a", text="gone", reason="evicted for 'b'")
    )
    made.recorder.flush()
    begun, ended = made.batches[-1].runs
    assert (begun.path, begun.loaded_at, begun.load_ms, begun.ended_at) == (
        "/m.gguf", NOON + 1.5, 900.0, None,
    )  # fmt: skip
    assert (ended.ended_at, ended.reason, ended.done) == (NOON + 9, "evicted for 'b'", 2)
    assert ended.prompt_tokens == 20
    assert [event.kind for event in made.batches[-1].events] == ["loaded", "evicted"]


def test_a_flood_of_events_is_cut_and_said_so() -> None:
    made = Recorded()
    made.recorder.sample(snapshot(NOON))
    for number in range(2500):
        made.recorder.event(Event(seq=number, at=NOON, kind="failed", engine="a", text="no"))
    made.recorder.event(Event(seq=0, at=NOON, kind="loading", engine="a", text="weights"))
    made.recorder.flush()
    events = made.batches[-1].events
    assert len(events) == 2001
    assert events[-1].text == "500 more events within a minute"
