"""The schema: every section and key with its type, its bounds, its default and what it is for.

A key is added here and in ``config.toml.example``; its variable, its place in ``kolo config`` and
in the JSON Schema follow from that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr, replace

from kolo.errors import ConfigError
from kolo.types import LoadParams, System
from kolo.units import Budget, Bytes, Seconds

BUILTIN_MODEL = "guide"
"""The small model that is part of the package; no other may have its name."""


class ManagerSettings(Struct, frozen=True, kw_only=True):
    memory_budget: Budget | None = None
    """Memory that all engines together may take; None is what is free."""
    max_engines: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Engines loaded at a time; 0 is no limit but memory."""
    idle_unload_s: Seconds = field(default=Seconds(600), name="idle_unload")
    """How long an unused engine stays loaded; 0 is for ever."""
    load_timeout_s: Seconds = field(default=Seconds(600), name="load_timeout")
    """How long a load may go on without progress."""
    hang_timeout_s: Seconds = field(default=Seconds(120), name="hang_timeout")
    """A worker that has work and says nothing for so long is ended; it is asked after half of it.
    0 is never."""
    max_queue: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """Requests that may wait for a slot of one engine."""
    restart_backoff_s: Seconds = field(default=Seconds(1), name="restart_backoff")
    """Pause after an engine crashed twice in a row; doubles with each further crash."""
    restart_backoff_max_s: Seconds = field(default=Seconds(30), name="restart_backoff_max")


