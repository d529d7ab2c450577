"""Tables and lines on stdout: no wider than the terminal, whole through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from kolo.cli.output import Look, columns, dim, fitting, look, printable, put
from kolo.cli.wrap import cells, wrapped

GAP = "  "
MIN_FLEXIBLE = 12
"""What is left of a column that gives way at the least."""
INDENT = "  "


class Column(NamedTuple):
    title: str
    number: bool = False
    """To the right."""
    flexible: bool = False
    """Gives way where the terminal is too narrow; one at most."""


def print_grid(
    grid: Sequence[Column], rows: Sequence[Sequence[str]], *, faint: Sequence[bool] = ()
) -> None:
    """A heading and a line for each row; nothing but the heading when there are none.

    On a terminal that has no room for all columns, a row is several lines: its first cell, and
    below it each other one with its title. ``faint`` says which rows are of less interest.
    """
    how = look(sys.stdout)
    titles = [column.title for column in grid]
    shown = [[fitting(printable(cell), how).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(titles, *shown, strict=True)]
    if how.terminal and not _give_way(grid, widths, columns()):
        for row in shown:
            _print_block(titles, row, how)
        return

    def placed(text: str, at: int) -> str:
        space = " " * (widths[at] - cells(text))
        return space + text if grid[at].number else text + space

    for no, line in enumerate([titles, *shown]):
        placed_cells = (placed(_cut(cell, widths[at], how), at) for at, cell in enumerate(line))
        text = GAP.join(placed_cells).rstrip()
        if no == 0:
            put(_bold(text, how))
        else:
            put(dim(text, how) if faint and faint[no - 1] else text)


def print_line(text: str, *, indent: str = INDENT, colour: str = "") -> None:
    """A line of text; on a terminal several, those after the first set in by ``indent``. Where
    there is colour, its first word has ``colour``, the numbers of an SGR sequence."""
    how = look(sys.stdout)
    shown = fitting(printable(text), how)
    if how.terminal:
        width = columns()
        shown = "\n".join(wrapped(shown, width, indent[: width // 2]))
    if colour and how.colour:
        word, space, rest = shown.partition(" ")
        shown = f"\x1b[{colour}m{word}\x1b[0m{space}{rest}"
    put(shown)


def _print_block(titles: list[str], row: list[str], how: Look) -> None:
    width = columns()
    for at, (title, cell) in enumerate(zip(titles, row, strict=True)):
        text = cell if at == 0 else f"{INDENT}{title.lower()} {cell}".rstrip()
        if cell:
            lines = wrapped(text, width, INDENT * 2)
            put("\n".join(_bold(line, how) if at == 0 else line for line in lines))


def _bold(text: str, how: Look) -> str:
    return f"\x1b[1m{text}\x1b[22m" if how.colour else text


def _cut(text: str, width: int, how: Look) -> str:
    if cells(text) <= width:
        return text
    from rich.cells import set_cell_size

    more = fitting("…", how)
    return set_cell_size(text, width - len(more)) + more


def _give_way(grid: Sequence[Column], widths: list[int], room: int) -> bool:
    """Make the column narrower that may be; whether all has room then."""
    over = sum(widths) + len(GAP) * (len(widths) - 1) - room
    for at, column in enumerate(grid):
        if column.flexible and over > 0:
            given = min(over, max(widths[at] - MIN_FLEXIBLE, 0))
            widths[at] -= given
            over -= given
    return over <= 0
