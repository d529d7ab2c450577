"""Reading the logs of engines, of a server of this machine that runs or has ended.

A file that became too large goes on as a new one under its name, the old one under ``NAME.1``; of
both the end is read. What follows a file looks at it again and again: it may be written by another
process, moved away, or not be there yet.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from msgspec import Struct

MAX_READ_BYTES = 1 << 19
MAX_LINES = 5000
AGAIN_S = 0.3
"""Between two looks of one who follows a file."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d{3} (?:([IWE]) )?(.*)", re.DOTALL)
_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", None: "INFO"}


class LogLine(Struct, frozen=True):
    """A line as ``GET /logs`` tells it."""

    level: str
    """``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``."""
    timestamp: str
    """Local time, ``2026-01-31 12:00:00``; empty where it is not known."""
    message: str


def parsed(line: str) -> LogLine:
    """One line of an engine's log."""
    found = _STAMPED.fullmatch(line)
    if found is None:
        return LogLine("INFO", "", line)
    return LogLine(_LEVELS[found[2]], found[1], found[3])


def find_logs(folder: Path) -> dict[str, Path]:
    """Logs by the engine's id, by name; empty where there are none."""
    try:
        files = sorted(folder.glob("*.log"))
    except OSError:
        return {}
    return {unquote(file.name.removesuffix(".log")): file for file in files}


class Follower:
    """The lines of one log, and more of them with each ``read``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.trouble = ""
        """Why it cannot be read."""
        self._offset: int | None = None
        self._inode = 0
        self._partial = ""

    def read(self) -> bool:
        """Read what is new; whether there was anything."""
        before, trouble = len(self.lines), self.trouble
        try:
            with self.path.open("rb") as file:
                self._read(file)
            self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or str(error)
        return len(self.lines) != before or self.trouble != trouble

    def _read(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        new = status.st_ino != self._inode or (self._offset or 0) > status.st_size
        if self._offset is None or new:
            if self._offset is None and status.st_size < MAX_READ_BYTES:
                self._older()
            self._inode = status.st_ino
            self._offset = max(status.st_size - MAX_READ_BYTES, 0) if not self.lines else 0
            self._partial = ""
        file.seek(self._offset)
        data = file.read(MAX_READ_BYTES * 2)
        self._offset += len(data)
        self._add(data)

    def _older(self) -> None:
        """The end of the file before this one, if there is one."""
        try:
            data = Path(f"{self.path}.1").read_bytes()[-MAX_READ_BYTES:]
        except OSError:
            return
        self._add(data)

    def _add(self, data: bytes) -> None:
        text = self._partial + _ESCAPES.sub("", data.decode("utf-8", "replace"))
        *whole, self._partial = text.split("\n")
        self.lines += [line.rstrip("\r") for line in whole]
        del self.lines[:-MAX_LINES]
