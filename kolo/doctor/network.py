"""The port, the monitor socket, and the server that may be running."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from kolo.doctor.report import Finding, fail, ok, warn
from kolo.doctor.subject import Subject

if TYPE_CHECKING:
    from kolo.config import Settings

MAX_SOCKET_BYTES = 107
"""Of a socket's path (unix(7): sun_path has 108, one of them for the end)."""
CONNECT_S = 2.0
ASK_S = 20.0
"""For what it is asked, together."""


def port(subject: Subject) -> Iterator[Finding]:
    """Whether ``kolo serve`` could listen."""
    from kolo.ports import holder

    host, number = subject.settings.server.host, subject.settings.server.port
    where = f"port {number} of {host}"
    if number == 0:
        yield ok("port", f"{host}: a free one at each start")
        return
    problem = _bind(host, number)
    if problem is None:
        yield ok("port", f"{where} is free")
    elif problem.errno == errno.EADDRINUSE and _own(subject.settings, number):
        yield ok("port", f"{where} is that of the running server")
    elif problem.errno == errno.EADDRINUSE:
        yield fail(
            "port",
            f"{where} is in use{holder(number)}",
            "another server.port in the settings, or stop what uses it",
        )
    else:
        yield fail("port", f"{where}: {problem.strerror}", "another server.host or server.port")


def _own(settings: Settings, number: int) -> bool:
    """Whether it is a Kolo of this person that listens there."""
    from kolo.beacon import find_server

    env = {name: value for name, value in os.environ.items() if name != "KOLO_URL"}
    found = find_server(settings, env)
    return found is not None and found.endswith(f":{number}")


def _bind(host: str, number: int) -> OSError | None:
    """Why the address cannot be listened on; None if it can."""
    try:
        found = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, _, _, address in found:
            with socket.socket(family, kind) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
                tried.listen(1)
    except OSError as error:
        return error
    return None


def monitor_socket(subject: Subject) -> Iterator[Finding]:
    """Where ``kolo top`` looks for a server."""
    from kolo.monitor.place import socket_path

    path = socket_path(subject.settings, subject.paths)
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_BYTES:
        yield fail(
            "monitor socket",
            f"{path}: {length} bytes, and a socket's path may have {MAX_SOCKET_BYTES}",
            "a shorter monitor.socket in the settings, or XDG_RUNTIME_DIR",
        )
        return
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        yield ok("monitor socket", f"{path}: none, as no server runs")
        return
    if not stat.S_ISSOCK(kind):
        yield fail("monitor socket", f"{path} is no socket", f"move it away: mv {path} {path}.old")
    elif _answers(path):
        yield ok("monitor socket", f"{path}: a server tells what it does")
    else:
        yield ok("monitor socket", f"{path}: left by a server that ended; the next replaces it")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        tried.settimeout(CONNECT_S)
        try:
            tried.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def server(subject: Subject) -> Iterator[Finding]:
    """The server that other commands would use: does it answer, and is it of this version?"""
    import asyncio

    import kolo
    from kolo.beacon import find_server

    address = find_server(subject.settings)
    if address is None:
        yield ok("server", "none runs; commands use an engine of their own")
        return
    try:
        version, engines = asyncio.run(_ask(address))
    except TimeoutError:
        yield fail(
            "server",
            f"{address} takes requests and does not answer within {ASK_S:g} s",
            "kolo logs says what it does; else stop it and start it anew",
        )
        return
    what = f"{address}, {engines} engine{'s' * (engines != 1)}"
    if version and version != kolo.__version__:
        yield warn(
            "server",
            f"{what}: it is Kolo {version}, and this is {kolo.__version__}",
            "start it anew",
        )
    else:
        yield ok("server", what)


class _Identity(Struct, frozen=True):
    version: str = ""


class _Health(Struct, frozen=True):
    """What of ``GET /health`` is of interest here."""

    server: _Identity = _Identity()


async def _ask(address: str) -> tuple[str, int]:
    """Its version, and how many engines it has. ServerUnreachable if it does not answer."""
    import asyncio

    from kolo.client.engines import engines
    from kolo.client.http import Http

    async with asyncio.timeout(ASK_S), Http(address) as http:
        health = await http.get("/health", _Health)
        return health.server.version, len(await engines(http))
