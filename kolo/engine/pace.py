"""How long a chunk of prefill may be so that it fits a time, learned from those that ran.

A chunk costs a fixed part, since the weights are read once however short it is, and so much a
token. Leaving the first out would make short chunks look dear, and dear chunks be made shorter
still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BUDGET_MS = 200.0
"""What a chunk may take at least, unless the load says how much it may take."""
STEPS = 12
"""How many decode steps a chunk may take as long as, if that is more: chunks and decode steps take
turns, so with streams under way a prompt takes 1 + 1/STEPS times what it takes alone."""
IDLE_BUDGET_FACTOR = 4
"""With nobody decoding a chunk may take so many budgets: fewer calls, still cancellable."""
HOLD_STEPS = 3
"""How many decode steps a stream may wait as long as, between its first token and its second, for
prompts that came with its own."""

_FORGIVE = 0.2
"""Part of a former surprise that each chunk which brings none makes up for."""
_RISK = (1.1, 2.0)
"""Bounds of what a chunk is expected to take beyond its estimate."""
_KERNEL_ROWS = 8
"""Rows that kernels take at hardly more than the price of one. A chunk is no shorter, however
slow the machine seems; and a shorter rest of a prompt says little of what a token costs."""
_WIDTH = 32
"""Chunks are multiples of it, where they are as long."""


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """Milliseconds of a prefill chunk: ``fixed_ms`` and ``ms_per_token`` for each token."""

    fixed_ms: float
    ms_per_token: float

    def of(self, n_tokens: int) -> float:
        return self.fixed_ms + n_tokens * self.ms_per_token


class PrefillPace:
    """How many tokens fit ``budget_ms`` beyond what a step costs anyway.

    Without a budget it is BUDGET_MS, or STEPS decode steps where those are slow: the streams would
    gain little from a shorter wait, and the prompt would lose much.

    The cost of a token grows with depth and with what else the machine does, so the estimate
    rises at once and falls by halves; and among streams a chunk is at most twice the longest one
    timed, beyond which the estimate would be a guess. Chunks are planned shorter by as much as
    the last ones took longer than they should have.
    """

    def __init__(
        self,
        budget_ms: float | None,
        cost: ChunkCost,
        n_batch: int,
        step_ms: Callable[[int], float] = lambda n_streams: 0.0,
    ) -> None:
        self._fixed_budget_ms = budget_ms
        self._step_ms = step_ms
        self._decode_ms = 0.0
        self._fixed_ms = cost.fixed_ms
        self._ms_per_token = max(cost.ms_per_token, 1e-6)
        self._n_batch = n_batch
        self._longest = 64
        self._risk = 1.4

    def observe(self, n_tokens: int, elapsed_ms: float) -> None:
        """Learn from one chunk."""
        if n_tokens < _KERNEL_ROWS:
            return
        surprise = elapsed_ms / (self._fixed_ms + n_tokens * self._ms_per_token)
        calmer = self._risk + _FORGIVE * (surprise - self._risk)
        low, high = _RISK
        self._risk = min(max(surprise, calmer, low), high)
        cost = max(elapsed_ms - self._fixed_ms, 0.1 * elapsed_ms) / n_tokens
        self._ms_per_token += (1.0 if cost > self._ms_per_token else 0.5) * (
            cost - self._ms_per_token
        )
        self._longest = max(self._longest, n_tokens)

    @property
    def ms_per_token(self) -> float:
        """What a token of a long prompt takes, as it seems now."""
        return self._ms_per_token

    def decoded(self, elapsed_ms: float) -> None:
        """Learn from one decode step."""
        self._decode_ms += 0.5 * (elapsed_ms - self._decode_ms)

    def chunk(self, *, alone: bool) -> int:
        """Tokens of the next chunk; ``alone``: nobody waits for a token meanwhile."""
        least_ms, budget_ms = BUDGET_MS, max(BUDGET_MS, STEPS * self._decode_ms)
        if self._fixed_budget_ms is not None:
            least_ms = budget_ms = self._fixed_budget_ms
        if alone:
            return self._fits(IDLE_BUDGET_FACTOR * least_ms)
        # What the weights cost is paid by every chunk, and no part of the budget.
        fits = self._fits((budget_ms + self._fixed_ms) / self._risk - self._fixed_ms)
        return min(fits, max(2 * self._longest // _WIDTH * _WIDTH, _KERNEL_ROWS))

    def together(self, n_tokens: int, n_streams: int) -> int:
        """So many of ``n_tokens`` of short prompts should be one chunk that those whose prompt ends
        in it, of ``n_streams`` in the end, need not wait long for the rest."""
        rest = self._fits(max(BUDGET_MS, HOLD_STEPS * self._step_ms(n_streams)))
        return min(max(n_tokens - rest, self._fits(BUDGET_MS)), self._n_batch)

    def _fits(self, allowed_ms: float) -> int:
        fits = int(allowed_ms / self._ms_per_token)
        width = _WIDTH if fits >= _WIDTH else _KERNEL_ROWS
        return min(max(fits // width * width, _KERNEL_ROWS), self._n_batch)
