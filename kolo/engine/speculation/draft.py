"""Guessing by a smaller model of the same vocabulary, which runs ahead of the large one.

It has a sequence for each of the large model's slots and follows what is written there. Known as
draft-model speculation (Leviathan et al., "Fast Inference from Transformers via Speculative
Decoding", 2023); here a guess stands only where the large model draws the very same token.
"""

from __future__ import annotations

import time
from array import array

import numpy as np

from kolo.engine.backend import OK, Backend
from kolo.engine.prefix import common_prefix
from kolo.engine.scheduler import Sequence
from kolo.errors import LoadFailed

MOST_BEHIND = 512
"""Tokens of a prompt the small model reads in one go; while it is further behind it only reads."""
_NEW = 0.2
_SAMPLED_TOKENS = 500


class DraftModel:
    """``step_ms`` is what one more token of guesses costs, for all sequences together."""

    def __init__(self, backend: Backend) -> None:
        self.step_ms = 0.0
        self._backend = backend
        self._held = [array("i") for _ in range(backend.n_slots)]

    def guesses(self, sequences: list[Sequence], n_tokens: int) -> dict[Sequence, array[int]]:
        """The small model's next ``n_tokens`` of each; of those it has caught up with."""
        ready = [sequence for sequence in sequences if self._follow(sequence)]
        found = {sequence: array("i") for sequence in ready}
        started = time.perf_counter()
        for _ in range(n_tokens if ready else 0):
            for sequence, token in zip(ready, self._next(ready, found), strict=True):
                found[sequence].append(token)
        if ready:
            spent_ms = (time.perf_counter() - started) * 1000 / n_tokens
            self.step_ms += (_NEW if self.step_ms else 1.0) * (spent_ms - self.step_ms)
        return found

    def _follow(self, sequence: Sequence) -> bool:
        """Bring its sequence to all but the last token; False when there is more to read."""
        assert sequence.slot is not None
        slot = sequence.slot.id
        held = self._held[slot]
        end = len(sequence.tokens) - 1
        if end + 1 >= self._backend.n_ctx:
            return False
        known = common_prefix(held, sequence.tokens, end)
        if known < len(held):
            self._backend.trim(slot, known)
            del held[known:]
        missing = sequence.tokens[known : min(end, known + MOST_BEHIND)]
        for at in range(0, len(missing), self._backend.n_batch):
            self._read(slot, missing[at : at + self._backend.n_batch])
        return len(held) == end

    def _read(self, slot: int, tokens: array[int]) -> None:
        count, held = len(tokens), self._held[slot]
        positions = range(len(held), len(held) + count)
        status = self._backend.decode(tokens, positions, [slot] * count, [0] * count)
        assert status == OK, "every sequence has room of its own"
        held.extend(tokens)

    def _next(self, sequences: list[Sequence], found: dict[Sequence, array[int]]) -> list[int]:
        tokens = [(found[s] or s.tokens)[-1] for s in sequences]
        slots = [s.slot.id for s in sequences if s.slot is not None]
        positions = [len(self._held[slot]) for slot in slots]
        status = self._backend.decode(tokens, positions, slots, [1] * len(slots))
        assert status == OK, "every sequence has room of its own"
        for slot, token in zip(slots, tokens, strict=True):
            self._held[slot].append(token)
        return [int(np.argmax(row)) for row in self._backend.logits(len(slots))]


def check_pair(backend: Backend, draft: Backend) -> None:
    """Raise LoadFailed unless ``draft`` can guess for ``backend``."""
    large, small = backend.vocab, draft.vocab
    step = max(1, large.n_tokens // _SAMPLED_TOKENS)
    same = large.n_tokens == small.n_tokens and all(
        large.piece(token) == small.piece(token) for token in range(0, large.n_tokens, step)
    )
    if not same:
        raise LoadFailed(
            "the draft model has another vocabulary than the model",
            hint="Take a smaller model of the same family, or leave draft_model out.",
            param="draft_model",
        )
    if not (backend.can_trim and draft.can_trim):
        raise LoadFailed(
            "guesses of a draft model cannot be taken back from a recurrent model",
            hint="Leave draft_model out.",
            param="draft_model",
        )
