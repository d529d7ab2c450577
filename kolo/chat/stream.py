"""An answer in Markdown as it comes: which rows will not change any more, and which still may.

A block is finished when the next one has begun, an item of a list when the next item has, a line
of code when it is whole. What is finished is given out once, for the scrollback; the rest is
rendered anew for each picture, and is kept short, so that a picture costs the same however long
the answer is.
"""

from __future__ import annotations

from typing import NamedTuple

from markdown_it.tree import SyntaxTreeNode
from rich.text import Text

from kolo.chat.code import FAINT, highlighted
from kolo.chat.markdown import (
    Renderer,
    after_blank,
    closes,
    fence_row,
    is_list,
    language_of,
    number_of,
    parse,
)

LONG_ROWS = 12
"""A paragraph that is longer is given out in parts."""
CLEAR_CHARS = 8


class _Unit(NamedTuple):
    """A block, or an item of a list."""

    node: SyntaxTreeNode
    number: int | None
    """Of an item of an ordered list."""
    line: int
    """Where it begins."""
    spaced: bool
    """There is an empty line before it."""

    @property
    def is_item(self) -> bool:
        return self.node.type == "list_item"


class _Code:
    """A code block that is open."""

    def __init__(self, node: SyntaxTreeNode, opening: str) -> None:
        self.markup = node.markup
        self._language = language_of(node.info)
        self._indent = len(opening) - len(opening.lstrip(" "))
        self._source = ""
        self._given = 0

    def add(self, line: str) -> None:
        """A whole line, its line break included."""
        spaces = len(line) - len(line.lstrip(" "))
        self._source += line[min(spaces, self._indent) :]

    def rows(self, partial: str = "") -> list[Text]:
        """Rows that ``given`` has not counted yet, and that of a line that is not whole."""
        source = self._source + partial
        if not source:
            return []
        return highlighted(source.removesuffix("\n"), self._language)[self._given :]

    def given(self, rows: list[Text]) -> None:
        self._given += len(rows)


