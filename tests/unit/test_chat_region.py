"""Rows that are drawn over, as a terminal shows them; a terminal emulator is the judge."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from kolo.chat.region import Region

COLUMNS, ROWS = 20, 8


class Screen:
    """What a terminal shows, its scrollback included."""

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1)
        self.screen.set_mode(pyte.modes.LNM)  # as a tty's ONLCR
        self._stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def lines(self) -> list[str]:
        above = [
            "".join(row[column].data for column in range(self.screen.columns)).rstrip()
            for row in self.screen.history.top
        ]
        lines = above + [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines


row = st.text(alphabet="ab ", min_size=1, max_size=COLUMNS - 1).filter(
    lambda text: text == text.rstrip()
)
frames = st.lists(
    st.tuples(st.lists(row, max_size=3), st.lists(row, max_size=ROWS - 2)), min_size=1, max_size=8
)


@settings(deadline=None)
@given(frames)
def test_any_pictures_end_as_if_all_was_printed_once(
    frames: list[tuple[list[str], list[str]]],
) -> None:
    region, screen, printed = Region(cell_len), Screen(), []
    for done, live in frames:
        screen.feed(region.update(done, live, COLUMNS))
        printed += done
        assert screen.lines == printed + live
    screen.feed(region.update(["end"], [], COLUMNS))
    assert screen.lines == [*printed, "end"]
    assert not screen.screen.cursor.hidden


def test_what_is_the_same_is_not_written_again() -> None:
    region = Region(cell_len)
    region.update([], ["one", "two"], COLUMNS)
    assert region.update([], ["one", "two"], COLUMNS) == ""
    longer = region.update([], ["one", "two three"], COLUMNS)
    assert "three" in longer
    assert "one" not in longer
    assert "two" not in longer
    assert "one" not in region.update(["one"], ["two three", "four"], COLUMNS)


@pytest.mark.parametrize("columns", [10, 40])
def test_a_resize_leaves_what_is_done_and_draws_the_rest_anew(columns: int) -> None:
    region, screen = Region(cell_len), Screen()
    screen.feed(region.update(["done"], ["first live", "second"], COLUMNS))
    screen.screen.resize(ROWS, columns)
    screen.feed(region.update([], ["narrower", "rows", "now"], columns))
    assert screen.lines == ["done", "narrower", "rows", "now"]


def test_a_finished_row_may_be_longer_than_the_terminal() -> None:
    region, screen = Region(cell_len), Screen()
    screen.feed(region.update([], ["x" * 19], COLUMNS))
    screen.feed(region.update(["x" * 45], ["live"], COLUMNS))
    screen.feed(region.update(["more"], [], COLUMNS))
    assert screen.lines == ["x" * 20, "x" * 20, "x" * 5, "more"]


def test_somebody_else_writes_below() -> None:
    region, screen = Region(cell_len), Screen()
    screen.feed(region.update(["done"], ["a", "b"], COLUMNS))
    screen.feed(region.leave())
    screen.feed("[1]+ Stopped\n")
    screen.feed(region.update([], ["a", "b", "c"], COLUMNS))
    assert screen.lines == ["done", "a", "b", "[1]+ Stopped", "a", "b", "c"]
