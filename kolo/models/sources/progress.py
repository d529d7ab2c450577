"""How far a fetch is, told without ever going back."""

from __future__ import annotations

import time
from collections import deque
from typing import Literal

from msgspec import Struct

State = Literal["waiting", "checking", "downloading", "retrying", "done"]

RATE_WINDOW_S = 5.0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a fetch is. ``done_bytes`` never falls within one fetch."""

    state: State
    """``waiting`` for another process that fetches the same file, ``checking`` what an earlier
    try left, ``retrying`` after the connection was lost."""
    file: str
    """Name of the file it is at."""
    done_bytes: int
    """Of all files of the plan."""
    total_bytes: int | None
    bytes_per_s: float = 0.0
    """Over the last seconds; 0 unless downloading."""
    note: str = ""
    """What a person should know, such as why it is retrying; told once."""


class Rate:
    """Bytes a second over the last ``RATE_WINDOW_S``."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, n_bytes: int) -> float:
        """With ``n_bytes`` there now."""
        now_s = time.monotonic()
        self._seen.append((now_s, n_bytes))
        while now_s - self._seen[0][0] > RATE_WINDOW_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return (n_bytes - before) / (now_s - then_s) if now_s > then_s else 0.0

    def forget(self) -> None:
        """What comes next is not to be averaged with what was."""
        self._seen.clear()
