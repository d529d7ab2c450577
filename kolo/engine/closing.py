"""The shortest way out of unfinished JSON: which tokens still close it.

A small model at temperature 1 may never end a string or an array, and JSON cut off by
``max_tokens`` is worth nothing. From any state of a JSON constraint this looks for a short
continuation that completes the value, by trying bytes on copies of the matcher (a few
microseconds each): structure by preference (close, else go on with what is required, values
with the fewest bytes first), the inside of strings and numbers by breadth-first search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TRIES = 3000
"""States looked at before giving up; some 20 ms."""
_STRUCTURE = b'}],0123456789-ntf"[{: .eE+'
_DIGITS = b"0123456789.-eE+"
_AFTER_NUMBER = b"}],"
_INSIDE = b"""a0 AzZ9fF1bB-_.,:;/@#+*=()[]{}<>!?'$%&|~^`x\\n"""
_PROBES = b'"a0AF-. @/:'
"""Bytes by which two states of a string are told apart while searching."""
_PER_KIND = 3
_QUOTE = 0x22
_BACKSLASH = 0x5C


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
        self._tries = 0

    def spell(self, data: bytes) -> list[int]:
        """Tokens for exactly ``data``: the tokenizer's, or byte by byte where those differ."""
        tokens = self._tokenize(data) if data else []
        if self._join(tokens) != data:
            tokens = [self._bytes[byte] for byte in data if byte in self._bytes]
        return tokens if self._join(tokens) == data else []

    def find(self, matcher: Any, text: Text, limit: int) -> list[int] | None:
        """At most ``limit`` tokens that complete the value; None if no way was found."""
        for reach in (*(n for n in (12, 48, 192) if n < limit), limit):
            self._tries = MAX_TRIES
            if (found := self._walk(matcher.deep_copy(), text, reach)) is not None:
                return found
        return None

    def _walk(self, matcher: Any, text: Text, reach: int) -> list[int] | None:
        """Depth first; the alternatives left behind wait in ``stack`` with their way so far."""
        stack: list[tuple[Any, Text, list[int]]] = [(matcher, text, [])]
        while stack and self._tries > 0:
            matcher, text, way = stack.pop()
            self._tries -= 1
            if matcher.is_accepting():
                return way
            if len(way) < reach:
                steps = self._steps(matcher, text, reach - len(way))
                stack += [
                    (after, text.after(self._join(tokens)), way + tokens)
                    for tokens, after in reversed(steps)
                ]
        return None

    def _steps(self, matcher: Any, text: Text, reach: int) -> list[tuple[list[int], Any]]:
        """What may be done next, best first: tokens and the matcher after them."""
        if forced := self.spell(matcher.compute_ff_bytes()):
            after = self._after(matcher, forced)
            return [(forced, after)] if after is not None and len(forced) <= reach else []
        if text.in_string and not text.escaped:
            return self._leaf(matcher, _INSIDE, b'"', reach)
        steps: list[tuple[list[int], Any]] = []
        for byte in _STRUCTURE:
            if byte in _DIGITS:
                if not steps and (found := self._leaf(matcher, _DIGITS, _AFTER_NUMBER, reach)):
                    return found
            elif (after := self._push(matcher, byte)) is not None:
                steps.append(([self._bytes[byte]], after))
                if byte in _AFTER_NUMBER:
                    break
        return steps

    def _leaf(
        self, matcher: Any, alphabet: bytes, ends: bytes, reach: int
    ) -> list[tuple[list[int], Any]]:
        """The fewest bytes of ``alphabet`` after which a byte of ``ends`` may come."""
        row: list[tuple[list[int], Any]] = [([], matcher)]
        while row and len(row[0][0]) < reach:
            found: list[tuple[list[int], Any]] = []
            kinds: dict[tuple[bool, ...], int] = {}
            for tokens, state in row:
                if tokens and state.is_accepting():
                    return [(tokens, state)]
                for byte in ends:
                    if (after := self._push(state, byte)) is not None:
                        return [([*tokens, self._bytes[byte]], after)]
                for byte in alphabet:
                    if (after := self._push(state, byte)) is None:
                        continue
                    kind = tuple(self._may(after, probe) for probe in _PROBES)
                    kinds[kind] = kinds.get(kind, 0) + 1
                    if kinds[kind] <= _PER_KIND:
                        found.append(([*tokens, self._bytes[byte]], after))
            row = found
            if self._tries <= 0:
                break
        return []

    def _push(self, matcher: Any, byte: int) -> Any | None:
        """A copy of ``matcher`` after ``byte``; None if it may not come."""
        self._tries -= 1
        if not self._may(matcher, byte):
            return None
        return self._after(matcher, [self._bytes[byte]])

    def _may(self, matcher: Any, byte: int) -> bool:
        token = self._bytes.get(byte)
        return token is not None and matcher.validate_tokens([token]) == 1

    def _after(self, matcher: Any, tokens: Iterable[int]) -> Any | None:
        copy = matcher.deep_copy()
        return copy if copy.consume_tokens(list(tokens)) and not copy.is_error() else None

    def _join(self, tokens: Iterable[int]) -> bytes:
        return b"".join(self._pieces[token] for token in tokens)
