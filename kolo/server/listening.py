"""What a server listens on: a port, with TLS or without, and a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kolo.errors import ConfigError
from kolo.server.connection import Bounded
from kolo.server.crowd import BURST, Crowd, burst_for, room_for
from kolo.server.options import Options

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, those that RFC 9113 (HTTP/2) does not forbid; TLS 1.3 has its own."""
RENEWAL_S = 10.0
"""How often it is looked whether the certificate was renewed."""
NO_HOST = "none"
NO_MORE = "socket.accept() out of system resource"
"""What asyncio says each time a connection finds no descriptor, memory or buffer."""
NO_MORE_EVERY_S = 10.0

log = logging.getLogger(__name__)


class Listening:
    """Sockets that are bound. Raises OSError or ConfigError where they cannot be."""

    def __init__(self, options: Options) -> None:
        self.crowd = Crowd(room_for(options.max_connections))
        self._options = options
        self._stamp = _stamp(options)
        self._context: ssl.SSLContext | None = None
        if options.tls_cert:
            _tls_context(options)
        self._port = None if options.host == NO_HOST else _bind(options.host, options.port)
        self._unix: socket.socket | None = None
        self._inode = 0
        try:
            if options.socket:
                self._unix = _bind_unix(Path(options.socket), options.socket_mode)
                self._inode = os.stat(options.socket).st_ino
        except BaseException:
            if self._port is not None:
                self._port.close()
            raise
        self.host, self.port = f"unix:{options.socket}", 0
        if self._port is not None:
            self.host, self.port = self._port.getsockname()[:2]

    def config(self) -> Bounded:
        """Hypercorn's settings; the sockets are its own from here on."""
        options, config = self._options, _Config(self)
        bound = [f"fd://{sock.detach()}" for sock in (self._port,) if sock is not None]
        private = [f"fd://{sock.detach()}" for sock in (self._unix,) if sock is not None]
        if options.tls_cert:
            config.bind, config.insecure_bind = bound, private
            config.certfile, config.keyfile = options.tls_cert, options.tls_key
        else:
            config.bind = bound + private
        config.crowd = self.crowd
        config.header_timeout_s = options.header_timeout_s
        config.ssl_handshake_timeout = options.header_timeout_s
        config.keep_alive_timeout = options.idle_timeout_s
        config.h11_max_incomplete_size = options.max_header_bytes
        config.h2_max_header_list_size = options.max_header_bytes
        # What is read is taken by Quart at once; with a bound, what comes after it has answered
        # would wait for ever for somebody to take it.
        config.max_app_queue_size = 0
        config.workers = 1
        config.backlog = burst_for(self.crowd.limit)
        config.keep_alive_max_requests = 1 << 30
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = errors = logging.getLogger("kolo.server.hypercorn")
        errors.setLevel(logging.WARNING)  # where it listens is told by whoever starts it
        return config

    def close(self) -> None:
        """No connection waits for a request any more; the Unix socket goes from its folder."""
        self.crowd.close()
        with suppress(OSError):
            if self._inode and os.stat(self._options.socket).st_ino == self._inode:
                os.unlink(self._options.socket)

    async def renew(self) -> None:
        """Take a certificate that was renewed for all connections from then on. Never returns."""
        while True:
            await asyncio.sleep(RENEWAL_S)
            self.look()

    def look(self) -> None:
        """Whether there is another certificate; one that cannot be used is not taken."""
        stamp = _stamp(self._options)
        if self._context is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            _tls_context(self._options)
            self._context.load_cert_chain(self._options.tls_cert, self._options.tls_key, "")
        except (ConfigError, OSError) as error:
            log.error("the certificate was not renewed: %s", error)
        else:
            log.info("the certificate was renewed")

    def make_context(self) -> ssl.SSLContext:
        self._context = _tls_context(self._options)
        return self._context


class _Config(Bounded):
    def __init__(self, listening: Listening) -> None:
        super().__init__()
        self._listening = listening

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self._listening.make_context() if self.ssl_enabled else None


def _tls_context(options: Options) -> ssl.SSLContext:
    """TLS 1.2 or later, HTTP/2 by ALPN. ConfigError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["h2", "http/1.1"])
    for key, file in (("tls_cert", options.tls_cert), ("tls_key", options.tls_key)):
        if not os.access(file, os.R_OK):
            raise ConfigError(
                f"server.{key}: {file} is not there, or not to be read",
                hint="Give the file of the certificate, or of its key, in PEM.",
                param=f"server.{key}",
            )
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password="")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"the certificate in {options.tls_cert} cannot be used with the key in "
            f"{options.tls_key}: {error}",
            hint="Both are PEM; the key is that of the first certificate, without a passphrase.",
            param="server.tls_cert",
        ) from error
    return context


@contextmanager
def scarcity_told() -> Iterator[None]:
    """Connections that cannot be accepted are told of now and then, not hundreds of times."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    told_s = -NO_MORE_EVERY_S

    def tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told_s
        if context.get("message") != NO_MORE:
            (before or type(loop).default_exception_handler)(loop, context)
        elif loop.time() - told_s >= NO_MORE_EVERY_S:
            told_s = loop.time()
            log.warning("a connection cannot be accepted: %s", context.get("exception"))

    loop.set_exception_handler(tell)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. IPv4 where a name has both: what it prints is what it listens on."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(address, family=family, backlog=BURST)  # with a scope, if any


def _bind_unix(path: Path, mode: int) -> socket.socket:
    """A socket that a server left which is gone is replaced, nothing else is."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _is_listened_on(path):
            path.unlink()
        os.fchmod(sock.fileno(), mode)  # so that it is open to no one else from the first moment
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(BURST)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on the socket {path}: {error.strerror or error}",
            hint="Another path, or remove what is there if nobody needs it.",
            param="server.socket",
        ) from error
    return sock


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _stamp(options: Options) -> tuple[tuple[int, int, int], ...]:
    found = []
    for file in (options.tls_cert, options.tls_key):
        with suppress(OSError):
            status = os.stat(file)
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
