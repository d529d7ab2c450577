"""Graphs as text: braille where there is Unicode, plain characters where there is not.

A series is a list of values with the newest last; None is a moment of which nothing is known,
and is drawn as a gap, never as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

Series = Sequence[float | None]

_BLANK = 0x2800
_LEFT = (0x40, 0x44, 0x46, 0x47)
"""Dots of the left column, filled from the bottom: one to four."""
_RIGHT = (0x80, 0xA0, 0xB0, 0xB8)
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#"
_ASCII_FILL = " .:|"


def graph(
    values: Series, width: int, height: int, *, top: float | None = None, ascii: bool = False
) -> list[str]:
    """``height`` lines of ``width`` columns, filled below the values, the newest at the right.

    ``top`` is the value of the upper edge; without one it is the highest that is shown.
    """
    if width <= 0 or height <= 0:
        return [""] * max(height, 0)
    per_cell = 1 if ascii else 2
    shown: list[float | None] = [None] * (width * per_cell)
    recent = list(values)[-len(shown) :]
    shown[len(shown) - len(recent) :] = recent
    peak = top or max((value for value in shown if value is not None), default=0.0)
    steps = height * (len(_ASCII_FILL) - 1 if ascii else 4)
    levels = [_level(value, peak, steps) for value in shown]
    if ascii:
        return [_ascii_row(levels, row, height) for row in range(height)]
    return [_braille_row(levels, row, height) for row in range(height)]


def spark(values: Series, width: int, *, top: float | None = None, ascii: bool = False) -> str:
    """One line of ``width`` columns, a value each."""
    signs = _ASCII if ascii else _EIGHTHS
    shown = list(values)[-width:] if width > 0 else []
    peak = top or max((value for value in shown if value is not None), default=0.0)
    drawn = "".join(signs[_level(value, peak, len(signs) - 1)] for value in shown)
    return drawn.rjust(max(width, 0))


def bar(share: float | None, width: int, *, ascii: bool = False) -> tuple[str, str]:
    """What is filled of a bar of ``width`` columns, and what is not."""
    if share is None or width <= 0:
        return "", (" " if ascii else "·") * max(width, 0)
    share = min(max(share, 0.0), 1.0)
    full = round(share * width)
    if share > 0 and not full:
        full = 1  # a little is not nothing
    return ("#" if ascii else "━") * full, ("-" if ascii else "─") * (width - full)


def _level(value: float | None, peak: float, steps: int) -> int:
    """How many of ``steps`` are filled; a value over 0 fills at least one."""
    if value is None or value <= 0 or peak <= 0:
        return 0
    return max(1, min(steps, round(value / peak * steps)))


def _braille_row(levels: list[int], row: int, height: int) -> str:
    floor = (height - 1 - row) * 4
    cells = []
    for at in range(0, len(levels), 2):
        dots = 0
        if (one := min(levels[at] - floor, 4)) > 0:
            dots |= _LEFT[one - 1]
        if (two := min(levels[at + 1] - floor, 4)) > 0:
            dots |= _RIGHT[two - 1]
        cells.append(chr(_BLANK + dots) if dots else " ")
    return "".join(cells)


def _ascii_row(levels: list[int], row: int, height: int) -> str:
    most = len(_ASCII_FILL) - 1
    floor = (height - 1 - row) * most
    return "".join(_ASCII_FILL[max(0, min(level - floor, most))] for level in levels)
