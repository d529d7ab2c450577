"""Markdown as rows of styled text, for a terminal of some width.

CommonMark with tables and strikethrough. Line breaks stay where the model made them, HTML is
text like any other, and a link shows where it leads, since a terminal is read and copied from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from kolo.chat.code import FAINT, highlighted

RULE_CELLS = 40
MIN_CELLS = 8
"""What is nested so deep that less is left for it is as wide as this all the same."""
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_INLINE = {"strong": "bold", "em": "italic", "s": "strike"}
_HEADINGS = {"h1": "bold underline"}
_SIGNS = {"bullet": ("• ", "* "), "quote": ("│ ", "| "), "rule": ("─", "-")}
Lines = Sequence[str]


def parse(source: str) -> list[SyntaxTreeNode]:
    """The blocks of ``source``; ``map`` of each is its first line and the one after its last."""
    return [node for node in SyntaxTreeNode(_PARSER.parse(source)).children if node.map]


def is_list(node: SyntaxTreeNode) -> bool:
    return node.type in ("bullet_list", "ordered_list")


def after_blank(node: SyntaxTreeNode, lines: Lines) -> bool:
    """Whether the line before ``node`` is empty."""
    assert node.map is not None
    return node.map[0] > 0 and not lines[node.map[0] - 1].strip(" \t>")


class Renderer:
    """Rows of text from blocks. ``width`` is in cells and may change between two calls."""

    def __init__(self, width: int, *, unicode: bool = True) -> None:
        self.width = width
        self._unicode = unicode
        self._console = Console(
            file=StringIO(), width=width, force_terminal=True, legacy_windows=False
        )

    def block(self, node: SyntaxTreeNode, lines: Lines, width: int | None = None) -> list[Text]:
        """The rows of one block of the text whose lines are ``lines``."""
        width = max(self.width if width is None else width, MIN_CELLS)
        match node.type:
            case "heading":
                return self.wrapped(_inline(node, _HEADINGS.get(node.tag, "bold")), width)
            case "paragraph":
                return self.wrapped(_inline(node), width)
            case "bullet_list" | "ordered_list":
                return list(self._list(node, lines, width))
            case "blockquote":
                sign = self._sign("quote")
                return _beside(sign, sign, self._blocks(node, lines, width - 2), FAINT)
            case "fence":
                return self._fence(node, lines)
            case "code_block":
                return [Text("    ") + row for row in highlighted(node.content.rstrip("\n"), "")]
            case "hr":
                return [Text(self._sign("rule") * min(width, RULE_CELLS), FAINT)]
            case "table":
                return self._table(node, width)
            case _:
                assert node.map is not None
                return [Text(line) for line in lines[node.map[0] : node.map[1]]]

    def item(
        self, node: SyntaxTreeNode, lines: Lines, number: int | None, width: int | None = None
    ) -> list[Text]:
        """The rows of an item of a list; ``number`` of an ordered one."""
        width = max(self.width if width is None else width, MIN_CELLS)
        marker = self._sign("bullet") if number is None else f"{number}. "
        rows = self._blocks(node, lines, width - len(marker))
        return _beside(marker, " " * len(marker), rows or [Text()])

    def wrapped(self, text: Text, width: int | None = None) -> list[Text]:
        """``text`` broken at words, or within one that is too long."""
        rows = list(text.wrap(self._console, max(width or self.width, 1), overflow="fold"))
        for row in rows:
            row.rstrip()
        return rows

    def ansi(self, row: Text, *, colour: bool) -> str:
        """``row`` as a terminal takes it; without colour it keeps weight and slant."""
        styled = row.copy()
        styled.stylize_before(row.style)
        return "".join(_coded(part, colour) for part in styled.render(self._console))

    def _blocks(self, node: SyntaxTreeNode, lines: Lines, width: int) -> list[Text]:
        rows: list[Text] = []
        for child in node.children:
            if rows and after_blank(child, lines):
                rows.append(Text())
            rows += self.block(child, lines, width)
        return rows

    def _list(self, node: SyntaxTreeNode, lines: Lines, width: int) -> Iterator[Text]:
        for at, child in enumerate(node.children):
            if at and after_blank(child, lines):
                yield Text()
            yield from self.item(child, lines, number_of(node, at), width)

    def _fence(self, node: SyntaxTreeNode, lines: Lines) -> list[Text]:
        assert node.map is not None
        first, after = node.map
        rows = [fence_row(node.markup, node.info)]
        if node.content:
            rows += highlighted(node.content.removesuffix("\n"), language_of(node.info))
        if after - first > 1 and closes(lines[after - 1].strip(" \t>"), node.markup):
            rows.append(fence_row(node.markup))
        return rows

    def _table(self, node: SyntaxTreeNode, width: int) -> list[Text]:
        table = Table(
            box=box.SIMPLE_HEAD if self._unicode else box.MARKDOWN,
            pad_edge=False,
            show_edge=not self._unicode,
            border_style=FAINT,
            highlight=False,
        )
        head, *rest = [row for part in node.children for row in part.children]
        for cell in head.children:
            style = str(cell.attrs.get("style", ""))
            justify = next((side for side in ("right", "center") if side in style), "left")
            table.add_column(_inline(cell, "bold"), justify=justify)  # type: ignore[arg-type]
        for row in rest:
            table.add_row(*[_inline(cell) for cell in row.children])
        options = self._console.options.update(width=width)
        found = []
        for segments in self._console.render_lines(table, options, pad=False):
            line = Text()
            for part in segments:
                line.append(part.text, part.style)
            line.rstrip()
            found.append(line)
        return found

    def _sign(self, name: str) -> str:
        return _SIGNS[name][0 if self._unicode else 1]


def number_of(node: SyntaxTreeNode, at: int) -> int | None:
    """The number of item ``at`` of a list; None in a list of bullets."""
    return int(node.attrs.get("start", 1)) + at if node.type == "ordered_list" else None


def fence_row(markup: str, info: str = "") -> Text:
    """The line that opens or closes a code block; it is shown, so that one sees what to copy."""
    return Text(f"{markup}{info.strip()}", FAINT)


def language_of(info: str) -> str:
    """Of a fence's info string, such as ``python title="a.py"``."""
    return (info.split() or [""])[0].strip("{}.,")


