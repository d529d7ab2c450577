"""Tables on stdout: as wide as the terminal, whole through a pipe."""

from __future__ import annotations

import shutil
import sys
from typing import NamedTuple

import click

from kolo.cli.output import fitting, look, printable

GAP = "  "
MIN_FLEXIBLE = 12
"""What is left of a column that gives way at the least."""


class Column(NamedTuple):
    title: str
    number: bool = False
    """To the right."""
    flexible: bool = False
    """Gives way where the terminal is too narrow; one at most."""


def print_grid(columns: list[Column], rows: list[list[str]]) -> None:
    """A heading and a line for each row; nothing but the heading when there are none."""
    from rich.cells import cell_len, set_cell_size

    how = look(sys.stdout)
    titles = [column.title for column in columns]
    cells = [titles, *([fitting(printable(c), how).replace("\n", " ") for c in r] for r in rows)]
    widths = [max(cell_len(line[at]) for line in cells) for at in range(len(columns))]
    if how.terminal:
        _give_way(columns, widths, shutil.get_terminal_size().columns)

    def placed(text: str, at: int) -> str:
        if cell_len(text) > widths[at]:
            more = fitting("…", how)
            return set_cell_size(text, widths[at] - len(more)) + more
        space = " " * (widths[at] - cell_len(text))
        return space + text if columns[at].number else text + space

    for no, line in enumerate(cells):
        text = GAP.join(placed(cell, at) for at, cell in enumerate(line)).rstrip()
        click.echo(f"\x1b[1m{text}\x1b[22m" if how.colour and no == 0 else text)


def _give_way(columns: list[Column], widths: list[int], room: int) -> None:
    over = sum(widths) + len(GAP) * (len(widths) - 1) - room
    for at, column in enumerate(columns):
        if column.flexible and over > 0:
            widths[at] = max(widths[at] - over, min(widths[at], MIN_FLEXIBLE))
