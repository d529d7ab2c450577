"""Where a running server is: the file it leaves, and how others find it.

A server writes ``server.json`` into the runtime folder when it listens and removes it when it
ends. Who looks for one takes the first of these that there is:

1. a ``--url``, or KOLO_URL: believed, and complained about if nobody answers there;
2. the address that the settings name (not the default one);
3. what ``server.json`` says, if that process lives;
4. the default address.

At 2 to 4 a Kolo must answer: a stranger on the port gets nobody's prompts.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from kolo.config import Settings
from kolo.errors import UsageError
from kolo.paths import Paths, find_paths
from kolo.whole import write_whole

PROBE_S = 1.0
"""How long a server that listens may take to say what it is."""
MAX_HEALTH_BYTES = 1 << 20
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Beacon(Struct, frozen=True, kw_only=True):
    """The file of a server."""

    url: str
    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    started: float
    """Unix time in seconds."""


class _Server(Struct, frozen=True):
    name: str = ""


class _Health(Struct, frozen=True):
    """What of ``GET /health`` tells a Kolo from others."""

    server: _Server = _Server()


def light(paths: Paths, url: str) -> Beacon | None:
    """Say that this process serves at ``url``; another server that lives keeps its place, and
    is returned. The runtime folder must be there."""
    other = read(paths)
    if other is not None and other.pid != os.getpid() and _is_kolo(other.url):
        return other
    beacon = Beacon(url=url, pid=os.getpid(), started=time.time())
    write_whole(_file(paths), msgspec.json.encode(beacon) + b"\n")
    return None


def put_out(paths: Paths) -> None:
    """Remove the file if it is this process's."""
    beacon = read(paths)
    if beacon is not None and beacon.pid == os.getpid():
        _file(paths).unlink(missing_ok=True)


def read(paths: Paths) -> Beacon | None:
    """The file, if its process lives; one whose process is gone, or that is none, is removed."""
    file = _file(paths)
    try:
        data = file.read_bytes()
        if file.stat().st_uid != os.getuid():  # in a folder that anybody could have made
            return None
        beacon = msgspec.json.decode(data, type=Beacon)
    except OSError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        beacon = None
    if beacon is None or not _lives(beacon.pid):
        with suppress(OSError):
            file.unlink()
        return None
    return beacon


def find_server(
    settings: Settings, env: Mapping[str, str] | None = None, *, url: str | None = None
) -> str | None:
    """The address of a running server, such as ``http://127.0.0.1:8080``, or None.

    UsageError for a ``url`` (or KOLO_URL) that is none. Quick where nobody listens.
    """
    env = os.environ if env is None else env
    if url or env.get("KOLO_URL"):
        return checked_url(url or env["KOLO_URL"], "--url" if url else "KOLO_URL")
    return next((each for each in _candidates(settings, env) if _is_kolo(each)), None)


def checked_url(text: str, origin: str) -> str:
    """``text`` as ``http(s)://host[:port][/path]``, without a slash at the end."""
    given = text.strip()
    if "://" not in given:
        given = f"http://{given}"
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or not given.isprintable():
        raise UsageError(
            f"{origin}: {text!r} is no address of a server",
            hint="http://127.0.0.1:8080",
            param=origin,
        )
    return given.rstrip("/")


def server_url(host: str, port: int) -> str:
    """The address to reach a server at that listens on ``host``: of this machine, where that
    is every address."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _candidates(settings: Settings, env: Mapping[str, str]) -> Iterator[str]:
    server = settings.server
    configured = server_url(server.host, server.port)
    named = any(settings.origin(f"server.{key}") != "default" for key in ("host", "port"))
    if named and server.port:
        yield configured
    beacon = read(find_paths(env))
    if beacon is not None:
        yield beacon.url
    if not named:
        yield configured


def _is_kolo(url: str) -> bool:
    """Whether a Kolo answers at ``url``. Nobody listening is told apart at once."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        connection = _dial(host, port)
    except OSError:
        return False
    from http.client import HTTPConnection, HTTPException

    asked = HTTPConnection(host, port, timeout=PROBE_S)
    asked.sock = connection
    try:
        asked.request("GET", "/health", headers={"Connection": "close"})
        body = asked.getresponse().read(MAX_HEALTH_BYTES)
        return msgspec.json.decode(body, type=_Health).server.name == "kolo"
    except (OSError, HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return False
    finally:
        asked.close()


def _dial(host: str, port: int) -> socket.socket:
    """A connection. An address in numbers is not looked up: that costs 10 ms the first time."""
    family = next((each for each in _FAMILIES if _is_address(each, host)), None)
    if family is None:
        return socket.create_connection((host, port), timeout=PROBE_S)
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(PROBE_S)
        connection.connect((host, port))
    except OSError:
        connection.close()
        raise
    return connection


def _is_address(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


def _file(paths: Paths) -> Path:
    return paths.runtime / "server.json"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
