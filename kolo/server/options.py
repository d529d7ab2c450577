"""What the server's rooms need to know of the settings, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kolo.config import Settings

NEVER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes any free one."""
    max_body_bytes: int = 32 << 20
    body_timeout_s: float | None = 60.0
    """How long a client may take to send its body; None for as long as it wants."""
    header_timeout_s: float = 20.0
    """How long a client may take to send the headers of a request, from its first byte, or from
    the connection."""
    send_timeout_s: float | None = 60.0
    """How long a client may take nothing of its answer; None for ever."""
    idle_timeout_s: float = 75.0
    """How long a connection is kept after a request. Longer than clients keep one, so that none
    is closed while a request is on it."""
    max_header_bytes: int = 16 << 10
    max_connections: int = 4096
    socket: str = ""
    """Unix socket that is listened on as well."""
    socket_mode: int = 0o660
    tls_cert: str = ""
    """Certificate and its chain, PEM; with it TLS is spoken on the port."""
    tls_key: str = ""
    request_timeout_ms: int | None = 600_000
    """The most an answer may take, from its arrival in the engine; None for ever."""
    heartbeat_s: float = 10.0
    """Silence after which a stream sends a comment; also how long an answer may keep its
    status open, so that what goes wrong early still has the right one."""
    stop_timeout_s: float = 30.0
    """How long running answers may go on once the server is told to stop."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Options:
        server = settings.server
        timeout_ms = round(server.request_timeout_s * 1000)
        return cls(
            host=server.host,
            port=server.port,
            max_body_bytes=server.max_body_bytes,
            request_timeout_ms=timeout_ms or None,
            body_timeout_s=float(server.body_timeout_s) or None,
            heartbeat_s=float(server.heartbeat_s) or NEVER_S,
            stop_timeout_s=float(server.stop_timeout_s),
            header_timeout_s=float(server.header_timeout_s) or NEVER_S,
            send_timeout_s=float(server.send_timeout_s) or None,
            idle_timeout_s=float(server.idle_timeout_s) or NEVER_S,
            max_header_bytes=server.max_header_bytes,
            max_connections=server.max_connections,
            socket=server.socket,
            socket_mode=int(server.socket_mode, 8),
            tls_cert=server.tls_cert,
            tls_key=server.tls_key,
        )

    def following(self, settings: Settings) -> Options:
        """As other settings say, but for the address, which is listened on already."""
        kept = ("host", "port", "socket", "socket_mode", "tls_cert", "tls_key", "max_connections")
        same = {name: getattr(self, name) for name in kept}
        return replace(Options.from_settings(settings), **same)
