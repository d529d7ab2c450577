"""One server for each state folder: a lock that dies with its process.

Two servers would each forget what the other adds, and write the same logs. The lock is flock(2) on
``server.lock``, which the system gives back however the process ends; what stands in the file only
says who has it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from kolo.errors import ConfigError

NAME = "server.lock"
MAX_BYTES = 4096


class StateTaken(ConfigError):
    """Another server that lives keeps its state there."""

    code = "state_in_use"


class Holder(Struct, frozen=True):
    """What the file says."""

    pid: int = 0
    url: str = ""


class StateLock:
    """The lock of this process. ``problem`` says why there is none, where the folder allows none:
    the server then serves without it."""

    def __init__(self, folder: Path) -> None:
        self.problem = ""
        self._folder = folder
        self._fd: int | None = None
        self._path = folder / NAME

    def take(self) -> None:
        """Raises StateTaken, with who has it."""
        try:
            self._fd = _open(self._path)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            self.give_back()
            raise _taken(self._folder, holder) from None
        except OSError as error:
            self.give_back()
            self.problem = (
                f"the state folder {self._folder} cannot be written: {error.strerror}\n"
                "  engines that are added, logs and history will not be kept"
            )
            return
        self.say("")

    def say(self, url: str) -> None:
        """Let others know where this server is. A full disk hides only that."""
        if self._fd is None:
            return
        data = msgspec.json.encode(Holder(os.getpid(), url)) + b"\n"
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, data, 0)

    def give_back(self) -> None:
        """Safe to call again. The file stays: to remove it would let two take one lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _holder(self) -> Holder:
        try:
            assert self._fd is not None
            return msgspec.json.decode(os.pread(self._fd, MAX_BYTES, 0), type=Holder)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return Holder()


@contextmanager
def held(folder: Path) -> Iterator[StateLock]:
    """The lock of ``folder`` for as long as the block runs. Raises StateTaken."""
    lock = StateLock(folder)
    lock.take()
    try:
        yield lock
    finally:
        lock.give_back()


def _open(path: Path) -> int:
    """A folder that is read-only may still hold the file, which can be locked all the same."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES):
            with suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise


def _taken(folder: Path, holder: Holder) -> StateTaken:
    who = f"process {holder.pid}" if holder.pid else "another process"
    where = f", at {holder.url}" if holder.url else ""
    return StateTaken(
        f"another server keeps its state in {folder}: {who}{where}",
        hint="Stop it first, or give this one folders of its own: KOLO_HOME=/some/folder "
        "kolo serve",
    )
