"""What the server's rooms need to know of the settings, in one place."""

from __future__ import annotations

from dataclasses import dataclass

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
        )
