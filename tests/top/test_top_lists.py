"""Lists: columns that fit, sorting, filters, what fits on a screen of any size."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from watching_top import last_snapshot, lines_of, recorded, scene_of

from kolo.snapshot import Engine, Event, EventKind, Request, Window, Windows
from kolo.top.choosing import in_order, matches
from kolo.top.dashboard import paint_dashboard
from kolo.top.engine_rows import ENGINES, engine_rows, engine_state, short_quant
from kolo.top.layout import Content, arrange
from kolo.top.panels.lists import rows_of
from kolo.top.plain import table_text
from kolo.top.request_rows import REQUESTS, event_rows, request_rows
from kolo.top.spans import cells, line_width, text_of
from kolo.top.state import PANELS, RANGES, Ui
from kolo.top.table import choose, scrolled

SCENE = scene_of(recorded())


def column(rows: object, columns: object, key: str) -> list[str]:
    at = [one.key for one in columns].index(key)  # type: ignore[attr-defined]
    return [row.cells[at].text for row in rows]  # type: ignore[attr-defined]


@given(st.integers(20, 300))
def test_columns_fit_and_the_first_ones_stay(width: int) -> None:
    for columns in (ENGINES, REQUESTS):
        placed = choose(columns, width)
        used = placed[-1].x + placed[-1].width
        always = {one.key for one in columns if not one.rank}
        assert always <= {one.column.key for one in placed}
        if any(one.column.rank for one in placed):
            assert used <= width


def test_engines_sort_by_numbers_with_the_unknown_last_either_way() -> None:
    ui = Ui(sort={"engines": "out"}, reverse={"engines": True})
    rates = column(engine_rows(last_snapshot(), ui), ENGINES, "out")
    assert rates[:2] == ["173", "32.0"]
    ui.reverse["engines"] = False
    rates = column(engine_rows(last_snapshot(), ui), ENGINES, "out")
    assert rates[:2] == ["32.0", "173"]


@given(st.lists(st.none() | st.integers(0, 9)), st.booleans())
def test_what_has_no_value_is_last(values: list[int | None], reverse: bool) -> None:
    ordered = list(in_order(values, {"v": lambda value: value}, "v", reverse=reverse))
    known = [value for value in ordered if value is not None]
    assert known == sorted(known, reverse=reverse)
    assert ordered == known + [None] * (len(values) - len(known))


def test_a_filter_wants_every_word_somewhere() -> None:
    assert matches("QWEN 8b", "qwen3-8b", "loaded")
    assert matches("", "anything")
    assert not matches("qwen gemma", "qwen3-8b", "loaded")
    rows = engine_rows(last_snapshot(), Ui(filter={"engines": "qwen"}))
    assert [row.key for row in rows] == ["qwen3-8b", "qwen2.5-coder-14b"]


def test_requests_can_be_of_one_state() -> None:
    both = [
        Request(id=1, engine="a", state="queued"),
        Request(id=2, engine="a", state="decode", slot=0),
    ]
    snapshot = replace(last_snapshot(), requests=both)
    rows = request_rows(snapshot, Ui(state={"requests": "queued"}))
    assert column(rows, REQUESTS, "id") == ["1"]


def test_events_are_newest_first_and_warnings_include_errors() -> None:
    rows = event_rows(SCENE.picture.events, Ui(state={"events": "warning"}))
    assert [row.cells[1].text for row in rows] == ["crashed"]
    times = [row.cells[0].text for row in event_rows(SCENE.picture.events, Ui())]
    assert times == sorted(times, reverse=True)


def test_the_stages_of_a_load_do_not_push_a_crash_off_the_list() -> None:
    told: list[tuple[EventKind, str, str]] = [
        ("crashed", "a", "a crashed"),
        ("loading", "a", "a loading: weights"),
        ("loading", "b", "b loading: weights"),
        ("loading", "a", "a loading: warmup"),
        ("loaded", "a", "a loaded"),
        ("loading", "b", "b loading: warmup"),
    ]
    events = [
        Event(seq=at, at=float(at), level="info", kind=kind, engine=engine, text=text)
        for at, (kind, engine, text) in enumerate(told)
    ]
    shown = [row.cells[2].text for row in event_rows(events, Ui())]
    assert shown == ["b loading: warmup", "a loaded", "a crashed"]


def test_what_never_ran_is_a_dash_and_what_is_not_told_is_missing() -> None:
    engine = Engine(id="new", state="loaded")
    rows = engine_rows(replace(last_snapshot(), engines=[engine]), Ui())
    said = dict(zip([one.key for one in ENGINES], rows[0].cells, strict=True))
    assert said["out"].text == said["in"].text == said["ttft"].text == said["hit"].text == "\u2013"
    assert said["kv"].text == "n/a"
    assert said["rpm"].text == "\u2013"


def test_a_negative_rate_is_never_shown() -> None:
    odd = Windows(last_5s=Window(span_s=5, output_tokens_per_s=-4.0))
    engine = replace(last_snapshot().engines[0], windows=odd)
    rows = engine_rows(replace(last_snapshot(), engines=[engine]), Ui())
    assert column(rows, ENGINES, "out") == ["\u2013"]


@pytest.mark.parametrize(
    ("quant", "short"), [("Q4_K - Medium", "Q4_K_M"), ("Q8_0", "Q8_0"), ("", "")]
)
def test_quants_are_named_as_people_do(quant: str, short: str) -> None:
    model = replace(last_snapshot().engines[0].model, quant=quant)  # type: ignore[type-var]
    engine = replace(last_snapshot().engines[0], model=model)
    assert short_quant(engine) == short


def test_a_load_says_its_stage_and_how_far_it_is() -> None:
    engine = Engine(id="a", state="loading", stage="weights", progress=0.43)
    assert engine_state(engine).text == "weights 43%"
    assert engine_state(Engine(id="a", state="failed")).text == "failed"


@given(st.integers(0, 60), st.integers(-1, 59), st.integers(0, 60), st.integers(0, 30))
def test_scrolling_keeps_the_cursor_in_sight(top: int, cursor: int, n: int, height: int) -> None:
    cursor = min(cursor, n - 1)
    now = scrolled(top, cursor, n, height)
    assert now >= 0
    if height and cursor >= 0:
        assert now <= cursor < now + height
    if n <= height:
        assert now == 0


# What fits -------------------------------------------------------------------------------


@given(
    st.integers(40, 260),
    st.integers(8, 90),
    st.integers(0, 60),
    st.integers(0, 200),
    st.sets(st.sampled_from(PANELS)),
    st.booleans(),
)
def test_panels_use_the_screen_exactly_and_never_overlap(
    width: int, height: int, engines: int, requests: int, hidden: set[str], zoomed: bool
) -> None:
    content = Content(engines=engines, requests=requests, machine=(1, 7))
    places = arrange(width, height, content, hidden, zoomed=zoomed)
    cells_used = sum(place.width * place.height for place in places)
    assert cells_used == (width * height if places else 0)
    assert all(place.y + place.height <= height for place in places)
    assert all(place.x + place.width <= width for place in places)
    assert not {place.name for place in places} & hidden or zoomed


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 230),
    st.integers(1, 70),
    st.sampled_from([name for name, _ in RANGES]),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(PANELS)),
)
def test_the_dashboard_is_whole_at_any_size(
    width: int, height: int, range_name: str, ascii: bool, zoomed: bool, hidden: set[str]
) -> None:
    ui = Ui(ascii=ascii, zoomed=zoomed, hidden=hidden, range=range_name)
    painted = paint_dashboard(scene_of(recorded()[-3:], ui), width, height)
    assert len(painted.lines) == height
    assert {line_width(line) for line in painted.lines} == {width}
    assert not ascii or all(text.isascii() for text in lines_of(painted.lines))
    assert all(zone.x >= 0 and zone.y + zone.height <= height for zone in painted.zones)


def test_ten_thousand_engines_and_no_numbers_at_all() -> None:
    bare = replace(
        last_snapshot(), engines=[Engine(id=f"e{n}") for n in range(10_000)], gpus=[], requests=[]
    )
    painted = paint_dashboard(scene_of([bare]), 120, 40)
    assert any("1-" in text_of(line) and "of 10000" in text_of(line) for line in painted.lines)


def test_only_rows_that_are_seen_are_made() -> None:
    scene = scene_of(recorded())
    rows = rows_of("engines", scene)
    assert len(rows[1:3]) == 2
    assert [row.key for row in rows][1:3] == [row.key for row in rows[1:3]]


@pytest.mark.parametrize("seed", range(8))
def test_snapshots_with_holes_can_be_drawn(seed: int) -> None:
    """Any value that may be null is null here and there."""
    chance = random.Random(seed)
    last = last_snapshot()

    def holes(value: object) -> object:
        fields = {}
        for field, default in zip(
            value.__struct_fields__[-len(value.__struct_defaults__) :],  # type: ignore[attr-defined]
            value.__struct_defaults__,  # type: ignore[attr-defined]
            strict=True,
        ):
            if default is None and chance.random() < 0.5:
                fields[field] = None
        return replace(value, **fields)  # type: ignore[type-var]

    engines = [holes(one) for one in last.engines]
    gpus = [holes(one) for one in last.gpus]
    requests = [holes(one) for one in last.requests]
    holed = replace(last, engines=engines, gpus=gpus, requests=requests, host=holes(last.host))
    for zoomed in (False, True):
        scene = scene_of([holed], Ui(zoomed=zoomed))
        for width, height in ((60, 15), (120, 40), (200, 60)):
            assert len(paint_dashboard(scene, width, height).lines) == height
    assert table_text(scene.picture, 160, ascii=False)


def test_the_table_for_a_pipe_has_everything_once() -> None:
    text = table_text(SCENE.picture, 160, ascii=True)
    assert text.isascii()
    assert text.count("qwen3-8b*") == 1
    assert "UP" in text.splitlines()[5]
    assert all(cells(line) <= 160 for line in text.splitlines())
