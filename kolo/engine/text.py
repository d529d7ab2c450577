"""From token pieces to text that may be shown: whole characters, and no stop string.

Pieces are bytes and may cut a character; a stop string may be spread over many pieces. What
is emitted is never taken back, and what was emitted, joined, is the whole answer.
"""

from __future__ import annotations

import codecs

_decoder = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Text of one choice. ``stopped`` is the stop string that ended it, or None."""

    def __init__(self, stops: list[str] | tuple[str, ...] = ()) -> None:
        self._decode = _decoder(errors="replace").decode
        self._stops = tuple(stop for stop in stops if stop)
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped: str | None = None

    def feed(self, piece: bytes) -> str:
        """Add a token's bytes; return the text that is now certain."""
        text = self._decode(piece)
        if not self._stops:
            return text
        return self._filter(self._held + text)

    def finish(self) -> str:
        """What was held back. Bytes of a character never completed are left out."""
        held, self._held = self._held, ""
        return held

    def _filter(self, text: str) -> str:
        hits = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            at, self.stopped = min(hits, key=lambda hit: (hit[0], -len(hit[1])))
            self._held = ""
            return text[:at]
        keep = self._ambiguous(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _ambiguous(self, text: str) -> int:
        """Length of the longest end of ``text`` that could begin a stop string."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            start = len(text) - length
            if text[start] in self._firsts and any(s.startswith(text[start:]) for s in self._stops):
                return length
        return 0
