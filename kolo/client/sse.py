"""Reading server-sent events (WHATWG HTML, 9.2), as far as APIs send them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kolo.errors import ServerUnreachable

MAX_EVENT_BYTES = 64 << 20


class Event(NamedTuple):
    data: bytes
    name: str = "message"


class Reader:
    """Feed it pieces as they come, however they are cut; it gives events as they are whole.
    Comments, which keep a silent stream alive, are no events."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._name = ""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """ServerUnreachable for an event that does not end within MAX_EVENT_BYTES."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise ServerUnreachable("the server sent an event that is too long")
        for line in lines:
            line = line.removesuffix(b"\r")
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            elif field == b"event":
                self._name = value.strip().decode(errors="replace")
            elif not line:
                if self._data:
                    yield Event(b"\n".join(self._data), self._name or "message")
                self._data, self._name = [], ""