def closes(line: str, markup: str) -> bool:
    """Whether ``line`` closes a code block that ``markup`` has opened (CommonMark, 4.5)."""
    text = line.rstrip()
    bare = text.lstrip(" ")
    run = set(bare) == {markup[0]} and len(bare) >= len(markup)
    return run and len(text) - len(bare) <= 3


def _beside(first: str, then: str, rows: list[Text], style: str = "") -> list[Text]:
    """``rows`` with something before each."""
    return [
        Text.assemble((then if at else first, style), row) if row or then.strip() or not at else row
        for at, row in enumerate(rows)
    ]


def _inline(node: SyntaxTreeNode, style: str = "") -> Text:
    text = Text(style=style)
    for child in node.children:
        _add(text, child, Style())
    return text


def _add(text: Text, node: SyntaxTreeNode, style: Style) -> None:
    match node.type:
        case "inline":
            pass
        case "text":
            text.append(node.content, style)
        case "code_inline":
            text.append(node.content, style + Style(color="cyan"))
        case "softbreak" | "hardbreak":
            text.append("\n")
        case "image":
            alt = "".join(child.content for child in node.children)
            text.append(f"[{alt or 'image'}]", style)
            text.append(f" ({node.attrs.get('src', '')})", Style(dim=True))
            return
        case name if name in _INLINE:
            style += Style.parse(_INLINE[name])
        case "link":
            style += Style(underline=True)
        case _:
            text.append(node.content, style)
    for child in node.children:
        _add(text, child, style)
    if node.type == "link":
        where = str(node.attrs.get("href", ""))
        if not text.plain.endswith(where.removeprefix("mailto:")):
            text.append(f" ({where})", Style(dim=True))


def _coded(part: Segment, colour: bool) -> str:
    style = part.style
    if style is None or not part.text.strip("\n"):
        return part.text.strip("\n")
    if not colour:
        style = Style(
            bold=style.bold, italic=style.italic, underline=style.underline, strike=style.strike
        )
    return style.render(part.text)
