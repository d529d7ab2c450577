"""How far guesses have held: for each length, the share of guesses right up to there."""

from __future__ import annotations

LONGEST = 30
"""Tokens of a guess at most; of these a step tries the next few."""
_NEW = 0.15
"""Weight of one more guess against all before it."""
_FEW = 4
"""With fewer guesses than this behind it, a share means little."""


class Odds:
    """``P(right up to j)`` for j = 1 to LONGEST, as an exponentially weighted mean."""

    def __init__(self, others: Odds | None = None) -> None:
        self._right: list[float] = list(others._right) if others else [0.0] * LONGEST
        self.seen: int = others.seen if others else 0

    def record(self, n_right: int, *, wrong: bool) -> None:
        """A guess was right for ``n_right`` tokens; then ``wrong``, or merely over."""
        self.seen += 1
        right = self._right
        for at in range(n_right):
            right[at] += _NEW * (1.0 - right[at])
        if wrong:
            for at in range(n_right, LONGEST):
                right[at] -= _NEW * right[at]

    def expected(self, n_right: int, n_tokens: int) -> float:
        """How many of the next ``n_tokens`` of a guess will be right, ``n_right`` having been."""
        if self.seen < _FEW:
            # Nothing is known but this one guess: the chance that what held n times holds once
            # more is taken as n / (n + 2), whose products telescope.
            return n_right * (n_right + 1) * (1 / (n_right + 1) - 1 / (n_right + 1 + n_tokens))
        right = self._right
        base = right[n_right - 1] if n_right else 1.0
        return sum(right[n_right : n_right + n_tokens]) / base if base > 0.05 else 0.0