class ServerSettings(Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    request_timeout_s: Seconds = field(default=Seconds(600), name="request_timeout")
    max_body_bytes: Bytes = field(default=Bytes(32 << 20), name="max_body")
    body_timeout_s: Seconds = field(default=Seconds(60), name="body_timeout")
    """How long a client may take to send a request's body; 0 is for ever."""
    heartbeat_s: Seconds = field(default=Seconds(10), name="heartbeat")
    """Silence after which a stream sends a comment, so that nobody on the way ends it; 0 is
    never."""
    stop_timeout_s: Seconds = field(default=Seconds(30), name="stop_timeout")
    """How long running answers may go on once the server is told to stop."""
    header_timeout_s: Seconds = field(default=Seconds(20), name="header_timeout")
    """How long a client may take to send a request's headers; 0 is for ever."""
    send_timeout_s: Seconds = field(default=Seconds(60), name="send_timeout")
    """How long a client may take nothing of its answer; 0 is for ever."""
    idle_timeout_s: Seconds = field(default=Seconds(75), name="idle_timeout")
    """How long a connection is kept after a request; 0 is for ever."""
    max_header_bytes: Bytes = field(default=Bytes(16 << 10), name="max_header")
    max_connections: Annotated[int, Meta(ge=16, le=1_000_000)] = 4096
    """Past that idle ones are closed, the most silent first; where none is idle, a new one is."""
    socket: str = ""
    """Unix socket that is listened on as well."""
    socket_mode: Annotated[str, Meta(pattern="^0?[0-7]{3}$")] = "0660"
    tls_cert: str = ""
    """Certificate and its chain, PEM; with it TLS is spoken on the port."""
    tls_key: str = ""

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError(
                "server.tls_cert and server.tls_key go together",
                hint="Both, or neither: kolo config set server.tls_cert FILE server.tls_key FILE",
                param="server.tls_key" if self.tls_cert else "server.tls_cert",
            )
        if self.host == "none" and not self.socket:
            raise ConfigError(
                'server.host is "none", and there is no server.socket to listen on',
                hint="Set server.socket.",
                param="server.socket",
            )


class CorsSettings(Struct, frozen=True, kw_only=True):
    """Pages of other sites that may use the server from a browser."""

    origins: list[str] = []
    """``https://HOST[:PORT]``, or ``*`` for all; none are allowed by default."""
    methods: list[str] = field(default_factory=lambda: ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
    headers: list[str] = field(
        default_factory=lambda: ["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"]
    )
    credentials: bool = False
    """Whether a page may send cookies and the like."""
    max_age_s: Seconds = field(default=Seconds(86_400), name="max_age")
    """How long a browser need not ask again."""

    def __post_init__(self) -> None:
        if self.credentials and "*" in self.origins:
            raise ConfigError(
                "access.cors.credentials with any origin would let every site act for its visitors",
                hint="Name the origins.",
                param="access.cors.origins",
            )
        for text in (*self.origins, *self.methods, *self.headers):
            if not text.isascii() or not text.isprintable() or " " in text:
                raise ConfigError(
                    f"access.cors: {text!r} can be in no header",
                    hint="Such as https://chat.example.org",
                    param="access.cors",
                )


class AccessSettings(Struct, frozen=True, kw_only=True):
    """Who may use the server, and how much of it."""

    require_key: Literal["auto", "always", "never"] = "auto"
    """``auto``: once a key has been made, and beyond this machine."""
    allow_unauthenticated: bool = False
    """Listen beyond this machine without keys."""
    allowed_hosts: list[str] = []
    """Names that this server is called by, beside localhost."""
    requests_per_minute: Annotated[int, Meta(ge=0, le=10**12)] = 0
    """Of each key, or of each address without one; 0 is without limit."""
    tokens_per_minute: Annotated[int, Meta(ge=0, le=10**12)] = 0
    """Of prompts and answers, likewise."""
    cors: CorsSettings = CorsSettings()


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Models on disk. ``load_settings`` makes the folders absolute; in settings that come from
    nowhere an empty one means that there is none."""

    dir: str = ""
    """The store; empty is ``models`` in the data folder."""
    folders: list[str] = []
    """Further folders whose models are known by their names, and stay where they are."""
    hub_cache: str = ""
    """Where Hugging Face's own tools keep what they fetch, which is known too; empty is where
    HF_HUB_CACHE or HF_HOME say, ``off`` leaves it alone."""
    ollama_registry: str = "registry.ollama.ai"
    """The host, and port, of ``ollama:`` references."""


class DownloadSettings(Struct, frozen=True, kw_only=True):
    quant: Annotated[str, Meta(min_length=1, max_length=64)] = "Q4_K_M"
    """Taken from a repository when the reference names none, or what is nearest to it."""
    allow_private: bool = False
    """Whether requests to the server may make it fetch from addresses that are not public."""
    stall_timeout_s: Seconds = field(default=Seconds(30), name="stall_timeout")
    """A connection on which nothing comes for so long is given up and made anew."""
    insecure_registries: list[str] = []
    """Hosts, with the port if any, whose registry is asked over http."""


class CacheSettings(Struct, frozen=True, kw_only=True):
    """Cached prefixes of engines that a server has unloaded, in ``prefixes`` of the cache
    folder."""

    save: bool = True
    """Save them when an engine is unloaded, and take them back when it is loaded again."""
    max_size_bytes: Bytes = field(default=Bytes(8 << 30), name="max_size")
    """Of all together; the least recently used go first."""


class MonitorSettings(Struct, frozen=True, kw_only=True):
    socket: str = ""
    """Unix socket of the monitor; empty is ``monitor.sock`` in the runtime folder."""


class HistorySettings(Struct, frozen=True, kw_only=True):
    """Figures, events and engine runs of a server, kept in ``history.db`` of the state folder."""

    enabled: bool = True
    max_size_bytes: Bytes = field(default=Bytes(64 << 20), name="max_size")
    """Of the file and its log, 4 MiB at least; the oldest goes first."""
    keep_minutes_s: Seconds = field(default=Seconds(2 * 86_400), name="keep_minutes")
    """How long figures of each minute are kept; those of ten minutes remain after that."""
    keep_ten_minutes_s: Seconds = field(default=Seconds(30 * 86_400), name="keep_ten_minutes")
    """How long those are kept; those of each hour, and of six, remain while there is room."""

    def __post_init__(self) -> None:
        if self.max_size_bytes < 4 << 20:
            raise ConfigError(
                f"history.max_size: expected 4MiB at least, found {self.max_size_bytes} bytes",
                hint="With history.enabled = false nothing is kept.",
                param="history.max_size",
            )


class OtelSettings(Struct, frozen=True, kw_only=True):
    """OpenTelemetry: a span for each request, and metrics, over OTLP/HTTP. Never a text."""

    enabled: bool = False
    endpoint: str = ""
    """Base URL of a collector; empty is what OTEL_EXPORTER_OTLP_ENDPOINT says, else
    http://localhost:4318."""


class LogSettings(Struct, frozen=True, kw_only=True):
    """What ``kolo serve`` says of itself. Never a prompt, an answer or a key."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less grave is left out."""
    format: Literal["text", "json"] = "text"
    """``json`` is one object a line."""
    file: str = ""
    """Lines are appended there; empty is stderr. SIGHUP and SIGUSR1 open it anew."""
    access: bool = False
    """A line for each request: who, which path, status, bytes, how long."""


class CommandSettings(Struct, frozen=True, kw_only=True):
    """Of ``kolo chat``, ``kolo complete`` or ``kolo embed``."""

    model: str = ""
    """Never empty in ``Settings``: ``default_model`` stands in."""


class ChatSettings(CommandSettings, frozen=True, kw_only=True):
    """Of ``kolo chat``."""

    system: System = ""
    """The system message that a conversation begins with; empty is none."""
    markdown: bool = True
    """Answers are shown as Markdown where the terminal can; off, as they come."""
    thoughts: bool = True
    """What a model thinks before it answers is shown."""
    stats: bool = True
    """A line of numbers after each answer."""
    history: bool = True
    """What is typed is kept, in ``chat_history`` of the state folder."""
    save: bool = True
    """Conversations are kept, in ``chats`` of the state folder."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """A ``[models.NAME]`` table; ``params`` are its own keys over those of ``[engine]``."""

    path: Path
    aliases: tuple[str, ...] = ()
    pin: bool = False
    """Never unloaded to make room, nor when idle."""
    ttl_s: Seconds | None = None
    """As ``idle_unload_s``, for this model alone."""
    description: str = ""
    params: LoadParams = LoadParams()


class Settings(Struct, frozen=True, kw_only=True):
    default_model: str = BUILTIN_MODEL
    profile: Annotated[str, Meta(max_length=64)] = ""
    """Which ``[profiles.NAME]`` lies over the rest of the file; empty, or ``none``, is none."""
    engine: LoadParams = LoadParams()
    manager: ManagerSettings = ManagerSettings()
    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    store: StoreSettings = StoreSettings()
    downloads: DownloadSettings = DownloadSettings()
    cache: CacheSettings = CacheSettings()
    monitor: MonitorSettings = MonitorSettings()
    history: HistorySettings = HistorySettings()
    otel: OtelSettings = OtelSettings()
    log: LogSettings = LogSettings()
    chat: ChatSettings = ChatSettings()
    complete: CommandSettings = CommandSettings()
    embed: CommandSettings = CommandSettings()
    models: dict[str, ModelSettings] = {}
    file: Path | None = None
    """The file that was read, or would have been."""
    origins: dict[str, str] = {}
    """Dotted key to where its value came from, for every key that is not at its default."""

    def __post_init__(self) -> None:
        for section in ("chat", "complete", "embed"):
            if not getattr(self, section).model:
                own = replace(getattr(self, section), model=self.default_model)
                force_setattr(self, section, own)

    def origin(self, key: str) -> str:
        """``default``, ``FILE:LINE``, ``FILE:LINE (profile NAME)``, ``env NAME`` or
        ``flag --NAME``."""
        return self.origins.get(key, "default")


class ModelKeys(Struct, kw_only=True):
    """The keys of a ``[models.NAME]`` table besides those of ``[engine]``."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    aliases: list[str] = []
    pin: bool = False
    ttl: Seconds | None = None
    description: str = ""
