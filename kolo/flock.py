"""Locks between processes: on an open file, until it is closed (flock(2))."""

from __future__ import annotations

import fcntl
import time
from errno import ETIMEDOUT

WAIT_S = 30.0
"""Nobody who goes on working holds one for so long."""
_LOOK_EVERY_S = 0.01


def lock(fd: int, wait_s: float | None = None) -> None:
    """Have ``fd`` locked by nobody else until it is closed.

    TimeoutError, which is an OSError, if another process holds it for ``wait_s`` seconds (None:
    WAIT_S).
    """
    until_s = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise TimeoutError(ETIMEDOUT, "another process holds its lock") from None
        time.sleep(_LOOK_EVERY_S)
