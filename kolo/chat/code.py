"""Source code in colours that are right on a light terminal and on a dark one."""

from __future__ import annotations

from pygments import lex
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, String, _TokenType
from pygments.util import ClassNotFound
from rich.text import Text

FAINT = "dim"
_STYLES: dict[_TokenType, str] = {
    Comment: FAINT,
    Keyword: "magenta",
    Literal: "cyan",
    Name.Builtin: "cyan",
    Name.Class: "blue",
    Name.Decorator: "blue",
    Name.Function: "blue",
    Name.Tag: "blue",
    Number: "cyan",
    String: "green",
}
"""Of the sixteen colours alone, which each terminal fits to its background."""
TAB_CELLS = 4


def highlighted(source: str, language: str) -> list[Text]:
    """The lines of ``source``, not wrapped; plain where nobody knows the language."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        lexer = None
    text = Text(source)
    if lexer is not None:
        try:
            text = Text.assemble(*((value, _style_of(kind)) for kind, value in lex(source, lexer)))
        except Exception:  # a lexer's failure on what a model wrote costs colours, not the answer
            text = Text(source)
    lines = list(text.split("\n", allow_blank=True))
    for line in lines:
        line.expand_tabs(TAB_CELLS)
    return lines


def _style_of(kind: _TokenType) -> str:
    while kind.parent is not None:
        if kind in _STYLES:
            return _STYLES[kind]
        kind = kind.parent
    return ""
