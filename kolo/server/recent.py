"""What the server said last, for ``GET /logs``: bounded, and in memory alone."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from kolo.logfile import LogLine

KEPT = 2000
MAX_LINE_CHARS = 4000
ACCESS = "kolo.access"
"""The logger of requests, which would drive out all else."""


class Recent(logging.Handler):
    """Keeps the last ``KEPT`` records that it is handed, as lines."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = 0
        """How many lines there have ever been."""
        self._lines: deque[LogLine] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == ACCESS:
            return
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        try:
            message = record.getMessage()[:MAX_LINE_CHARS]
        except Exception:  # as every handler: a line that cannot be made must end nothing
            self.handleError(record)
            return
        self._lines.append(LogLine(record.levelname, at, message))
        self.seq += 1

    @contextmanager
    def still(self) -> Iterator[None]:
        """No line comes for as long as the block runs."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def since(self, seq: int, at_most: int) -> list[LogLine]:
        """The lines after the first ``seq``, the last ``at_most`` of them."""
        n = min(self.seq - seq, len(self._lines), at_most)
        return list(islice(self._lines, len(self._lines) - n, None)) if n > 0 else []
