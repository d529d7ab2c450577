"""The way out of unfinished JSON: a few tokens that complete it.

A small model at temperature 1 may never end a string or an array, and JSON cut off by
``max_tokens`` is worth nothing. From any state of a JSON constraint this looks for a short
continuation that completes the value, by trying bytes on copies of the matcher (microseconds
each): structure by preference (close, else go on with what is required, values with the fewest
bytes first), the inside of strings and numbers by breadth-first search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TRIES = 4000
"""Bytes tried before a search gives up; some 10 to 50 ms."""
_STRUCTURE = b'}],0tfn"[{: '
"""What may follow outside strings, best first; ``0`` stands for any number."""
_CLOSERS = b"}],"
_DIGITS = b"0123456789-.eE+"
_USUAL = b'a0A-.@/: \\"\x80\x90\xa0'
"""Bytes that most patterns can be met with; the last three go on with a character begun."""
_ANY = _USUAL + bytes(set(range(0x20, 0x7F)) - set(_USUAL)) + b"\xbf"
_KEPT_NUMBERS = 3
"""States kept at each length of those that look alike, they and the ones they come from; of
strings, one."""
_QUOTE = 0x22
_BACKSLASH = 0x5C

Step = tuple[list[int], Any]
"""Tokens, and the matcher after them."""
Kind = tuple[bool, ...]
"""How a state looks: which of some probed bytes may follow."""


@dataclass(frozen=True)
class Text:
    """Where in JSON the text so far ends."""

    in_string: bool = False
    escaped: bool = False

    def after(self, data: bytes) -> Text:
        """The place after ``data`` more."""
        if not self.in_string and _QUOTE not in data:
            return self
        in_string, escaped = self.in_string, self.escaped
        for byte in data:
            if escaped:
                escaped = False
            elif byte == _QUOTE:
                in_string = not in_string
            elif byte == _BACKSLASH:
                escaped = in_string
        return Text(in_string, escaped)


class Exit:
    """Searches for ways out with the tokens of one vocabulary.

    ``pieces`` are the bytes of every token, special ones led by 0xff. Matchers are llguidance's
    ``LLMatcher``; those given are not changed.
    """

    def __init__(self, pieces: Sequence[bytes], tokenize: Callable[[bytes], list[int]]) -> None:
        self._pieces = pieces
        self._tokenize = tokenize
        self._bytes = {piece[0]: token for token, piece in enumerate(pieces) if len(piece) == 1}
        self._longest = max(map(len, pieces), default=1)
        self._tries = 0

    def spell(self, data: bytes) -> list[int]:
        """Tokens for exactly ``data``: the tokenizer's, or byte by byte where those differ."""
        tokens = self._tokenize(data) if data else []
        if self._join(tokens) != data:
            tokens = [self._bytes[byte] for byte in data if byte in self._bytes]
        return tokens if self._join(tokens) == data else []

    def leads_out(self, matcher: Any, way: Sequence[int]) -> bool:
        """Whether ``way`` completes the value from here."""
        after = _advanced(matcher, way)
        return after is not None and bool(after.is_accepting())

    def find(self, matcher: Any, text: Text, limit: int) -> list[int] | None:
        """At most ``limit`` tokens that complete the value; None if no way was found.

        Depth first; the alternatives left behind wait in ``stack`` with their way so far.
        """
        self._tries = MAX_TRIES
        stack: list[tuple[Any, Text, list[int]]] = [(matcher, text, [])]
        while stack and self._tries > 0:
            matcher, text, way = stack.pop()
            if matcher.is_accepting():
                return way
            room = limit - len(way)
            steps = self._steps(matcher, text, room) if room > 0 else []
            for tokens, after in reversed(steps):
                if len(tokens) <= room:
                    stack.append((after, text.after(self._join(tokens)), way + tokens))
        return None

    def _steps(self, matcher: Any, text: Text, room: int) -> list[Step]:
        """What may be done next, best first."""
        if data := matcher.compute_ff_bytes():
            forced = self.spell(data) if len(data) <= room * self._longest else []
            after = _advanced(matcher, forced)
            return [(forced, after)] if forced and after is not None else []
        if text.in_string and not text.escaped:
            usual = self._leaf(matcher, _USUAL, b'"', room)
            return usual or self._leaf(matcher, _ANY, b'"', room)
        steps: list[Step] = []
        for byte in _STRUCTURE:
            if byte == _DIGITS[0]:
                steps += self._leaf(matcher, _DIGITS, _CLOSERS, room)
            elif (after := self._push(matcher, byte)) is not None:
                steps.append(([self._bytes[byte]], after))
                if byte in _CLOSERS:
                    break
        return steps

    def _leaf(self, matcher: Any, alphabet: bytes, ends: bytes, room: int) -> list[Step]:
        """The fewest bytes of ``alphabet`` after which one of ``ends``, or the end, may come."""
        if any(self._may(matcher, byte) for byte in ends):
            return self._ended([], matcher, ends)
        row: list[tuple[list[int], Any, Kind]] = [([], matcher, ())]
        kept = _KEPT_NUMBERS if alphabet is _DIGITS else 1
        while row and len(row[0][0]) < room and self._tries > 0:
            found: list[tuple[list[int], Any, Kind]] = []
            seen: dict[tuple[Kind, Kind], int] = {}
            for tokens, state, before in row:
                for byte in alphabet:
                    if (after := self._push(state, byte)) is None:
                        continue
                    way = [*tokens, self._bytes[byte]]
                    if ending := self._ended(way, after, ends):
                        return ending
                    kind = tuple(self._may(after, probe) for probe in alphabet[:9])
                    seen[before, kind] = seen.get((before, kind), 0) + 1
                    if seen[before, kind] <= kept:
                        found.append((way, after, kind))
            row = found
        return []

    def _ended(self, way: list[int], matcher: Any, ends: bytes) -> list[Step]:
        if way and matcher.is_accepting():
            return [(way, matcher)]
        for byte in ends:
            if (after := self._push(matcher, byte)) is not None:
                return [([*way, self._bytes[byte]], after)]
        return []

    def _push(self, matcher: Any, byte: int) -> Any | None:
        """A copy of ``matcher`` after ``byte``; None if it may not come."""
        return _advanced(matcher, [self._bytes[byte]]) if self._may(matcher, byte) else None

    def _may(self, matcher: Any, byte: int) -> bool:
        self._tries -= 1
        token = self._bytes.get(byte)
        return token is not None and matcher.validate_tokens([token]) == 1

    def _join(self, tokens: Iterable[int]) -> bytes:
        return b"".join(self._pieces[token] for token in tokens)


def _advanced(matcher: Any, tokens: Sequence[int]) -> Any | None:
    """A copy of ``matcher`` after ``tokens``; None if they may not come."""
    copy = matcher.deep_copy()
    return copy if copy.consume_tokens(list(tokens)) and not copy.is_error() else None
