"""How long a worker that keeps failing is left alone."""

from __future__ import annotations

import math

WINDOW_S = 300.0
"""A failure this long after the pause of the one before counts as the first again."""
STEADY_S = 30.0
"""So does that of a worker that was up for so long: what ends it now is not what ended the last."""


class Backoff:
    """No pause after the first failure, then ``first_s``, twice that, and so on to ``max_s``.

    Times are readings of the caller's clock, in seconds.
    """

    def __init__(self, first_s: float = 1.0, max_s: float = 30.0) -> None:
        self.failures = 0
        self._first_s = first_s
        self._max_s = max_s
        self._until_s = 0.0
        self._up_since_s = math.inf

    def up(self, now_s: float) -> None:
        """A worker has loaded."""
        self._up_since_s = now_s

    def failed(self, now_s: float) -> None:
        """Count a failure."""
        if now_s - self._until_s > WINDOW_S or now_s - self._up_since_s > STEADY_S:
            self.failures = 0
        self._up_since_s = math.inf
        self.failures += 1
        doublings = min(self.failures - 2, 64)
        pause_s = min(self._first_s * 2.0**doublings, self._max_s) if doublings >= 0 else 0.0
        self._until_s = now_s + pause_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next attempt may begin; 0 when it may begin now."""
        return max(self._until_s - now_s, 0.0) if self.failures else 0.0

    def reset(self) -> None:
        """Somebody who knows better wants it tried at once."""
        self.failures = 0
