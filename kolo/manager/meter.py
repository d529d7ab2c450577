"""When the tokens of an engine come, as near to the client as the manager can see it.

A step of the worker is one frame; its arrival here is the time of all its tokens. The sink is told
once a second, of many tokens at once, so that counting costs a fraction of a microsecond per token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Emission(NamedTuple):
    """Tokens that an engine's requests gained since the one before, all within one second of the
    event loop's clock, which is ``time.monotonic``."""

    at_s: float
    """When the last of them came."""
    tokens: int
    ttft_ms: list[float]
    """Submit to the first token, of each request whose first came."""
    itl_ms: list[float]
    """Time since the one before, of each token that came alone."""
    shared_itl_ms: list[tuple[float, int]]
    """Tokens that came together: the time since the one before, shared out evenly, and how many."""


@dataclass(slots=True)
class Progress:
    """What a request has gained so far. Times on the event loop's clock."""

    submitted_s: float
    tokens: int = 0
    first_s: float | None = None
    last_s: dict[int, float] = field(default_factory=dict)
    """When each choice last gained a token."""

    @property
    def ttft_ms(self) -> float | None:
        return None if self.first_s is None else (self.first_s - self.submitted_s) * 1000

    @property
    def decode_ms(self) -> float:
        """First token to the last."""
        if self.first_s is None:
            return 0.0
        return (max(self.last_s.values()) - self.first_s) * 1000


class Meter:
    """Collects for one engine."""

    def __init__(self, told: Callable[[Emission], None]) -> None:
        self._told = told
        self._at_s = 0.0
        self._clear()

    def begin(self, now_s: float) -> None:
        """A frame with tokens has come; what came in a second before is told."""
        if int(now_s) != int(self._at_s):
            self.flush()
        self._at_s = now_s

    def take(self, progress: Progress, choice: int, n_tokens: int) -> None:
        """It has ``n_tokens`` for a choice of a request."""
        if not n_tokens:
            return  # text that was held back, without a token of its own
        now_s = self._at_s
        self._tokens += n_tokens
        progress.tokens += n_tokens
        last_s = progress.last_s.get(choice)
        progress.last_s[choice] = now_s
        if last_s is None:
            if progress.first_s is None:
                progress.first_s = now_s
                self._ttft_ms.append((now_s - progress.submitted_s) * 1000)
        elif n_tokens == 1:
            self._itl_ms.append((now_s - last_s) * 1000)
        else:
            self._shared.append(((now_s - last_s) * 1000 / n_tokens, n_tokens))

    def flush(self) -> None:
        """Tell what has come."""
        if self._tokens:
            told = Emission(self._at_s, self._tokens, self._ttft_ms, self._itl_ms, self._shared)
            self._clear()
            self._told(told)

    def _clear(self) -> None:
        self._tokens = 0
        self._ttft_ms: list[float] = []
        self._itl_ms: list[float] = []
        self._shared: list[tuple[float, int]] = []
