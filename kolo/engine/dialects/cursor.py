"""Reading text that is still being written.

A parser is a generator: it yields when it needs more text and is resumed once there is some,
or once there will be none. What it decides depends on the text alone, never on how the text
was cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
Wait = Generator[None, None, T]
"""A parser that yields nothing but its wish for more text, and returns a ``T``."""

Sink = Callable[[str], None]

LONGEST_NAME = 256
"""Characters of a function or parameter name beyond which text is taken for prose."""

LONGEST_MARKER = 1024

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\s<>{}\[\]()\"'=,;|\uff5c`]*")


class Mismatch(Exception):
    """The text is not what a shape expects: it is no call, or none any more."""


class Finder:
    """Finds the first of several markers, or the beginning of one at the end of the text.

    No marker may begin with another one: which of the two is meant would depend on how much
    of the text has arrived.
    """

    __slots__ = ("markers", "search")

    def __init__(self, markers: Iterable[str]) -> None:
        self.markers = tuple(dict.fromkeys(markers))
        for marker in self.markers:
            for other in self.markers:
                if marker != other and other.startswith(marker):
                    raise ValueError(f"marker {marker!r} is the beginning of {other!r}")
        whole = "|".join(map(re.escape, self.markers))
        begun = "|".join(_prefixes(marker) for marker in self.markers if len(marker) > 1)
        pattern = f"({whole})" + (rf"|(?:{begun})\Z" if begun else "")
        self.search = re.compile(pattern).search


def _prefixes(marker: str) -> str:
    """A pattern of every proper beginning of ``marker``."""
    pattern = ""
    for char in reversed(marker[1:-1]):
        pattern = f"(?:{re.escape(char)}{pattern})?"
    return re.escape(marker[0]) + pattern


@lru_cache(maxsize=256)
def finder(markers: tuple[str, ...]) -> Finder:
    """The finder of these markers, made once."""
    return Finder(markers)


class Cursor:
    """The text not read yet, and the place a failed attempt goes back to."""

    __slots__ = ("_anchor", "ended", "pos", "text")

    def __init__(self) -> None:
        self.text = ""
        self.pos = 0
        self.ended = False
        self._anchor = -1

    def push(self, text: str) -> None:
        """Append what has arrived and let go of what has been read."""
        cut = self.pos if self._anchor < 0 else self._anchor
        self.text = self.text[cut:] + text
        self.pos -= cut
        if self._anchor > 0:
            self._anchor = 0

    def mark(self) -> None:
        """From here on text is kept, until ``rewind`` or ``release``."""
        self._anchor = self.pos

    def rewind(self) -> None:
        """Go back to the mark, if one is still set."""
        if self._anchor >= 0:
            self.pos = self._anchor

    def release(self) -> None:
        self._anchor = -1

    def char(self) -> Wait[str]:
        """The next character, not consumed; empty at the end."""
        while self.pos >= len(self.text):
            if self.ended:
                return ""
            yield
        return self.text[self.pos]

    def space(self) -> Wait[None]:
        """Skip whitespace."""
        while True:
            found = _SPACE.match(self.text, self.pos)
            if found:
                self.pos = found.end()
            if self.pos < len(self.text) or self.ended:
                return
            yield

    def accept(self, *literals: str) -> Wait[str]:
        """Consume and return the first of the literals that stands here; empty if none does.

        One that may still come to stand here is waited for before later ones are looked at.
        """
        while True:
            rest = self.text[self.pos : self.pos + LONGEST_MARKER]
            for literal in literals:
                if rest.startswith(literal):
                    self.pos += len(literal)
                    return literal
                if not self.ended and literal.startswith(rest):
                    break
            else:
                return ""
            yield

    def breaks_off(self, *literals: str) -> bool:
        """The text has ended inside one of the literals; what there is of it is consumed."""
        rest = self.text[self.pos : self.pos + LONGEST_MARKER]
        if not self.ended or not any(literal.startswith(rest) for literal in literals):
            return False
        self.pos = len(self.text)
        return True

    def stands(self, *literals: str) -> Wait[str]:
        """As ``accept``, but nothing is consumed."""
        found = yield from self.accept(*literals)
        self.pos -= len(found)
        return found

    def expect(self, *literals: str) -> Wait[str]:
        """As ``accept``; raises Mismatch when none stands here."""
        found = yield from self.accept(*literals)
        if not found:
            raise Mismatch
        return found

    def word(self) -> Wait[str]:
        """A name: everything up to whitespace, a bracket, a quote or another delimiter.

        Raises Mismatch when there is none, when it is too long, or when the text ends in it.
        """
        while True:
            found = _WORD.match(self.text, self.pos)
            end = found.end() if found else self.pos
            if end - self.pos > LONGEST_NAME or (end == len(self.text) and self.ended):
                raise Mismatch
            if end < len(self.text):
                break
            yield
        if end == self.pos:
            raise Mismatch
        word = self.text[self.pos : end]
        self.pos = end
        return word

    def through(self, literal: str, limit: int = LONGEST_NAME) -> Wait[str]:
        """The text before ``literal``, which is consumed too; Mismatch past ``limit``."""
        while True:
            end = self.text.find(literal, self.pos)
            if end >= 0 and end - self.pos <= limit:
                break
            if self.ended or len(self.text) - self.pos > limit + len(literal):
                raise Mismatch
            yield
        found = self.text[self.pos : end]
        self.pos = end + len(literal)
        return found

    def until(self, markers: Finder, sink: Sink, *, keep_rest: bool = True) -> Wait[str]:
        """Give ``sink`` the text before the first marker as it comes; return the marker.

        Only what may be the beginning of a marker is held back. Returns the empty string when
        the text ends first; what was held is then given away, too, if ``keep_rest``.
        """
        while True:
            text, pos = self.text, self.pos
            found = markers.search(text, pos)
            if found is None:
                if pos < len(text):
                    self.pos = len(text)
                    sink(text[pos:])
            else:
                start = found.start()
                self.pos = start
                if start > pos:
                    sink(text[pos:start])
                if found[1] is not None:
                    self.pos = found.end()
                    return found[1]
            if self.ended:
                if self.pos < len(self.text):
                    rest = self.text[self.pos :]
                    self.pos = len(self.text)
                    sink(rest if keep_rest else "")
                return ""
            yield
