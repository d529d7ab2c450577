"""What was typed before, in a file of its owner's alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from kolo.whole import write_whole

MAX_ENTRIES = 1000
MAX_BYTES = 4 << 20
"""A file that has grown past either is cut to its newest entries when it is opened."""


def open_history(path: Path | None, complain: Callable[[str], None]) -> History:
    """The history in ``path``; in memory without one, or if it cannot be had."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(fd, 0o600)
        os.close(fd)
        _shorten(path)
    except OSError as error:
        complain(f"what you type is not kept: {path}: {error.strerror}")
        return InMemoryHistory()
    return _KeptHistory(path, complain)


def _shorten(path: Path) -> None:
    """Keep the newest entries alone; each begins with a comment line of its time."""
    data = path.read_bytes()
    entries = data.split(b"\n# ")
    if len(entries) <= MAX_ENTRIES + 1 and len(data) <= MAX_BYTES:
        return
    kept = entries[-MAX_ENTRIES // 2 :]
    while len(kept) > 1 and sum(map(len, kept)) > MAX_BYTES // 2:
        del kept[0]
    write_whole(path, b"".join(b"\n# " + entry for entry in kept))


class _KeptHistory(FileHistory):
    """A history file whose failure costs the line's keeping, not the conversation."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        super().__init__(str(path))
        self._complain = complain

    def store_string(self, string: str) -> None:
        try:
            super().store_string(string)
        except OSError as error:
            self._complain(f"this line is not kept: {self.filename!r}: {error.strerror}")