class MarkdownStream:
    """Feed it text; ``finished`` gives rows out once, ``pending`` shows what may still change."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._rest = ""
        self._code: _Code | None = None
        self._number: int | None = None
        """What an ordered list goes on with, of which some items were given out."""
        self._began = False
        self._spaced = False
        """There was an empty line before what is left."""

    def feed(self, text: str) -> None:
        self._rest += text

    def finished(self, *, last: bool = False) -> list[Text]:
        """Rows that will not change; with ``last`` all, since nothing more will come."""
        rows: list[Text] = []
        while True:
            before = len(self._rest), self._code
            rows += self._code_lines(last) if self._code else self._blocks(last)
            if not self._rest or before == (len(self._rest), self._code):
                return rows

    def pending(self) -> list[Text]:
        """The rows of what has come and may still change."""
        if self._code is not None:
            return self._code.rows(self._rest) if self._rest else []
        lines = self._rest.split("\n")
        rows: list[Text] = []
        for unit in self._units(self._rest):
            rows += self._rows(unit, lines, began=self._began or bool(rows))
        return rows

    def _blocks(self, last: bool) -> list[Text]:
        source = self._rest if last else self._clear()
        units = self._units(source)
        if not units:
            if not last:
                return self._part_of_a_long_one()
            self._rest = ""
            return []
        lines = source.split("\n")
        rows: list[Text] = []
        tail = units[-1]
        fenced = tail.node.type == "fence" and not tail.is_item
        for unit in units if last and not fenced else units[:-1]:
            rows += self._rows(unit, lines, began=self._began)
            self._began = True
        if fenced:
            return rows + self._open(tail, lines)
        if last:
            self._rest = ""
        else:
            self._cut(tail, lines)
            rows += self._part_of_a_long_one()
        return rows

    def _clear(self) -> str:
        """What has come but a last line of which it cannot be said yet what it begins."""
        whole = self._rest.rfind("\n") + 1
        partial = self._rest[whole:].strip()
        clear = len(partial) >= CLEAR_CHARS and not partial.startswith(("```", "~~~"))
        return self._rest if clear else self._rest[:whole]

    def _units(self, source: str) -> list[_Unit]:
        lines = source.split("\n")
        units: list[_Unit] = []
        for at, node in enumerate(parse(source)):
            assert node.map is not None
            spaced = after_blank(node, lines) or (at == 0 and self._spaced)
            if not is_list(node):
                units.append(_Unit(node, None, node.map[0], spaced))
                continue
            start = number_of(node, 0)
            if at == 0 and start is not None and self._number is not None:
                start = self._number
            for index, item in enumerate(node.children):
                assert item.map is not None
                number = None if start is None else start + index
                if index:
                    spaced = after_blank(item, lines)
                units.append(_Unit(item, number, item.map[0], spaced))
        return units

    def _rows(self, unit: _Unit, lines: list[str], *, began: bool) -> list[Text]:
        gap = [Text()] if began and unit.spaced else []
        if unit.is_item:
            return gap + self._renderer.item(unit.node, lines, unit.number)
        return gap + self._renderer.block(unit.node, lines)

    def _cut(self, tail: _Unit, lines: list[str]) -> None:
        """Leave the last unit, and what is not a whole line yet."""
        skipped = sum(len(line) + 1 for line in lines[: tail.line])
        self._rest = self._rest[skipped:]
        self._spaced = tail.spaced
        self._number = tail.number if tail.is_item else None

    def _open(self, tail: _Unit, lines: list[str]) -> list[Text]:
        """Begin a code block: its first line is given out, and the others as they come."""
        gap = [Text()] if self._began and tail.spaced else []
        opening = lines[tail.line]
        self._code = _Code(tail.node, opening)
        skipped = sum(len(line) + 1 for line in lines[: tail.line + 1])
        self._rest = self._rest[skipped:]
        self._began, self._spaced, self._number = True, False, None
        return [*gap, fence_row(tail.node.markup, tail.node.info)]

    def _code_lines(self, last: bool) -> list[Text]:
        code = self._code
        assert code is not None
        end: list[Text] = []
        while self._rest:
            line, found, rest = self._rest.partition("\n")
            if not found and not last:
                break
            self._rest = rest
            if closes(line, code.markup):
                end = [fence_row(code.markup)]
                self._code = None
                break
            code.add(line + found)
        rows = code.rows()
        code.given(rows)
        if last and not self._rest:
            self._code = None
        return rows + end

    def _part_of_a_long_one(self) -> list[Text]:
        """Of a paragraph that is too long to be rendered again and again, the rows that are as
        they will be: found by rendering both parts alone, and so never within an emphasis."""
        units = self._units(self._rest)
        if len(units) != 1 or units[0].node.type != "paragraph":
            return []
        lines = self._rest.split("\n")
        all_rows = self._renderer.block(units[0].node, lines)
        if len(all_rows) <= LONG_ROWS:
            return []
        for n in range(len(all_rows) - LONG_ROWS // 2, 0, -1):
            head, tail = _after_words(
                self._rest, sum(len(row.plain.split()) for row in all_rows[:n])
            )
            if self._same(head, all_rows[:n]) and self._same(tail, all_rows[n:]):
                gap = [Text()] if self._began and units[0].spaced else []
                self._rest, self._began, self._spaced = tail, True, False
                return gap + all_rows[:n]
        return []

    def _same(self, source: str, rows: list[Text]) -> bool:
        nodes = parse(source)
        if len(nodes) != 1 or nodes[0].type != "paragraph":
            return False
        alone = self._renderer.block(nodes[0], source.split("\n"))
        return [row.plain for row in alone] == [row.plain for row in rows]


class ThoughtStream:
    """What a model thinks, as plain text in the background; the same two questions."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._rest = ""
        self._began = False

    def feed(self, text: str) -> None:
        self._rest += text

    def finished(self, *, last: bool = False) -> list[Text]:
        source, found, self._rest = self._rest.rpartition("\n")
        if last:
            source, self._rest = (source + found + self._rest).rstrip(), ""
        elif not found:
            return self._full_rows()
        rows = self._rows(source) if source or not last else []
        self._began = self._began or bool(rows)
        return rows

    def pending(self) -> list[Text]:
        return self._rows(self._rest) if self._rest else []

    def _full_rows(self) -> list[Text]:
        """Of a line that goes on, the rows that are full: words only come after them."""
        rows = self._rows(self._rest)
        if len(rows) <= LONG_ROWS:
            return []
        full = rows[: len(rows) - LONG_ROWS // 2]
        _, self._rest = _after_words(self._rest, sum(len(row.plain.split()) for row in full))
        return full

    def _rows(self, source: str) -> list[Text]:
        return self._renderer.wrapped(Text(source, FAINT))


def _after_words(source: str, n: int) -> tuple[str, str]:
    """``source`` cut after its first ``n`` words."""
    parts = source.split(None, n)
    if len(parts) <= n:
        return source, ""
    at = len(source) - len(parts[n])
    return source[:at], source[at:]
