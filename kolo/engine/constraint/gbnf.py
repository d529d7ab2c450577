"""Reading GBNF, llama.cpp's grammar notation, with errors that name line and column.

The notation is that of llama.cpp's ``grammars/README.md`` and ``src/llama-grammar.cpp``: rules
``name ::= ...`` from ``root``, literals, character classes, ``.``, groups, ``* + ? {m,n}``,
comments, escapes, and tokens as ``<[id]>``, ``<text>`` or negated with ``!``.

Where llama.cpp lets pass what can only be a slip, this refuses: a rule defined twice, an empty
or reversed class, ``{m,n}`` with m over n. A repetition over 2000 times stays a bound instead of
becoming endless. NUL and surrogates, which no valid text holds, never match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from kolo.errors import BadGrammar

MAX_CODE_POINT = 0x10FFFF
MAX_GRAMMAR_CHARS = 1 << 18
MAX_GROUPS = 60
"""Parentheses within parentheses; llguidance's parser is recursive."""
MAX_REPEAT = 100_000

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Chars:
    """One code point out of sorted, disjoint, inclusive ranges."""

    ranges: Ranges


@dataclass(frozen=True)
class Token:
    id: int
    negated: bool


@dataclass(frozen=True)
class Ref:
    name: str


@dataclass(frozen=True)
class Seq:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Alt:
    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    item: Node
    least: int
    most: int | None


Node = Chars | Token | Ref | Seq | Alt | Repeat
EMPTY = Seq(())

TokenLookup = Callable[[str], int | None]
"""The id of the token written as ``<text>`` or ``<[id]>``; None if the model has none."""


def parse(text: str, lookup: TokenLookup) -> tuple[dict[str, Node], dict[str, int]]:
    """The rules of ``text`` by name in their order, and the line of each. Raises BadGrammar.

    Every reference is defined and ``root`` is there; nothing else is judged here.
    """
    parser = _Parser(text, lookup)
    rules = parser.parse()
    return rules, {name: parser.line(at) for name, at in parser.defined.items()}


