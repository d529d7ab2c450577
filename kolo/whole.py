"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

NO_ROOM = frozenset({ENOSPC, EDQUOT, EFBIG})
"""Numbers of an OSError that say that a disk, or what somebody may have of it, is full."""


def write_whole(
    path: Path, data: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Put ``data`` into ``path``, by default for its owner alone; a crash leaves the old file or
    the new. ``owner`` is a user and a group, by number; None is whoever runs this.

    Temporary file, fsync, rename, fsync of the folder (rename(2), fsync(2)). The folder must be
    there. OSError when it cannot be done, and then the old file is as it was.
    """
    import tempfile  # 5 ms, which who only reads need not pay

    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            if owner is not None:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Put ``text`` into a file of somebody's, whole: a link stays one, mode and owner stay.

    A new file has ``mode``, or what the umask leaves. The folder is made if it is not there.
    OSError when it cannot be done, and then the file is as it was.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    owner = None
    try:
        status = target.stat()
        mode = stat.S_IMODE(status.st_mode)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            owner = status.st_uid, status.st_gid
    except FileNotFoundError:
        mode = 0o666 & ~_umask() if mode is None else mode
    data = text.encode(errors="surrogateescape")  # what was no UTF-8 stays what it was
    write_whole(target, data, mode=mode, owner=owner)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def give_to_owner_of(folder: Path, file: Path) -> None:
    """Root leaves in the folder of a service's user no file that the service cannot read."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=False)
