"""Text with a role, in lines of an exact width: what every panel is made of.

A role names what a piece of text is for ("good", "dim"), never a colour; ``themes`` decides that.
Lines and blocks of lines are joined by plain functions, so that a whole screen is a value that
a test can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

_CONTROLS = {code: "·" for code in (*range(32), *range(127, 160), 0x200E, 0x200F, 0xFEFF)} | {
    code: "·" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
}


class Span(NamedTuple):
    text: str
    role: str = ""


Line = tuple[Span, ...]
Block = list[Line]


def clean(text: str) -> str:
    """``text`` from outside, with nothing left that could move a cursor or turn the writing."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_CONTROLS)


def cells(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int, *, end: str = "…") -> str:
    """``text`` in at most ``width`` columns, the loss marked."""
    if cells(text) <= width:
        return text
    if width <= cells(end):
        return end[: max(width, 0)]
    return set_cell_size(text, width - cells(end)).rstrip() + end


def left(text: str, width: int) -> str:
    """``text`` cut or filled up to exactly ``width`` columns."""
    text = cut(text, width)
    return text + " " * (width - cells(text))


def right(text: str, width: int) -> str:
    """As ``left``, with the text at the right end: for numbers."""
    text = cut(text, width)
    return " " * (width - cells(text)) + text


def line_width(line: Line) -> int:
    return sum(cells(span.text) for span in line)


def fit(spans: Iterable[Span], width: int) -> Line:
    """``spans`` as a line of exactly ``width`` columns."""
    kept: list[Span] = []
    room = width
    for span in spans:
        if room <= 0:
            break
        size = cells(span.text)
        if size > room:
            kept.append(Span(cut(span.text, room), span.role))
            room -= cells(kept[-1].text)
            break
        if size:
            kept.append(span)
            room -= size
    if room > 0:
        kept.append(Span(" " * room))
    return tuple(kept)


def spread(start: Sequence[Span], end: Sequence[Span], width: int) -> Line:
    """``start`` at the left and ``end`` at the right of ``width`` columns; the left one yields."""
    room = width - line_width(tuple(end))
    if room < 1:
        return fit(start, width)
    return (*fit(start, room), *end)


def beside(*blocks: Block) -> Block:
    """Blocks of one height, next to each other."""
    return [tuple(span for line in lines for span in line) for lines in zip(*blocks, strict=True)]


def tall(block: Iterable[Line], width: int, height: int) -> Block:
    """``block`` cut or filled up to exactly ``height`` lines of ``width`` columns."""
    kept = [fit(line, width) for line in block][:height]
    return kept + [(Span(" " * width),)] * (height - len(kept))


def padded(block: Block, width: int, height: int) -> Block:
    """``block``, of lines that are ``width`` wide, with blank ones up to ``height``."""
    return block[:height] + [(Span(" " * width),)] * (height - len(block))


def text_of(line: Line) -> str:
    """The line without its roles."""
    return "".join(span.text for span in line)


def recoloured(line: Line, role: str) -> Line:
    """The line in one role: dimmed, or under the cursor."""
    return (Span(text_of(line), role),)
