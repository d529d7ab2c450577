"""Where the results of a run go: a stream, or a file that a later run goes on with."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Struct

from kolo.batch.request import Id
from kolo.errors import UsageError
from kolo.whole import write_whole

READ_BYTES = 1 << 20
BEGINS = b'{"index":0'
"""A file of results; a crash of the machine may leave zeros instead."""


class Kept(Struct, frozen=True):
    """What of a result that is there already matters."""

    index: int
    id: Id | None = None
    error: dict[str, Any] | None = None
    finish_reason: str | None = None


class ResultFile:
    """A file of results, a line each, in order. One run at a time writes it; each line is written
    in one go, so that whatever ends the run leaves whole lines, and at most one torn one, which
    is cut off when the next run opens it. A file that begins otherwise stays as it is.

    With ``retry_failed`` the file is cut before its first error. The answers after that wait in
    ``FILE.later`` for their turn, so that nothing is lost if this run ends early too; ``finish``
    removes it.

    What is no file (/dev/stdout, a named pipe) is written to all the same, and not read. Use it as
    a context manager. Raises UsageError when another run has it open, or when it holds
    something else.
    """

    def __init__(self, path: Path, *, retry_failed: bool = False) -> None:
        self.path = path
        self.kept: list[Kept] = []
        """The results that stay."""
        self.later: dict[int, bytes] = {}
        """Lines that are written when their turn comes, by their index."""
        self.n_torn_bytes = 0
        self._retry_failed = retry_failed
        self._aside = path.with_name(f"{path.name}.later")
        self._left = False
        """Whether ``_aside`` is there and of a run's making."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(
                f"--out: cannot write {path}: {error.strerror}",
                hint="a file in a folder that may be written to",
                param="--out",
            ) from error
        self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)

    def __enter__(self) -> ResultFile:
        try:
            if self._is_file:
                self._lock()
                self._read()
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._is_file:
                os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def write(self, record: bytes) -> None:
        """Append one result, JSON without a line break."""
        data = memoryview(record + b"\n")
        while data:  # a disk that is full takes a part, and then nothing: OSError
            data = data[os.write(self._fd, data) :]

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"--out: another run is writing {self.path}",
                hint="wait for its end, or name another file",
                param="--out",
            ) from error

    def finish(self) -> None:
        """The run is over, and everything is in the file."""
        if self._left:
            self._aside.unlink(missing_ok=True)

    def _read(self) -> None:
        """Take in what is there, and cut off a line without an end."""
        self._later()
        whole_bytes, first_failed_at = 0, None
        rest = b""
        while piece := os.read(self._fd, READ_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._keep(line)
                if first_failed_at is None and self.kept[-1].error is not None:
                    first_failed_at = whole_bytes
                whole_bytes += len(line) + 1
        if rest:
            ours = self.kept or rest.startswith(BEGINS[: len(rest)]) or not rest.strip(b"\0")
            if not ours:
                raise self._stranger(0)
            self.n_torn_bytes = len(rest)
            os.ftruncate(self._fd, whole_bytes)
        self.later = {at: line for at, line in self.later.items() if at >= len(self.kept)}
        if self._retry_failed and first_failed_at is not None:
            self._cut(first_failed_at, whole_bytes)

    def _later(self) -> None:
        try:
            lines = self._aside.read_bytes().splitlines()
            self.later = {msgspec.json.decode(line, type=Kept).index: line for line in lines}
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"--out: {self._aside} is not what a run has left there: {error}",
                hint="another file, or move that one away",
                param="--out",
            ) from error
        self._left = True

    def _cut(self, at: int, end: int) -> None:
        """Leave what is before byte ``at``; the answers after it are for later."""
        first = next(index for index, kept in enumerate(self.kept) if kept.error is not None)
        lines = os.pread(self._fd, end - at, at).splitlines()
        answers = {
            first + index: line
            for index, line in enumerate(lines)
            if self.kept[first + index].error is None
        }
        self.later = answers | self.later
        self._left = True
        write_whole(self._aside, b"".join(line + b"\n" for line in self.later.values()))
        os.ftruncate(self._fd, at)
        del self.kept[first:]

    def _keep(self, line: bytes) -> None:
        number = len(self.kept)
        try:
            kept = msgspec.json.decode(line, type=Kept)
        except (msgspec.DecodeError, UnicodeDecodeError):
            kept = None
        if kept is None or kept.index != number:
            raise self._stranger(number)
        self.kept.append(kept)

    def _stranger(self, number: int) -> UsageError:
        """A line that no run has written: the file is somebody's, and stays as it is."""
        return UsageError(
            f"--out: line {number + 1} of {self.path} is not the result of request {number}",
            hint="another file, or remove this one",
            param="--out",
        )
