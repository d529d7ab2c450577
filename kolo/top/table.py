"""Tables that fit: columns leave by rank until the rest has room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from kolo.top.spans import Block, Line, Span, cut, fit, left, right


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    title: str
    width: int
    rank: int = 0
    """0 always stays; else the highest leaves first."""
    number: bool = False
    """At the right end of its column."""
    grows: bool = False
    """Takes what is left over, up to ``most``."""
    most: int = 60
    help: str = ""


class Row(NamedTuple):
    key: str
    cells: tuple[Span, ...]
    """One for each column, in their order."""


class Rows(Sequence[Row]):
    """Rows in order, each made when it is looked at: of hundreds, a few dozen are shown."""

    def __init__(self, keys: Sequence[str], cells: Callable[[int], tuple[Span, ...]]) -> None:
        self.keys = keys
        self._cells = cells

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self.keys)))]
        return Row(self.keys[at], self._cells(at))


class Placed(NamedTuple):
    column: Column
    at: int
    """Its place among all columns, and of its cell in a row."""
    x: int
    width: int


GAP = 1


def choose(columns: Sequence[Column], width: int) -> list[Placed]:
    """Which columns are shown in ``width``, and where."""
    kept = list(enumerate(columns))
    while len(kept) > 1 and _needs([column for _, column in kept]) > width:
        rank = max(column.rank for _, column in kept)
        if rank == 0:
            break
        last = max(at for at, (_, column) in enumerate(kept) if column.rank == rank)
        del kept[last]
    spare = max(width - _needs([column for _, column in kept]), 0)
    widths = [column.width for _, column in kept]
    growing = [at for at, (_, column) in enumerate(kept) if column.grows]
    for nth, at in enumerate(growing):
        share = spare // (len(growing) - nth)
        more = min(share, max(kept[at][1].most - widths[at], 0))
        widths[at] += more
        spare -= more
    placed, x = [], 0
    for (at, column), own in zip(kept, widths, strict=True):
        placed.append(Placed(column, at, x, own))
        x += own + GAP
    return placed


def _needs(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def heading(placed: Sequence[Placed], width: int, *, sort: str, reverse: bool, ascii: bool) -> Line:
    """The titles; the column that is sorted by is marked with the direction."""
    spans: list[Span] = []
    for at, one in enumerate(placed):
        title = one.column.title
        sorted_by = one.column.key == sort
        if sorted_by:
            arrow = ("v" if reverse else "^") if ascii else ("▾" if reverse else "▴")
            title = cut(title, one.width - 1, end="") + arrow
        text = (right if one.column.number else left)(title, one.width)
        spans.append(Span(text, "heading-sorted" if sorted_by else "heading"))
        if at < len(placed) - 1:
            spans.append(Span(" " * GAP, "heading"))
    return fit(spans, width)


def line(row: Row, placed: Sequence[Placed], width: int, role: str = "") -> Line:
    """One row; ``role`` is added to those of its cells, for the one under the cursor."""
    spans: list[Span] = []
    last = placed[-1]
    for one in placed:
        text, own = row.cells[one.at]
        text = (right if one.column.number else left)(text, one.width)
        if one is not last:
            text += " " * GAP
        spans.append(Span(text, _join(own, role)))
    room = width - last.x - last.width
    if room > 0:
        spans.append(Span(" " * room, role))
    return tuple(spans) if room >= 0 else fit(spans, width)


def _join(own: str, role: str) -> str:
    return f"{own}+{role}" if own and role else own or role


def scrolled(top: int, cursor: int, n_rows: int, height: int) -> int:
    """The first row to show, so that the cursor is seen and no room is wasted."""
    if height <= 0:
        return 0
    if cursor >= 0:
        top = min(max(top, cursor - height + 1), cursor)
    return max(0, min(top, n_rows - height))


def body(
    rows: Sequence[Row],
    placed: Sequence[Placed],
    width: int,
    height: int,
    *,
    top: int,
    cursor: int,
    focused: bool,
) -> Block:
    """``height`` lines of ``rows`` from ``top`` on; fewer where there are no more."""
    role = "cursor" if focused else "chosen"
    return [
        line(row, placed, width, role if top + at == cursor else "")
        for at, row in enumerate(rows[top : top + height])
    ]
