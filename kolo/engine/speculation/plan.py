"""Whether to guess in this step, for whom and how far: where the tokens won are worth the rows.

Guesses are made all the time, which costs microseconds, and held against what was then written,
tried or not. So the odds are known before the first row is spent on them, and where guessing
does not pay it costs nothing but that.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kolo.engine.layout import Costs
from kolo.engine.scheduler import Sequence
from kolo.engine.speculation.draft import DraftModel
from kolo.engine.speculation.lookup import continuation
from kolo.engine.speculation.odds import LONGEST, Odds

Mode = Literal["auto", "always", "off"]
Guesses = dict[Sequence, "array[int]"]

MARGIN = 1.1
"""A step with a draft model's guesses must promise this much more than one without."""
LOOKUP_MARGIN = 1.2
"""Likewise with guesses from the text itself, whose odds change from one phrase to the next."""
_LENGTHS = (1, 3, 7, 15)
"""Guesses that make up, with the token before them, a number of rows that kernels like."""
_PATIENCE = 5
"""After each wrong guess in a row twice as many tokens pass before the next, to two to this."""
_NEW = 0.2
_FORGET = 0.01
_TRIALS = 8
"""Guesses of a draft model after which it is known how good it is."""
_PROBE_STEPS = 300
"""A draft model that does not pay is tried again after this many steps."""
_NOTHING: Guesses = {}


@dataclass(slots=True)
class _Track:
    """The guess of one sequence that is being held against what is written."""

    odds: Odds
    guess: array[int] = field(default_factory=lambda: array("i"))
    start: int = 0
    """Where in the sequence the guess begins."""
    right: int = 0
    failures: int = 0
    resume_at: int = 0

    def update(self, tokens: array[int]) -> None:
        """See what was written since; guess anew when the last guess is used up."""
        if self.guess:
            written = min(len(tokens) - self.start, len(self.guess))
            while (
                self.right < written and tokens[self.start + self.right] == self.guess[self.right]
            ):
                self.right += 1
            if self.right < written:
                self._end(len(tokens), wrong=True)
            elif written == len(self.guess):
                self._end(len(tokens), wrong=False)
        if not self.guess and len(tokens) >= self.resume_at:
            self.guess = continuation(tokens, LONGEST)
            self.start = len(tokens)
            self.right = 0
            if not self.guess:
                self.resume_at = len(tokens) + 1

    def _end(self, now: int, *, wrong: bool) -> None:
        self.odds.record(self.right, wrong=wrong)
        self.failures = 0 if self.right else min(self.failures + 1, _PATIENCE)
        self.resume_at = now + 2**self.failures - 1 if self.failures else now
        self.guess = array("i")

    def ahead(self, most: int) -> array[int]:
        return self.guess[self.right : self.right + most]


