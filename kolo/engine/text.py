"""From token pieces to text that may be shown: whole characters, and no stop string.

Pieces are bytes and may cut a character; a stop string may be spread over many pieces. What
is emitted is never taken back, and what was emitted, joined, is the whole answer.
"""

from __future__ import annotations

import codecs

_decoder = codecs.getincrementaldecoder("utf-8")


class Characters:
    """Token pieces to whole characters. Bytes of one never completed are left out."""

    def __init__(self) -> None:
        self._decoder = _decoder(errors="replace")
        self._pending = False

    def feed(self, piece: bytes) -> str:
        if not self._pending:
            try:
                return piece.decode()
            except UnicodeDecodeError:
                pass  # it cuts a character, or holds none
        text = self._decoder.decode(piece)
        self._pending = bool(self._decoder.getstate()[0])
        return text


class StopFilter:
    """Cuts an answer where the first of ``stops`` begins, which ``stopped`` then names.

    Holds back only an end of the text that may yet become a stop string.
    """

    def __init__(self, stops: list[str] | tuple[str, ...] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped: str | None = None

    def feed(self, text: str) -> str:
        """Add text; return what is now certain to be shown."""
        if not self._stops:
            return text
        if self.stopped is not None:
            return ""
        text = self._held + text
        hits = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            at, self.stopped = min(hits, key=lambda hit: (hit[0], -len(hit[1])))
            self._held = ""
            return text[:at]
        keep = self._ambiguous(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held

    def _ambiguous(self, text: str) -> int:
        """Length of the longest end of ``text`` that could begin a stop string."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            start = len(text) - length
            if text[start] in self._firsts and any(s.startswith(text[start:]) for s in self._stops):
                return length
        return 0
