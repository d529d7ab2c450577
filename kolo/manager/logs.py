"""What a worker prints: the last lines in memory, all of it in a file bounded in size.

A line of the file begins with the local time at which it was whole, ``2026-01-31 12:00:00.000``.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

TAIL_LINES = 40
MAX_LINE_BYTES = 2_000
MAX_LOG_BYTES = 1 << 20
MAX_LOGS = 100
"""Engines whose logs are kept."""
_LONGEST_NAME = 200


def log_path(folder: Path, engine_id: str) -> Path:
    """Where the log of ``engine_id`` lies; two ids never share a file, no id leaves ``folder``."""
    name = quote(engine_id, safe="")
    if len(name) > _LONGEST_NAME:
        digest = hashlib.blake2b(engine_id.encode(), digest_size=8).hexdigest()
        name = f"{name[:_LONGEST_NAME]}-{digest}"
    return folder / f"{name}.log"


class WorkerLog:
    """Takes the worker's output as it comes; keeps ``TAIL_LINES`` and appends to ``path``.

    Past ``MAX_LOG_BYTES`` the file becomes ``<path>.1``, replacing the one before. A file that
    cannot be written never stops the engine: the reason becomes a line of the tail.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._partial = b""
        self._fd: int | None = None
        self._size = 0
        self._open()

    def feed(self, data: bytes) -> None:
        """Add what the worker has just printed, cut anywhere."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            whole.append(self._partial)
            self._partial = b""
        for line in whole:
            self._keep(line)
        if whole:
            self._write(_stamped(whole))

    def tail(self) -> list[str]:
        """The last lines, oldest first, an unfinished one included."""
        lines = list(self._lines)
        if self._partial.strip():
            lines.append(_text(self._partial))
        return lines[-TAIL_LINES:]

    def close(self, how: str = "") -> None:
        """Close the file, with what came last and a line on how it ended; the tail stays
        readable, and is what the worker said alone."""
        if self._partial:
            self.feed(b"\n")
        if how:
            self._write(_stamped([how.encode()]))
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _keep(self, line: bytes) -> None:
        if line.strip():
            self._lines.append(_text(line))

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            return
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            self._size += os.write(self._fd, data)
        except OSError as error:
            self._give_up(error)

    def _rotate(self) -> None:
        assert self._fd is not None
        os.close(self._fd)
        self._fd = None
        os.replace(self.path, f"{self.path}.1")
        self._open()

    def _open(self) -> None:
        try:
            if not self.path.exists():
                _make_place(self.path.parent)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._lines.append(f"(log file {self.path} is not written: {error.strerror})")


def _make_place(folder: Path) -> None:
    """For one log more: those of engines that have not spoken for longest go."""
    folder.mkdir(parents=True, exist_ok=True)
    logs = sorted(folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
    for log in logs[: max(len(logs) - MAX_LOGS + 1, 0)]:
        for file in (log, Path(f"{log}.1")):
            file.unlink(missing_ok=True)


def _stamped(lines: list[bytes]) -> bytes:
    stamp = datetime.now().isoformat(" ", "milliseconds").encode()
    return b"".join(b"%b %b\n" % (stamp, line) for line in lines)


def _text(line: bytes) -> str:
    return line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip()
