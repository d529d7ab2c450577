"""Writing grammars for llguidance: Lark rules with JSON Schemas and special tokens in them.

Syntax: llguidance's docs/syntax.md. A marker that is one token of the vocabulary is matched by
its id, ``<[id]>``; one that is not is matched as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kolo.engine.constraint.schema import OPTIONS, prepare
from kolo.errors import BadGrammar

SPACING = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
"""JSON as models write it: compact, or with one space after commas and colons."""

NEWLINE = "\n"
"""Always a lexeme of its own: the lexer takes the longest that fits and never goes back, so
what may follow a newline must not begin with it."""

ANY_TEXT = "/(?s:.*)/"

_PARTS = re.compile(r"<[^<>\s]*>|\[[A-Z_/]+\]")


class Lark:
    """A grammar under construction. Rules refer to each other by the names ``add`` gives."""

    def __init__(self, special: Callable[[str], int | None], markers: Iterable[str]) -> None:
        found = {marker: special(marker) for marker in markers}
        self._tokens = {marker: token for marker, token in found.items() if token is not None}
        longest_first = sorted(self._tokens, key=len, reverse=True)
        pattern = "|".join(map(re.escape, [*longest_first, NEWLINE]))
        self._split = re.compile(f"({pattern})").split
        self._rules: list[str] = []
        self._names: dict[str, str] = {}

    def text(self, literal: str) -> str:
        """An expression for exactly this text."""
        return " ".join(
            f"<[{self._tokens[part]}]>" if part in self._tokens else _quoted(part)
            for part in self._split(literal)
            if part
        )

    def add(self, expression: str, *, terminal: bool = False, lazy: bool = False) -> str:
        """A rule of this expression; equal ones are one. Returns its name."""
        option = "[lazy]" if lazy else ""
        key = f"{terminal}{option}{expression}"
        if key not in self._names:
            name = f"{'T' if terminal else 'r'}{len(self._rules)}"
            self._names[key] = name
            self._rules.append(f"{name}{option}: {expression}")
        return self._names[key]

    def recursive(self, body: Callable[[str], str]) -> str:
        """A rule that refers to itself: ``body`` makes its expression from its name."""
        name = f"r{len(self._rules)}"
        self._rules.append("")
        at = len(self._rules) - 1
        self._rules[at] = f"{name}: {body(name)}"
        return name

    def json(self, schema: dict[str, Any]) -> str:
        """A JSON value of this schema. Raises BadGrammar for what cannot be guaranteed of it."""
        try:
            prepared = prepare(schema, "parameters")
        except BadGrammar as error:
            raise BadGrammar(error.message, hint=error.hint, param="tools") from error
        spaced = {**prepared.schema, "x-guidance": {**OPTIONS, **SPACING}}
        return self.add("%json " + json.dumps(spaced, ensure_ascii=False))

    def one_of(self, expressions: Iterable[str]) -> str:
        found = list(dict.fromkeys(expressions))
        return found[0] if len(found) == 1 else f"({' | '.join(found)})"

    def free(self, end: str, within: str = "") -> str:
        """Text up to the first ``end``, and ``end``; ``within`` is a pattern it must match."""
        as_tokens = any(part in self._tokens for part in self._split(end))
        if not within and not as_tokens:
            return self.add(f"{self._any()} {_quoted(end)}", lazy=True)
        unbroken = f"{within or ANY_TEXT} & ~/(?s:.*){_pattern(end)}(?s:.*)/"
        if as_tokens:
            return f"{self.add(unbroken, terminal=True)} {self.text(end)}"
        return self.add(f"({unbroken}) {_quoted(end)}", terminal=True)

    def _any(self) -> str:
        return self.add(ANY_TEXT, terminal=True)

    def source(self, start: str) -> str:
        """The whole grammar."""
        return "\n".join([f"start: {start}", *self._rules]) + "\n"


def sequence(items: Sequence[tuple[str, bool]], separator: str, lark: Lark) -> str:
    """The items in this order, those not required (False) each perhaps left out, with
    ``separator`` between those that are there. Empty if there are no items."""
    rest = ""
    starts: list[str] = []
    for item, required in reversed(items):
        starts = [f"{item} {rest}".strip()] + ([] if required else starts)
        following = f"{separator} {item}".strip()
        rest = lark.add(f"{following if required else f'({following})?'} {rest}".strip())
    if not starts:
        return ""
    some = lark.one_of(starts)
    return some if any(required for _, required in items) else f"({some})?"


def pieces_of(literal: str) -> set[str]:
    """The texts in ``literal`` that a vocabulary may hold as control tokens."""
    return {text for text in (literal, *_PARTS.findall(literal)) if len(text) > 2}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _pattern(text: str) -> str:
    """``text`` inside a ``/pattern/``."""
    return re.sub(r"([!-/:;=?@\[-`{-~])", r"\\\1", text).replace("\n", r"\n")
