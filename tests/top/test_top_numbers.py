"""Numbers, graphs and times as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.top import words
from kolo.top.app.canvas import difference
from kolo.top.graph import bar, graph, spark
from kolo.top.series import Track
from kolo.top.spans import Span, cells, clean, cut, fit, left, line_width, right, spread

numbers = st.floats(0, 9e15, allow_nan=False)
text = st.text(max_size=40)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, words.NOTHING), (0, words.NOTHING), (-3.0, words.NOTHING), (0.01, "<0.1"),
     (3.14159, "3.1"), (99.96, "100"), (1234, "1.2k"), (5_600_000, "5.6M")],
)  # fmt: skip
def test_a_rate_is_a_dash_when_nothing_ran_and_never_negative(
    value: float | None, shown: str
) -> None:
    assert words.rate(value) == shown


@pytest.mark.parametrize(
    ("value_ms", "shown"),
    [(None, words.NOTHING), (0, "0ms"), (0.5, "0.5ms"), (9.96, "10ms"), (999.6, "1.0s"),
     (1400, "1.4s"), (61_000, "1m01s"), (1e7, "2h46m")],
)  # fmt: skip
def test_times_have_the_unit_that_fits(value_ms: float | None, shown: str) -> None:
    assert words.ms(value_ms) == shown


def test_what_is_missing_is_never_zero() -> None:
    assert words.size(None) == words.count(None) == words.percent(None) == words.MISSING
    assert words.used(None, 10) == words.span(None) == words.MISSING
    assert words.used(3.1e9, 16e9) == "3.1/16.0 GB"


@given(numbers)
def test_counts_are_short_and_sizes_have_a_unit(number: float) -> None:
    assert len(words.count(number)) <= 5
    assert words.size(number)[-1] == "B"


@given(st.floats(allow_nan=False))
def test_any_time_of_day_can_be_told(at: float) -> None:
    assert len(words.clock(at)) == 8


def test_parameters_are_in_billions() -> None:
    assert words.parameters(8_190_000_000) == "8.2B"
    assert words.parameters(475_000_000) == "475M"


# Text ------------------------------------------------------------------------------------


@given(text, st.integers(0, 60))
def test_text_takes_exactly_its_room(value: str, width: int) -> None:
    value = clean(value)
    assert cells(cut(value, width)) <= max(width, 0)
    assert cells(left(value, width)) == cells(right(value, width)) == width
    assert line_width(fit([Span(value), Span(value)], width)) == width
    assert line_width(spread([Span(value)], [Span("end")], max(width, 4))) == max(width, 4)


@given(text)
def test_cleaned_text_cannot_move_the_cursor(value: str) -> None:
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in clean(value))


@given(st.lists(text, max_size=6), st.lists(text, max_size=6), st.integers(1, 30))
def test_a_change_is_found_where_it_is(old: list[str], new: list[str], width: int) -> None:
    one = fit([Span(clean(part), "a") for part in old], width)
    two = fit([Span(clean(part), "a") for part in new], width)
    if one == two:
        return
    x, n = difference(one, two)
    assert x >= 0
    assert x + n <= max(width, 1)
    before = lambda line, at: line_text(line)[:at]  # noqa: E731
    if all(cells(sign) == 1 for sign in line_text(one) + line_text(two)):
        assert before(one, x) == before(two, x)
        assert line_text(one)[x + n :] == line_text(two)[x + n :]


def line_text(line: tuple[Span, ...]) -> str:
    return "".join(span.text for span in line)


# Graphs ----------------------------------------------------------------------------------


def test_a_graph_rises_with_its_values() -> None:
    assert graph([0, 1, 2, 3, 4, 5, 6, 7, 8], 5, 2) == ["   ⣠⣾", " ⣠⣾⣿⣿"]
    assert graph([0, 1, 2, 3], 4, 1, ascii=True) == [" .:|"]


def test_a_gap_is_blank_and_a_little_is_seen() -> None:
    assert graph([None, None], 1, 1) == [" "]
    assert graph([0.001, 100], 1, 1) == ["⣸"]
    assert spark([None, 0.001, 50, 100], 4) == " ▁▄█"


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=80), st.integers(0, 40),
       st.integers(0, 6), st.booleans())  # fmt: skip
def test_a_graph_has_its_size_whatever_the_values(
    values: list[float | None], width: int, height: int, ascii: bool
) -> None:
    drawn = graph(values, width, height, ascii=ascii)
    assert [cells(line) for line in drawn] == [width] * height
    assert all(line.isascii() for line in drawn) or not ascii


@given(st.none() | st.floats(-1, 2), st.integers(0, 40))
def test_a_bar_has_its_width(share: float | None, width: int) -> None:
    full, empty = bar(share, width)
    assert len(full) + len(empty) == width


# Values over time ------------------------------------------------------------------------


def track(*points: tuple[float, float | None]) -> Track:
    made = Track()
    for at_s, value in points:
        made.add(at_s, value)
    return made


def test_what_is_past_does_not_change_when_more_comes() -> None:
    made = Track()
    seen: list[float | None] = []
    for second in range(40):
        made.add(second + 0.3, float(second))
        now = made.buckets(10, 10)
        if second > 10:
            assert now[:-1] == seen[1:]
        seen = now


def test_a_silence_is_a_gap() -> None:
    values = track((1, 5.0), (2, 5.0), (8, 7.0)).buckets(10, 10)
    assert values[-1] == 7.0
    assert values[-4] is None
    assert 0 not in values


def test_between_two_points_the_earlier_one_holds() -> None:
    assert track((0.0, 1.0), (2.0, 3.0)).buckets(3, 3) == [1.0, 1.0, 3.0]


def test_history_comes_before_what_was_seen_and_never_over_it() -> None:
    before = [(float(at), 1.0) for at in range(-600, 130, 60)]
    values = track(*((float(at), 9.0) for at in range(100, 200))).buckets(900, 15, before=before)
    assert values[-1] == 9.0
    assert 1.0 in values
    assert values[0] is None
    assert None not in values[-8:]