_ESCAPES = {"t": 9, "r": 13, "n": 10, **{c: ord(c) for c in '\\"[]-'}}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class _Parser:
    def __init__(self, text: str, lookup: TokenLookup) -> None:
        self.text = text
        self.lookup = lookup
        self.at = 0
        self.defined: dict[str, int] = {}
        self.used: dict[str, int] = {}

    def parse(self) -> dict[str, Node]:
        if len(self.text) > MAX_GRAMMAR_CHARS:
            raise BadGrammar(
                f"grammar has {len(self.text)} characters, the limit is {MAX_GRAMMAR_CHARS}",
                hint="Write a smaller grammar.",
                param="grammar",
            )
        rules: dict[str, Node] = {}
        self.space(newlines=True)
        while self.at < len(self.text):
            start = self.at
            name = self.name("a rule name")
            self.space()
            if not self.text.startswith("::=", self.at):
                self.fail(f"expected ::= after {name!r}", "A rule is written: name ::= ...")
            if name in rules:
                self.at = start
                line = self.line(self.defined[name])
                self.fail(f"rule {name!r} is already defined on line {line}", "Rename one of them.")
            self.defined[name] = start
            self.at += 3
            self.space(newlines=True)
            rules[name] = self.alternatives(0)
            if self.peek() not in ("", "\r", "\n"):
                self.unexpected()
            self.space(newlines=True)
        for name, at in self.used.items():
            if name not in rules:
                self.at = at
                self.fail(f"rule {name!r} is not defined", f"Add a line: {name} ::= ...")
        if "root" not in rules:
            raise BadGrammar(
                "grammar has no rule 'root'",
                hint="Add a line that says what the whole answer is: root ::= ...",
                param="grammar",
            )
        return rules

    def alternatives(self, depth: int) -> Node:
        options = [self.sequence(depth)]
        while self.peek() == "|":
            self.at += 1
            self.space(newlines=True)
            options.append(self.sequence(depth))
        return alt(options)

    def sequence(self, depth: int) -> Node:
        items: list[Node] = []
        repeatable = False
        while char := self.peek():
            if char == '"':
                items.append(self.literal())
                repeatable = items[-1] != EMPTY
            elif char == "[":
                items.append(self.char_class())
                repeatable = True
            elif char == ".":
                self.at += 1
                items.append(Chars(normal([(0, MAX_CODE_POINT)])))
                repeatable = True
            elif char == "(":
                items.append(self.group(depth))
                repeatable = True
            elif char in "<!":
                items.append(self.token())
                repeatable = True
            elif char in _NAME:
                self.used.setdefault(name := self.name("a rule name"), self.at - len(name))
                items.append(Ref(name))
                repeatable = True
            elif char in "*+?{":
                if not repeatable:
                    self.fail(f"nothing for {char!r} to repeat", "Put an item before it.")
                items.append(self.repeat(items.pop()))
            else:
                break
            self.space(newlines=depth > 0)
        return seq(items)

    def group(self, depth: int) -> Node:
        start = self.at
        if depth >= MAX_GROUPS:
            self.fail(f"more than {MAX_GROUPS} groups within each other", "Name some as rules.")
        self.at += 1
        self.space(newlines=True)
        body = self.alternatives(depth + 1)
        if self.peek() != ")":
            if self.peek():
                self.unexpected()
            self.at = start
            self.fail("this ( is never closed", "Add the missing ).")
        self.at += 1
        return body

    def literal(self) -> Node:
        start = self.at
        self.at += 1
        chars: list[Node] = []
        while self.peek() != '"':
            if not self.peek():
                self.at = start
                self.fail("this string is never closed", 'Add the missing ".')
            code = self.code_point()
            chars.append(self.chars([(code, code)], start))
        self.at += 1
        return seq(chars)

    def char_class(self) -> Node:
        start = self.at
        self.at += 1
        negated = self.peek() == "^"
        self.at += negated
        ranges: list[tuple[int, int]] = []
        while self.peek() != "]":
            if not self.peek():
                self.at = start
                self.fail("this [ is never closed", "Add the missing ].")
            low = high = self.code_point()
            if self.peek() == "-" and self.peek(1) not in ("]", ""):
                self.at += 1
                high = self.code_point()
                if high < low:
                    self.fail("the range before this is reversed", "Write the lower end first.")
            ranges.append((low, high))
        self.at += 1
        if not ranges:
            self.at = start
            self.fail("empty character class", "Put characters between the brackets.")
        return self.chars(_complement(ranges) if negated else ranges, start)

    def chars(self, ranges: Iterable[tuple[int, int]], start: int) -> Chars:
        if not (found := normal(ranges)):
            self.at = start
            self.fail("this matches no character that text can hold", "Use another character.")
        return Chars(found)

    def code_point(self) -> int:
        char = self.text[self.at]
        if char != "\\":
            self.at += 1
            return ord(char)
        kind = self.peek(1)
        if kind in _ESCAPES and kind:
            self.at += 2
            return _ESCAPES[kind]
        size = _HEX_DIGITS.get(kind, 0)
        digits = self.text[self.at + 2 : self.at + 2 + size]
        if not size or len(digits) < size or not all(c in "0123456789abcdefABCDEF" for c in digits):
            self.fail(
                f"unknown escape {self.text[self.at : self.at + 2 + size]!r}",
                r"Escapes are \n \r \t \\ \" \[ \] \- \xNN \uNNNN \UNNNNNNNN.",
            )
        if (value := int(digits, 16)) > MAX_CODE_POINT:
            self.fail(f"\\{kind}{digits} is beyond Unicode", "The last code point is 10FFFF.")
        self.at += 2 + size
        return value

    def token(self) -> Node:
        start = self.at
        negated = self.peek() == "!"
        self.at += negated
        end = self.text.find(">", self.at)
        if self.peek() != "<" or end < 0:
            self.at = start
            self.fail("this token is not written as <text> or <[id]>", "Close it with >.")
        name = self.text[self.at : end + 1]
        inner = name[1:-1]
        if inner.startswith("["):
            digits = inner[1:-1]
            known = inner.endswith("]") and digits.isascii() and digits.isdigit()
            found = self.lookup(f"<[{int(digits[:12])}]>") if known else None
        else:
            found = self.lookup(name)
        if found is None:
            self.at = start
            self.fail(f"this model has no token {name}", "Name one token of its vocabulary.")
        self.at = end + 1
        return Token(found, negated)

    def repeat(self, item: Node) -> Node:
        char = self.peek()
        start = self.at
        self.at += 1
        if char != "{":
            return Repeat(item, int(char == "+"), 1 if char == "?" else None)
        self.space()
        least = self.number()
        most: int | None = least
        if self.peek() == ",":
            self.at += 1
            self.space()
            most = self.number() if self.peek().isdigit() else None
        if self.peek() != "}":
            self.fail("expected } here", "Repetition is written {m}, {m,} or {m,n}.")
        self.at += 1
        if most is not None and most < least:
            self.at = start
            self.fail("this repetition has its bounds reversed", "Write the lower bound first.")
        return EMPTY if most == 0 else Repeat(item, least, most)

    def number(self) -> int:
        start = self.at
        while self.peek() and self.peek() in "0123456789":
            self.at += 1
        digits = self.text[start : self.at]
        if not digits or len(digits) > 9 or int(digits) > MAX_REPEAT:
            self.at = start
            self.fail("expected a count here", f"A whole number up to {MAX_REPEAT}.")
        self.space()
        return int(digits)

    def name(self, what: str) -> str:
        start = self.at
        while self.peek() and self.peek() in _NAME:
            self.at += 1
        if self.at == start:
            self.fail(
                f"expected {what}, found {self.peek()!r}",
                "A rule goes on over lines only within parentheses or after a | at a line's end.",
            )
        return self.text[start : self.at]

    def space(self, *, newlines: bool = False) -> None:
        blank = " \t\r\n" if newlines else " \t"
        while char := self.peek():
            if char == "#":
                while self.peek() not in ("", "\r", "\n"):
                    self.at += 1
            elif char in blank:
                self.at += 1
            else:
                break

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.text[at] if at < len(self.text) else ""

    def line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def unexpected(self) -> NoReturn:
        self.fail(f"unexpected {self.peek()!r}", "See llama.cpp's grammars/README.md.")

    def fail(self, message: str, hint: str) -> NoReturn:
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        raise BadGrammar(
            f"grammar line {self.line(self.at)}, column {column}: {message}",
            hint=hint,
            param="grammar",
        )


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and disjoint, without NUL and surrogates, which no valid text holds."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    parts = ((1, 0xD7FF), (0xE000, MAX_CODE_POINT))
    cut = ((max(a, low), min(b, high)) for low, high in merged for a, b in parts)
    return tuple((low, high) for low, high in cut if low <= high)


def _complement(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    left: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            left.append((start, low - 1))
        start = max(start, high + 1)
    return [*left, (start, MAX_CODE_POINT)] if start <= MAX_CODE_POINT else left


def seq(items: Sequence[Node]) -> Node:
    flat: list[Node] = []
    for item in items:
        flat.extend(item.items if isinstance(item, Seq) else (item,))
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(options: Sequence[Node]) -> Node:
    return options[0] if len(options) == 1 else Alt(tuple(options))