class Speculation:
    """``limit`` is how many rows one decode may have; ``unified`` is that of ``Backend``."""

    def __init__(
        self,
        mode: Mode,
        costs: Costs,
        limit: int,
        *,
        unified: bool,
        draft: DraftModel | None = None,
    ) -> None:
        self.active = mode != "off"
        self._always = mode == "always"
        self._costs = costs
        self._limit = limit
        self._unified = unified
        self._tracks: dict[Sequence, _Track] = {}
        self._plain_ratio = 1.0
        self._timed_ratio: float | None = None
        self._usual = Odds()
        self._draft = draft
        self._draft_odds = Odds()
        self._steps_without = 0
        self._by_draft = False

    def guesses(self, sequences: list[Sequence], room: Callable[[Sequence], int]) -> Guesses:
        """What to try in a step that decodes ``sequences``; empty for a plain one.

        ``room`` says how many tokens more than one a sequence may still gain.
        """
        self._by_draft = False
        tracks = {}
        for sequence in sequences:
            track = self._tracks.get(sequence)
            if track is None:
                track = self._tracks[sequence] = _Track(Odds(self._usual))
            track.update(sequence.tokens)
            if track.guess:
                tracks[sequence] = track
        length = 0
        if tracks:
            always = self._always and self._longest(len(sequences))
            length = always or self._pays(tracks, sequences)
        if not length:
            return self._drafted(sequences, room) if self._draft else _NOTHING
        ahead = {s: t.ahead(min(length, room(s))) for s, t in tracks.items()}
        return {sequence: guess for sequence, guess in ahead.items() if guess}

    def judge(self, n_guessed: int, n_right: int) -> None:
        """How one guess turned out, if a draft model made it."""
        if self._by_draft:
            self._draft_odds.record(n_right, wrong=n_right < n_guessed)

    def forget(self, sequence: Sequence) -> None:
        """The sequence is over; what it taught is the next one's first opinion."""
        track = self._tracks.pop(sequence, None)
        if track is None:
            return
        if track.guess:
            track.odds.record(track.right, wrong=False)
        self._usual = track.odds

    def timed_plain(self, n_rows: int, elapsed_ms: float) -> None:
        """What a step really took: the costs were measured at load, on a machine at rest."""
        ratio = elapsed_ms / self._costs.of(n_rows)
        self._plain_ratio += _NEW * (ratio - self._plain_ratio)
        if self._timed_ratio is not None:
            self._timed_ratio += _FORGET * (self._plain_ratio - self._timed_ratio)

    def timed_guesses(self, n_sequences: int, guesses: Guesses, elapsed_ms: float) -> None:
        """Likewise of one that tried guesses."""
        n_guessed = sum(map(len, guesses.values()))
        even = len(guesses) == n_sequences
        ratio = elapsed_ms / self._cost(n_sequences, n_guessed, even=even)
        self._timed_ratio = self._guess_ratio + _NEW * (ratio - self._guess_ratio)

    @property
    def _guess_ratio(self) -> float:
        """What steps with guesses took over what they were timed at; that of plain ones until one
        was tried, and again, little by little, when that is long ago."""
        return self._plain_ratio if self._timed_ratio is None else self._timed_ratio

    def _pays(self, tracks: dict[Sequence, _Track], sequences: list[Sequence]) -> int:
        """The length of guesses that gains most for its time; 0 where a plain step does."""
        count = len(sequences)
        best = LOOKUP_MARGIN * count / (self._costs.of(count) * self._plain_ratio)
        length = 0
        even = len(tracks) == count
        for n_tokens in _LENGTHS:
            n_guessed = n_tokens * len(tracks)
            if count + n_guessed > self._limit:
                break
            gained = sum(t.odds.expected(t.right, n_tokens) for t in tracks.values())
            cost = self._cost(count, n_guessed, even=even) * self._guess_ratio
            rate = (count + gained) / cost
            if rate > best:
                best, length = rate, n_tokens
        return length

    def _drafted(self, sequences: list[Sequence], room: Callable[[Sequence], int]) -> Guesses:
        """The draft model's guesses, where they pay or have yet to show whether they do."""
        assert self._draft is not None
        count = len(sequences)
        length = min(self._draft_length(count), *map(room, sequences))
        if length < 1:
            return _NOTHING
        self._steps_without = 0
        found = self._draft.guesses(sequences, length)
        self._by_draft = bool(found)
        return found

    def _draft_length(self, count: int) -> int:
        self._steps_without += 1
        longest = self._longest(count)
        unknown = self._draft_odds.seen < _TRIALS or self._steps_without > _PROBE_STEPS
        if self._always or unknown:
            return min(longest, 7 if self._always else 3)
        best = MARGIN * count / (self._costs.of(count) * self._plain_ratio)
        length = 0
        for n_tokens in _LENGTHS:
            if n_tokens > longest:
                break
            cost = self._cost(count, n_tokens * count, even=True) * self._guess_ratio
            cost += n_tokens * self._draft.step_ms if self._draft else 0.0
            rate = count * (1 + self._draft_odds.expected(0, n_tokens)) / cost
            if rate > best:
                best, length = rate, n_tokens
        return length

    def _cost(self, n_sequences: int, n_guessed: int, *, even: bool) -> float:
        """Without a unified cache llama.cpp computes sequences of unequal length one after the
        other, as far as they are unequal."""
        if even or self._unified:
            return self._costs.of(n_sequences + n_guessed)
        return self._costs.of(n_sequences) + self._costs.of(n_guessed)

    def _longest(self, n_sequences: int) -> int:
        return max((n for n in _LENGTHS if n_sequences * (n + 1) <= self._limit), default=0)
