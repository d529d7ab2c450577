"""One writer at a time in a folder, across processes (flock(2))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kolo.errors import Busy, ConfigError
from kolo.flock import WAIT_S, lock


@contextmanager
def locked(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold ``folder``'s lock for as long as the block runs; the folder is made if need be.

    Busy when another process has it for longer than ``wait_s``, ConfigError when the folder
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise ConfigError(
            f"cannot write to the store {folder}: {error.strerror}",
            hint="Correct its permissions, or set store.dir to a folder of your own.",
        ) from error
    try:
        _take(fd, folder, wait_s)
        yield
    finally:
        os.close(fd)


def _take(fd: int, folder: Path, wait_s: float) -> None:
    try:
        lock(fd, wait_s)
    except TimeoutError:
        raise Busy(
            f"another process is changing the store {folder}",
            hint="Try again when it is done.",
            retry_after_s=5.0,
        ) from None
