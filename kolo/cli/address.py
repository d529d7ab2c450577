"""What may be wrong with an address to listen on, in words."""

from __future__ import annotations

import errno
import ipaddress
import shlex
import socket
from contextlib import suppress

from kolo.errors import KoloError, UsageError


def check_loopback(host: str) -> None:
    """UsageError for an address that others than this machine can reach."""
    if not is_loopback(host):
        raise UsageError(
            f"--host {host} would let everybody who can reach this machine use your models:\n"
            "there are no API keys yet that would tell who may",
            hint="--allow-unauthenticated if that is what you want, or --host 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return False
    return bool(found) and all(
        ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found
    )


def bind_error(error: OSError, host: str, port: int) -> KoloError | OSError:
    """Why the address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return UsageError(f"--host {host}: {error.strerror}", hint="--host 127.0.0.1")
    match error.errno:
        case errno.EADDRINUSE:
            return UsageError(
                f"port {port} of {host} is in use{_holder(port)}",
                hint=f"--port {port + 1 if port < 65535 else 0}, or stop what uses it",
            )
        case errno.EACCES | errno.EPERM:
            return UsageError(f"this user may not listen on port {port}", hint="--port 8080")
        case errno.EADDRNOTAVAIL:
            return UsageError(
                f"--host {host} is no address of this machine", hint="--host 127.0.0.1"
            )
    return error


def _holder(port: int) -> str:
    """Who listens on ``port``, as far as this user may know."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            here = getattr(connection.laddr, "port", None) == port  # an empty tuple has none
            if listens and here and connection.pid is not None:
                process = psutil.Process(connection.pid)
                line = shlex.join(process.cmdline()) or process.name()
                shown = line if len(line) <= 80 else f"{line[:80]}…"
                return f" by process {connection.pid}: {shown}"
    return ""
