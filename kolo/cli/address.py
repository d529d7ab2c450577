"""What may be wrong with an address to listen on, in words."""

from __future__ import annotations

import errno
import socket

from kolo.address import is_loopback
from kolo.config import Settings
from kolo.errors import KoloError, UsageError
from kolo.keys import keys_file, read_keys
from kolo.paths import Paths
from kolo.ports import holder


def check_exposure(settings: Settings, paths: Paths) -> None:
    """UsageError for an address that others than this machine can reach, where no key says who
    may. Also raises what is wrong with the file of keys."""
    host, access = settings.server.host, settings.access
    keys = read_keys(keys_file(paths))
    if host == "none" or is_loopback(host) or access.allow_unauthenticated:
        return
    if access.require_key == "never" or not (keys or access.require_key == "always"):
        raise UsageError(
            f"--host {host} would let everybody who can reach this machine use your models:\n"
            + (
                'access.require_key is "never"'
                if access.require_key == "never"
                else "there is no API key that would tell who may"
            ),
            hint="kolo keys create NAME, --host 127.0.0.1, or --allow-unauthenticated if that is "
            "what you want",
        )


def bind_error(error: OSError, host: str, port: int) -> KoloError | OSError:
    """Why the address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return UsageError(f"--host {host}: {error.strerror}", hint="--host 127.0.0.1")
    match error.errno:
        case errno.EADDRINUSE:
            return UsageError(
                f"port {port} of {host} is in use{holder(port)}",
                hint=f"--port {port + 1 if port < 65535 else 0}, or stop what uses it",
            )
        case errno.EACCES | errno.EPERM:
            return UsageError(f"this user may not listen on port {port}", hint="--port 8080")
        case errno.EADDRNOTAVAIL:
            return UsageError(
                f"--host {host} is no address of this machine", hint="--host 127.0.0.1"
            )
    return error
