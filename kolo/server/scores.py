"""Which tokens an answer's text is made of.

A model writes more than is shown: the token that ends its turn, a stop text, thoughts, the
markup of tool calls. OpenAI's ``logprobs`` have the tokens of what is shown, and joined they are
that text.
"""

from __future__ import annotations

from collections import deque

from kolo.types import Delta, TokenLogprob


class Shown:
    """Of the tokens of one choice, those of its text, as it comes."""

    def __init__(self) -> None:
        self._waiting: deque[TokenLogprob] = deque()
        """Written, and not yet shown to the end."""
        self._n_shown = 0
        """Bytes of the first of them that were."""
        self._hidden = False
        """Something else than text was written since the last text."""

    def feed(self, delta: Delta) -> list[TokenLogprob]:
        """The tokens whose text is there by now. One that a stop text cuts, or that is part
        markup, is told by the part that is shown."""
        self._waiting.extend(delta.logprobs)
        self._hidden = self._hidden or bool(delta.reasoning or delta.tool_calls)
        found = self._of(delta.text.encode()) if delta.text else []
        if delta.finish is not None:
            found += self._leave()
        return found

    def _of(self, text: bytes) -> list[TokenLogprob]:
        written = b"".join(token.raw for token in self._waiting)
        begin = self._n_shown
        if self._hidden or not written.startswith(text, begin):
            begin = written.rfind(text, begin)
        self._hidden = False
        end = begin + len(text)
        if begin < 0:  # bytes that are no character were replaced in it
            begin, end = self._n_shown, len(written)
        if begin == self._n_shown:
            found, begin = [], 0  # it goes on, a token that was shown in part with it
        else:
            found = self._leave()
        at = 0
        while self._waiting and at + len(self._waiting[0].raw) <= end:
            token = self._waiting.popleft()
            at += len(token.raw)
            if at > begin:
                found.append(_cut(token, token.raw[max(begin - at, -len(token.raw)) :]))
        self._n_shown = max(end - at, 0)
        return found

    def _leave(self) -> list[TokenLogprob]:
        """The token that is shown in part, and of which no more will be."""
        if not self._n_shown:
            return []
        first = self._waiting[0]
        shown, self._n_shown = self._n_shown, 0
        return [_cut(first, first.raw[:shown])]


def _cut(token: TokenLogprob, raw: bytes) -> TokenLogprob:
    if raw == token.raw:
        return token
    text = raw.decode("utf-8", "replace")
    return TokenLogprob(token.token, text, raw, token.logprob, token.top)


def n_characters(raw: bytes) -> int:
    """Characters that begin in some bytes of UTF-8."""
    return sum(byte & 0xC0 != 0x80 for byte in raw)
