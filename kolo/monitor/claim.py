"""Taking a path for a Unix socket, and giving it back.

A socket file outlives a server that was killed. So who finds one tries to connect: only when nobody
answers there is it replaced, and never anything else that stands at that path. Two servers that
start at once take turns by a lock on the folder.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kolo.errors import ConfigError
from kolo.flock import lock

BACKLOG = 64
MAX_PATH_BYTES = 107
"""Of a Unix socket's address: sun_path less its end (unix(7))."""
CONNECT_S = 1.0


class SocketTakenError(ConfigError):
    """Another server that lives has it."""


def claim(path: Path) -> socket.socket:
    """A listening socket at ``path`` that only its owner may connect to.

    Raises SocketTakenError for that of a server that lives, and ConfigError when there can be none.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    if len(os.fsencode(staged)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"the path of the monitor socket is too long for a socket: {path}",
            hint="Set monitor.socket, or KOLO_MONITOR_SOCKET, to a shorter one.",
            param="monitor.socket",
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone(path.parent):
            _check_free(path)
            staged.unlink(missing_ok=True)
            # Its mode is set before it can be found: none but the owner ever connects.
            sock.bind(str(staged))
            staged.chmod(0o600)
            sock.listen(BACKLOG)
            staged.rename(path)
    except OSError as error:
        sock.close()
        with suppress(OSError):
            staged.unlink()
        raise ConfigError(
            f"cannot make the monitor socket {path}: {error.strerror or error}",
            hint="Set monitor.socket to a path Kolo may write to.",
            param="monitor.socket",
        ) from error
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def release(path: Path, inode: int) -> None:
    """Remove the socket file, if it is still the one with ``inode``."""
    with suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else claims a path in ``folder`` meanwhile."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock(fd)
        yield
    finally:
        os.close(fd)


def _check_free(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            f"{path} is there, and it is no socket",
            hint="Move it away, or set monitor.socket to another path.",
            param="monitor.socket",
        )
    if _answers(path):
        raise SocketTakenError(
            f"another server speaks at {path}",
            hint="Set monitor.socket, or KOLO_MONITOR_SOCKET, to another path for this one.",
            param="monitor.socket",
        )


def _answers(path: Path) -> bool:
    """Whether anybody listens there; one that cannot be asked counts as somebody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True
