"""The lines themselves, to and from JSON."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from kolo.snapshot.engines import Download, Engine, Request
from kolo.snapshot.machine import Gpu, Host, Process
from kolo.snapshot.numbers import Totals, Windows

PROTOCOL = 1
INTERVAL_S = 1.0
SHORTEST_S, LONGEST_S = 0.1, 60.0

Level = Literal["info", "warning", "error"]
EventKind = Literal[
    "server",  # started, stopping
    "loading",  # a stage of a load begins
    "loaded",
    "load_failed",
    "unloaded",  # asked for, idle, or loaded anew
    "evicted",  # unloaded to make room
    "crashed",
    "removed",  # known no more
    "rejected",  # requests turned away: the queue was full
    "failed",  # a request failed
    "download",
    "config",
    "note",  # what a worker wants the operator to see
]


class Server(Struct, frozen=True, kw_only=True):
    version: str
    pid: int
    host: str
    started_at: float
    url: str = ""
    """Where its HTTP answers, for whoever wants to act; empty while it does not listen yet."""
    unix: str | None = None
    """A Unix socket on which its HTTP answers as well."""


class Hello(Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    protocol: int = PROTOCOL
    server: Server
    interval_s: float = INTERVAL_S
    """Of snapshots, until the client asks for another."""
    intervals_s: tuple[float, float] = (SHORTEST_S, LONGEST_S)
    """The shortest and the longest there is."""


class Event(Struct, frozen=True, kw_only=True, tag_field="type", tag="event"):
    seq: int
    """Rises by one with each event of this server, so that a reader knows what it has seen."""
    at: float
    level: Level = "info"
    kind: EventKind
    engine: str | None = None
    text: str
    """One line for a person, the engine's name included."""
    reason: str = ""
    """Why it was unloaded or failed."""
    stage: str = ""
    """Of a load."""
    load_ms: float | None = None


class Snapshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    at: float
    uptime_s: float = 0.0
    """Of the server, by a clock that does not jump."""
    stopping: bool = False
    """It takes no more requests."""
    host: Host = Host()
    server_process: Process | None = None
    gpus: list[Gpu] = []
    engines: list[Engine] = []
    """Every one that is known, oldest first."""
    running: int = 0
    """Requests of all engines; so are the following."""
    waiting: int = 0
    windows: Windows = Windows()
    totals: Totals = Totals()
    requests: list[Request] = []
    """Oldest first."""
    requests_left_out: int = 0
    """Requests under way beyond those listed."""
    downloads: list[Download] = []
    watchers: int = 0
    """Clients of the monitor socket."""


class Dropped(Struct, frozen=True, kw_only=True, tag_field="type", tag="dropped"):
    """Since the last of these."""

    snapshots: int = 0
    events: int = 0


class Refused(Struct, frozen=True, kw_only=True, tag_field="type", tag="refused"):
    message: str
    hint: str = ""


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may send, as often as it likes."""

    interval_s: Annotated[float, Meta(ge=SHORTEST_S, le=LONGEST_S)]


Message = Hello | Event | Snapshot | Dropped | Refused

_encoder = msgspec.json.Encoder()
_message = msgspec.json.Decoder(Message)
_ask = msgspec.json.Decoder(Ask)


def encode(message: Message | Ask) -> bytes:
    """One line, its end included."""
    return _encoder.encode(message) + b"\n"


def decode(line: bytes | str) -> Message:
    """A message from its line. Raises msgspec.DecodeError, or UnicodeDecodeError."""
    message: Message = _message.decode(line)
    return message


def decode_ask(line: bytes | str) -> Ask:
    """What a client wants. Raises as ``decode``."""
    return _ask.decode(line)
