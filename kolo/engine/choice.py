"""One answer being written: from a row of logits to what the caller sees of it.

A request with ``n`` answers has ``n`` choices, each a sequence of its own to the scheduler. A
choice draws its token, keeps its grammar and its sampler in step, turns pieces into text, text
into content, reasoning and tool calls, and knows when it is over.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from kolo.engine.backend import Logits, Vocab
from kolo.engine.candidates import top_logprobs
from kolo.engine.dialects import Piece, Reader
from kolo.engine.either import Either
from kolo.engine.grammar import Matcher
from kolo.engine.sampling import Sampler
from kolo.engine.scheduler import Sequence
from kolo.engine.text import Characters, StopFilter
from kolo.types import Delta, FinishReason, TokenLogprob, ToolCallDelta


@dataclass(frozen=True, slots=True)
class Rules:
    """What all choices of a request share."""

    max_tokens: int
    """Already cut to what the context has room for."""
    min_tokens: int = 0
    stops: tuple[str, ...] = ()
    turn_ends: tuple[str, ...] = ()
    """By which the model's family, or the load, ends a turn; they stop like ``stops``, untold."""
    logprobs: bool = False
    top_logprobs: int = 0
    reasoning_budget: int | None = None
    reasoning_close: array[int] = field(default_factory=lambda: array("i"))
    """Tokens that end a reasoning block, forced when the budget is spent."""
    markers: frozenset[str] = frozenset()
    """Control tokens whose text the dialect reads; others are not shown to it."""


