"""Logs of engines: the files that a server of this machine keeps, followed as they grow.

A file that became too large goes on as a new one under its name, the old one under ``NAME.1``;
of both the end is read.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

MAX_READ_BYTES = 1 << 19
MAX_LINES = 5000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


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


def found(lines: list[str], wanted: str) -> list[int]:
    """Numbers of the lines that hold ``wanted``, however it is written."""
    if not wanted:
        return []
    folded = wanted.casefold()
    return [at for at, line in enumerate(lines) if folded in line.casefold()]
