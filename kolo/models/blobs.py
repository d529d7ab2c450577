"""Contents of the store, each once: ``blobs/sha256-<hex>.gguf``.

A version has its files under their own names as hard links to blobs, because llama.cpp finds
the parts of a split model by their names; where the file system has no hard links, as relative
symbolic links.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kolo.models.manifest import Stored

if TYPE_CHECKING:
    from kolo.models.store import Incoming

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def path(store: Path, digest: str) -> Path:
    return store / "blobs" / f"{digest.replace(':', '-')}.gguf"


def put(store: Path, files: Sequence[Incoming]) -> list[str]:
    """Move files in; the digests of those that were not there. Durable when it returns."""
    folder = store / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    new: list[str] = []
    try:
        for file in files:
            target = path(store, file.digest)
            if not file.mine:
                continue
            if is_whole(target, file.size_bytes):
                file.path.unlink()
                continue
            sync(file.path)
            file.path.chmod(0o644)
            os.rename(file.path, target)
            new.append(file.digest)
    except BaseException:
        drop(store, new)
        raise
    sync(folder)
    return new


def is_whole(blob: Path, size_bytes: int) -> bool:
    """Whether the blob is there, as far as its size tells."""
    try:
        return blob.lstat().st_size == size_bytes and not blob.is_symlink()
    except OSError:
        return False


def link(blob: Path, target: Path) -> None:
    """Have ``target`` be the content of ``blob``. OSError if it cannot be."""
    try:
        os.link(blob, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        target.symlink_to(Path(os.path.relpath(blob, target.parent)))


def drop(store: Path, digests: Iterable[str]) -> None:
    for digest in digests:
        path(store, digest).unlink(missing_ok=True)


def orphans(store: Path, models: Iterable[Stored]) -> list[Path]:
    """Blobs that no version needs."""
    needed = {
        path(store, file.digest).name
        for stored in models
        for version in stored.versions
        for file in version.files
        if not file.path
    }
    try:
        found = sorted((store / "blobs").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [blob for blob in found if blob.name not in needed]


def sweep(store: Path, models: Iterable[Stored]) -> None:
    for blob in orphans(store, models):
        blob.unlink(missing_ok=True)


def hide_and_remove(folder: Path) -> None:
    """Remove a folder so that nobody sees half of it. A link is removed, not followed."""
    if folder.is_symlink():
        folder.unlink()
        return
    hidden = folder.with_name(f".gone.{os.getpid()}.{time.monotonic_ns()}")
    with suppress(FileNotFoundError):
        os.rename(folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def debris(store: Path) -> list[Path]:
    """What a process that was killed left: hidden folders in ``names``."""
    names = store / "names"
    return [*names.glob(".*"), *names.glob("*/.*")]


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, outlast a crash of the machine (fsync(2))."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
