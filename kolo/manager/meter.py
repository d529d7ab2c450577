"""When the tokens of an engine come, as near to the client as the manager can see it.

A step of the worker is one frame; the time it is read at is that of all its tokens. Frames that are
read at once have come together, and so have their tokens. The sink is told once a second, of many
tokens at once, so that counting costs a fraction of a microsecond per token.
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
    last_s: float = 0.0
    """When it last gained a token."""
    settled_s: dict[int, float] = field(default_factory=dict)
    """Likewise each choice, as far as the meter has counted."""

    @property
    def ttft_ms(self) -> float | None:
        return None if self.first_s is None else (self.first_s - self.submitted_s) * 1000

    @property
    def decode_ms(self) -> float:
        """First token to the last."""
        if self.first_s is None:
            return 0.0
        return (self.last_s - self.first_s) * 1000


class Meter:
    """Collects for one engine."""

    def __init__(self, told: Callable[[Emission], None]) -> None:
        self._told = told
        self._at_s = 0.0
        self._several = False
        """A request may have gained tokens more than once at that time."""
        self._came: list[tuple[Progress, int, int]] = []
        """At that time: request, choice, tokens."""
        self._clear()

    def begin(self, now_s: float) -> None:
        """A frame with tokens has come; what came in a second before is told."""
        if now_s == self._at_s:
            self._several = True
            return
        self._settle()
        if int(now_s) != int(self._at_s):
            self._tell()
        self._at_s = now_s

    def take(self, progress: Progress, choice: int, n_tokens: int) -> None:
        """It has ``n_tokens`` for a choice of a request."""
        if n_tokens:  # else text that was held back, without a token of its own
            progress.tokens += n_tokens
            self._several = self._several or progress.last_s == self._at_s
            progress.last_s = self._at_s
            if progress.first_s is None:
                progress.first_s = self._at_s
                self._ttft_ms.append((self._at_s - progress.submitted_s) * 1000)
            self._came.append((progress, choice, n_tokens))

    def flush(self) -> None:
        """Tell what has come."""
        self._settle()
        self._tell()

    def _settle(self) -> None:
        """All that came at one time is there."""
        now_s, itl_ms = self._at_s, self._itl_ms
        for progress, choice, n_tokens in _together(self._came) if self._several else self._came:
            self._tokens += n_tokens
            last_s = progress.settled_s.get(choice)
            progress.settled_s[choice] = now_s
            if last_s is not None:
                if n_tokens == 1:
                    itl_ms.append((now_s - last_s) * 1000)
                else:
                    self._shared.append(((now_s - last_s) * 1000 / n_tokens, n_tokens))
        self._came.clear()
        self._several = False

    def _tell(self) -> None:
        if self._tokens:
            told = Emission(self._at_s, self._tokens, self._ttft_ms, self._itl_ms, self._shared)
            self._clear()
            self._told(told)

    def _clear(self) -> None:
        self._tokens = 0
        self._ttft_ms: list[float] = []
        self._itl_ms: list[float] = []
        self._shared: list[tuple[float, int]] = []


def _together(came: list[tuple[Progress, int, int]]) -> list[tuple[Progress, int, int]]:
    """The tokens of each choice once."""
    tokens: dict[tuple[int, int], int] = {}
    requests: dict[int, Progress] = {}
    for progress, choice, n_tokens in came:
        requests[id(progress)] = progress
        key = (id(progress), choice)
        tokens[key] = tokens.get(key, 0) + n_tokens
    return [(requests[of], choice, n) for (of, choice), n in tokens.items()]
