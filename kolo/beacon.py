"""Where a running server is: the file it leaves, and how others find it.

A server writes ``server.json`` into the runtime folder when it listens and removes it when it
ends. Who looks for one takes the first of these that there is:

1. a ``--url``, or KOLO_URL: believed, and complained about if nobody answers there;
2. the address that the settings name (not the default one);
3. what ``server.json`` says, if that process lives;
4. the default address.

At 2 to 4 a Kolo must answer: a stranger on the port gets nobody's prompts.

The file also holds a token that the server takes for a key of its operator: whoever can read it is
the user that the server runs as, or root. So commands on the server's own machine need no key.
Elsewhere KOLO_API_KEY has one.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta, Struct

from kolo.config import Settings
from kolo.errors import KoloError, UsageError
from kolo.paths import Paths, find_paths
from kolo.whole import write_whole

PROBE_S = 1.0
"""How long a server that listens may take to say what it is."""
MAX_HEALTH_BYTES = 1 << 20
READ_BYTES = 1 << 16
UNIX = "unix:"
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Beacon(Struct, frozen=True, kw_only=True):
    """The file of a server."""

    url: str
    pid: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    started: float
    """Unix time in seconds."""
    token: str = ""
    """Lets commands of the same user in without a key."""
    certificate: str = ""
    """The file of the one that the server has, if it speaks TLS."""


class _Server(Struct, frozen=True):
    name: str = ""


class _Health(Struct, frozen=True):
    """What of ``GET /health`` tells a Kolo from others."""

    server: _Server = _Server()


def light(paths: Paths, url: str, token: str = "", certificate: str = "") -> Beacon | None:
    """Say that this process serves at ``url``; another server that lives keeps its place, and
    is returned. The runtime folder must be there."""
    other = read(paths)
    if other is not None and other.pid != os.getpid() and _is_kolo(other.url):
        return other
    beacon = Beacon(
        url=url, pid=os.getpid(), started=time.time(), token=token, certificate=certificate
    )
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


def own_server(url: str, env: Mapping[str, str] | None = None) -> Beacon | None:
    """The file of the server at ``url``, if it is one of this machine and user."""
    with suppress(KoloError):  # no home folder: then there is no file either
        beacon = read(find_paths(os.environ if env is None else env))
        return beacon if beacon is not None and beacon.url == url else None
    return None


def key_for(url: str, env: Mapping[str, str] | None = None) -> str:
    """The key to send to the server at ``url``: KOLO_API_KEY, else its own token; or none."""
    env = os.environ if env is None else env
    if key := env.get("KOLO_API_KEY", "").strip():
        return key
    own = own_server(url, env)
    return own.token if own is not None else ""


def checked_url(text: str, origin: str) -> str:
    """``text`` as ``http(s)://host[:port][/path]``, without a slash at the end, or as
    ``unix:/path`` of a socket."""
    given = text.strip()
    if given.startswith(UNIX):
        path = given.removeprefix(UNIX)
        path = path[2:] if path.startswith("///") else path
        if path.startswith("/") and given.isprintable():
            return UNIX + path
        raise UsageError(
            f"{origin}: {text!r} is no socket of a server",
            hint="unix:/run/kolo/http.sock, from the root on",
            param=origin,
        )
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


def server_url(host: str, port: int, *, tls: bool = False) -> str:
    """The address to reach a server at that listens on ``host``: of this machine, where that
    is every address. A host of ``unix:PATH`` is one by itself."""
    if host.startswith(UNIX):
        return host
    scheme = "https" if tls else "http"
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _candidates(settings: Settings, env: Mapping[str, str]) -> Iterator[str]:
    server = settings.server
    configured = server_url(server.host, server.port, tls=bool(server.tls_cert))
    named = any(settings.origin(f"server.{key}") != "default" for key in ("host", "port"))
    if server.socket:
        yield UNIX + server.socket
    if server.host == "none":
        return
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
    try:
        connection = _dialled(parts)
    except OSError:
        return False
    with connection:
        try:
            health = msgspec.json.decode(
                _health(connection, parts.netloc or "localhost"), type=_Health
            )
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return False
    return health.server.name == "kolo"


def _health(connection: socket.socket, host: str) -> bytes:
    """What is answered to ``GET /health``; nothing if that is no HTTP, or too long."""
    import h11  # nobody needs it who has found nobody

    headers = [("Host", host), ("Connection", "close")]
    exchange = h11.Connection(h11.CLIENT)
    connection.sendall(
        exchange.send(h11.Request(method="GET", target="/health", headers=headers)) or b""
    )
    exchange.send(h11.EndOfMessage())
    body = b""
    deadline_s = time.monotonic() + PROBE_S
    try:
        while not isinstance(event := exchange.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
                exchange.receive_data(connection.recv(READ_BYTES))
            elif isinstance(event, h11.Data) and len(body) <= MAX_HEALTH_BYTES:
                body += event.data
    except h11.ProtocolError:
        return b""
    return body if len(body) <= MAX_HEALTH_BYTES else b""


def _dialled(parts: SplitResult) -> socket.socket:
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(PROBE_S)
            connection.connect(parts.path)
        except OSError:
            connection.close()
            raise
        return connection
    if parts.scheme == "http":
        return _dial(parts.hostname or "", parts.port or 80)
    import ssl  # slow to import

    # Only asked who it is: what is sent afterwards goes by a connection that checks.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = _dial(parts.hostname or "", parts.port or 443)
    try:
        return context.wrap_socket(plain)
    except OSError:
        plain.close()
        raise


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