class Choice:
    def __init__(
        self,
        request_id: int,
        index: int,
        sequence: Sequence,
        rules: Rules,
        vocab: Vocab,
        sampler: Sampler,
        matcher: Matcher | Either | None,
        reader: Reader,
    ) -> None:
        self.request_id = request_id
        self.index = index
        self.sequence = sequence
        self.n_generated = 0
        self.n_reasoning = 0
        self.n_guessed = 0
        self.n_guessed_right = 0
        self.finish: FinishReason | None = None
        self.prompt_logprobs: list[TokenLogprob | None] = [None]
        self._rules = rules
        self._vocab = vocab
        self._sampler = sampler
        self._matcher = matcher
        self._reader = reader
        self._characters = Characters()
        self._stop = StopFilter((*rules.stops, *rules.turn_ends))
        self._content = self._reasoning = ""
        self._tool_calls: list[ToolCallDelta] = []
        self._logprobs: list[TokenLogprob] = []
        self._forced: deque[int] = deque()
        self._unsent = 0
        self._looked = 0
        self._new_line = False
        self._eog = np.fromiter(vocab.eog, dtype=np.int32, count=len(vocab.eog))

    def advance(self, row: Logits) -> Delta | None:
        """Take the logits of this choice's last token; return what the caller gains, if any."""
        if self._rules.max_tokens == 0:
            return self._end("length")
        raw = row.copy() if self._rules.logprobs else row
        token = self._forced.popleft() if self._forced else self._draw(row)
        self._accept(token)
        if self._rules.logprobs:
            self._logprobs.append(self._logprob(raw, token))
        if token in self._vocab.eog:
            return self._end("stop")
        piece = self._vocab.piece(token) or self._marker(token)
        self._gain(self._reader.feed(self._characters.feed(piece)))
        if self._over():
            return self._end("stop")
        if self.n_generated >= self._rules.max_tokens:
            return self._end("length")
        return self._delta()

    @property
    def n_left(self) -> int:
        """Tokens it may still gain."""
        return self._rules.max_tokens - self.n_generated

    def has_new_line(self) -> bool:
        """Whether it has written a line break. Looks at each token once, when asked."""
        tokens, piece = self.sequence.tokens, self._vocab.piece
        start = max(len(tokens) - self.n_generated, self._looked)
        self._looked = len(tokens)
        self._new_line = self._new_line or any(b"\n" in piece(token) for token in tokens[start:])
        return self._new_line

    def advance_prompt(self, rows: Logits, start: int) -> None:
        """Score prompt tokens ``start + 1`` and on, each by the row before it."""
        tokens = self.sequence.tokens
        for offset, row in enumerate(rows):
            if start + offset + 1 < len(tokens):
                self.prompt_logprobs.append(self._logprob(row, tokens[start + offset + 1]))

    def close(self) -> None:
        self._sampler.close()

    # Drawing ------------------------------------------------------------------------------

    def _draw(self, row: Logits) -> int:
        if self.n_generated < self._rules.min_tokens:
            row[self._eog] = -np.inf
        sampler = self._sampler
        if not sampler.plain:
            sampler.prepare(row)
        token = sampler.pick(row)
        matcher = self._matcher
        if matcher is None or self._reader.reasoning_open:
            return token
        if not matcher.allows(token):
            np.copyto(row, -np.inf, where=~matcher.mask())
            token = sampler.pick(row)
        return matcher.steer(token, self.n_left)

    def _accept(self, token: int) -> None:
        if self._matcher is not None and not self._reader.reasoning_open:
            self._matcher.accept(token)
        if not self._sampler.plain:
            self._sampler.accept(token)
        self.sequence.tokens.append(token)
        self.n_generated += 1
        self._unsent += 1
        if self._reader.reasoning_open:
            self._spend_reasoning()

    def _spend_reasoning(self) -> None:
        self.n_reasoning += 1
        budget = self._rules.reasoning_budget
        if budget is not None and self.n_reasoning == max(budget, 1) and not self._forced:
            self._forced.extend(self._rules.reasoning_close)

    def _over(self) -> bool:
        """Nothing more can or may follow: a stop string, a grammar at its end, the one call."""
        if self._stop.stopped is not None or self._reader.done:
            return True
        matcher = self._matcher
        return matcher is not None and not self._reader.reasoning_open and matcher.finished

    # What is shown ------------------------------------------------------------------------

    def _marker(self, token: int) -> bytes:
        if not self._rules.markers:
            return b""
        text = self._vocab.marker(token)
        return text.encode() if text in self._rules.markers else b""

    def _gain(self, piece: Piece) -> None:
        """Add what the reader made of some text to the next delta."""
        if piece.content:
            self._content += self._stop.feed(piece.content)
        if piece.reasoning:
            self._reasoning += piece.reasoning
        if piece.tool_calls:
            self._tool_calls += piece.tool_calls

    def _delta(self) -> Delta | None:
        if not (self._content or self._reasoning or self._tool_calls or self._logprobs):
            return None
        delta = Delta(
            self.request_id,
            self.index,
            self._content,
            self._unsent,
            self._reasoning,
            self._tool_calls,
            self._logprobs,
            slot=self._slot_id(),
        )
        self._unsent = 0
        self._content = self._reasoning = ""
        self._tool_calls, self._logprobs = [], []
        return delta

    def _end(self, reason: FinishReason) -> Delta:
        self._gain(self._reader.finish())
        if self._stop.stopped is None:
            self._content += self._stop.finish()
        called = self._reader.called and reason == "stop"
        self.finish = "tool_calls" if called else reason
        return Delta(
            self.request_id,
            self.index,
            self._content,
            self._unsent,
            self._reasoning,
            self._tool_calls,
            self._logprobs,
            self.finish,
            self._stop.stopped if self._stop.stopped in self._rules.stops else None,
            self._slot_id(),
        )

    def _slot_id(self) -> int:
        slot = self.sequence.slot
        return -1 if slot is None else slot.id

    def _logprob(self, row: Logits, token: int) -> TokenLogprob:
        logprob, best = top_logprobs(row, token, self._rules.top_logprobs)
        raw = self._raw(token)
        top = [
            (other, (data := self._raw(other)).decode("utf-8", "replace"), data, value)
            for other, value in best
        ]
        return TokenLogprob(token, raw.decode("utf-8", "replace"), raw, logprob, top)

    def _raw(self, token: int) -> bytes:
        return self._vocab.piece(token) or self._vocab.text(token).encode()
