"""Recordings: the lines of the monitor in a file, written as they come and read with patience.

A line that cannot be read is left out and counted; a last one without an end was cut off while
it was written. A file without one readable snapshot is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from kolo.errors import UsageError
from kolo.snapshot import Hello, Message, decode, encode
from kolo.top import words
from kolo.top.session import Told

MAX_LINE_BYTES = 64 << 20


class _Stamp(Struct):
    """What of a line tells when it was said; the rest is not looked at."""

    type: Literal["hello", "event", "snapshot", "dropped", "refused"]
    at: float = 0.0
    uptime_s: float = 0.0


_stamp = msgspec.json.Decoder(_Stamp).decode


class Moment(Struct, frozen=True):
    """A line of a recording."""

    offset: int
    type: str
    at: float
    uptime_s: float


class Recorder:
    """Writes what is told to ``path``. OSError if it cannot; UsageError if there is a file.

    One that was told nothing leaves no file.
    """

    def __init__(self, path: Path, hello: Hello | None = None) -> None:
        self.path = path
        self._told = False
        try:
            self._file: BinaryIO = path.open("xb")
        except FileExistsError:
            raise UsageError(
                f"{path} is there already, and a recording does not replace it",
                hint="Give another name, or remove it first.",
            ) from None
        if hello is not None:
            self.take(hello)

    def take(self, told: Told) -> None:
        if isinstance(told, Struct):  # a message; what became of the line is not recorded
            self._told = True
            self._file.write(encode(told))
            self._file.flush()

    def close(self) -> None:
        with suppress(OSError):  # what the disk would not take was told of when it was written
            self._file.close()
        if not self._told:
            self.path.unlink(missing_ok=True)


class Recording:
    """A file, looked through once. UsageError for one that holds nothing to show."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.moments: list[Moment] = []
        self.unreadable = 0
        self.cut = False
        with path.open("rb") as file:
            self._look_through(file)
        if not self.snapshots:
            raise UsageError(
                f"{path} is no recording: no snapshot in it can be read",
                hint="kolo top --record FILE makes one",
            )

    @property
    def snapshots(self) -> int:
        return sum(moment.type == "snapshot" for moment in self.moments)

    @property
    def trouble(self) -> str:
        """What could not be read, for a person; empty if all could."""
        parts = []
        if self.unreadable:
            parts.append(f"{words.plural(self.unreadable, 'line')} could not be read")
        if self.cut:
            parts.append("the last line is cut off")
        return " and ".join(parts)

    def message(self, index: int) -> Message | None:
        """The message at ``moments[index]``; None if it is not what it looked like."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.moments[index].offset)
                return decode(file.readline(MAX_LINE_BYTES))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def messages(self) -> Iterator[Message]:
        for index in range(len(self.moments)):
            message = self.message(index)
            if message is not None:
                yield message

    def _look_through(self, file: BinaryIO) -> None:
        offset = 0
        while line := file.readline(MAX_LINE_BYTES):
            whole = line.endswith(b"\n")
            try:
                stamp = _stamp(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if whole and line.strip():
                    self.unreadable += 1
                elif not whole:
                    self.cut = True
            else:
                self.moments.append(Moment(offset, stamp.type, stamp.at, stamp.uptime_s))
            offset += len(line)


def new_path(folder: Path) -> Path:
    """Where a recording goes that nobody named."""
    return folder / time.strftime("top-%Y%m%d-%H%M%S.jsonl")
