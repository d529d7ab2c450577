"""Frames between the manager and a worker: length-prefixed msgpack over a socket pair.

A frame is a 4-byte little-endian length and a msgpack body. Downward: Load once, then
Submit, Cancel, Cores, Stop. Upward: Loading until Ready or Refused, then Tokens (one a step, for
all requests together), and for each Submit exactly one Done or Failed.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from kolo.errors import ErrorInfo
from kolo.types import Delta, LoadParams, ModelInfo, Operation, Result

MAX_FRAME_BYTES = 1 << 30
_LENGTH = struct.Struct("<I")


class Saving(Struct, frozen=True):
    """Where an engine's cached prefixes are kept between two loads."""

    folder: str
    key: bytes
    """Tells files of ours from any other."""
    files: list[str]
    """Of the model, all parts."""


class Load(Struct, frozen=True, tag="load"):
    path: str
    params: LoadParams
    backend: str = "llama"
    """``llama``, or ``fake`` with ``path`` as its script (tests and the demo)."""
    saving: Saving | None = None


class Submit(Struct, frozen=True, tag="submit"):
    id: int
    op: Operation
    share: str = ""
    """Whose part of the engine it counts against; opaque."""


class Cancel(Struct, frozen=True, tag="cancel"):
    id: int


class Cores(Struct, frozen=True, tag="cores"):
    """Compute with at most ``n`` threads from now on: others are busy too."""

    n: int


class Stop(Struct, frozen=True, tag="stop"):
    """Leave at once; whatever is open is failed by the end of file.

    With ``save_ms``, first save what is cached, in so long and at most ``max_bytes`` of it.
    """

    save_ms: int = 0
    max_bytes: int = 0


class Loading(Struct, frozen=True, tag="loading"):
    stage: str
    fraction: float


class Ready(Struct, frozen=True, tag="ready"):
    info: ModelInfo
    load_ms: float


class Refused(Struct, frozen=True, tag="refused"):
    error: ErrorInfo


class Tokens(Struct, frozen=True, tag="tokens"):
    deltas: list[Delta]


class Done(Struct, frozen=True, tag="done"):
    id: int
    result: Result


class Failed(Struct, frozen=True, tag="failed"):
    id: int
    error: ErrorInfo


class Note(Struct, frozen=True, tag="note"):
    """Something the operator should see: a default template, a cache store given up."""

    level: str
    message: str


Down = Load | Submit | Cancel | Cores | Stop
Up = Loading | Ready | Refused | Tokens | Done | Failed | Note

_encoder = msgspec.msgpack.Encoder()
decode_down = msgspec.msgpack.Decoder(Down).decode
decode_up = msgspec.msgpack.Decoder(Up).decode


def encode(frame: Down | Up) -> bytes:
    """One frame, length and body, ready to be written."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Cuts a byte stream into frame bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add ``data``; yield every body now complete. ValueError on an absurd length."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"frame of {length} bytes is over the limit")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            yield bytes(self._buffer[start + _LENGTH.size : end])
            start = end
        del self._buffer[:start]


class Frames:
    """Blocking iterator over the frames of a socket, the worker's side; ends at end of file."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = FrameBuffer()
        self._ready: list[Down] = []
        self._waiting = False
        self._poll = select.poll()  # select() takes no descriptor over 1023
        self._poll.register(sock, select.POLLIN)

    @property
    def arriving(self) -> bool:
        """Whether there is more than what was asked for last, or that is still worked on. For
        another thread than the one that iterates."""
        return not self._waiting or bool(self._poll.poll(0))

    def __iter__(self) -> Iterator[Down]:
        return self

    def __next__(self) -> Down:
        while not self._ready:
            self._waiting = True
            data = self._sock.recv(1 << 16)
            self._waiting = False
            if not data:
                raise StopIteration
            self._ready = [decode_down(body) for body in self._buffer.feed(data)]
            self._ready.reverse()
        return self._ready.pop()
