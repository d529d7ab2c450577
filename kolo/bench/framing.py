"""The framing of HTTP/1.1 replies (RFC 9112), without input or output."""

from __future__ import annotations

from typing import NamedTuple


class BadReply(Exception):
    """Bytes that are no HTTP/1.1 reply."""


class Head(NamedTuple):
    status: int
    keep: bool
    """The connection may be used again."""
    body: Body
    rest: bytes
    """What of the body came with the head."""


class Body:
    """Takes the framing off a body, however it is cut."""

    until_close = False

    def __init__(self) -> None:
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``. BadReply if the framing is broken."""
        raise NotImplementedError


class _UntilClose(Body):
    until_close = True

    def feed(self, data: bytes) -> bytes:
        return data


class _Counted(Body):
    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self._left = n_bytes
        self.ended = n_bytes == 0

    def feed(self, data: bytes) -> bytes:
        payload = data[: self._left]
        self._left -= len(payload)
        self.ended = self._left == 0
        return payload


class _Chunked(Body):
    def __init__(self) -> None:
        super().__init__()
        self._rest = b""
        self._left = 0
        """Of the current chunk, its line break included."""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data if self._rest else data
        at, pieces = 0, []
        while not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                keep = len(piece) - max(2 - self._left, 0)  # less what of CRLF is in it
                pieces.append(piece[:keep] if keep > 0 else b"")
                if self._left:
                    break
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            size = _chunk_size(data[at:end])
            if size == 0:
                self.ended = data.find(b"\r\n", end + 2) >= 0  # trailers are not read
                break
            at, self._left = end + 2, size + 2
        self._rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    try:
        return int(digits, 16)
    except ValueError:
        raise BadReply(f"a chunk begins with {line[:40]!r}") from None


def read_head(data: bytes) -> Head | None:
    """The head of a reply, None while it is not whole. BadReply if it is none."""
    if not data.startswith(b"HTTP/1."[: len(data)]):
        raise BadReply(f"the answer begins with {data[:40]!r}, which is not HTTP/1.1")
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    parts = line.split(" ", 2)
    if len(parts) < 2 or not parts[1].isdecimal():
        raise BadReply(f"the answer begins with {line[:40]!r}")
    status = int(parts[1])
    if status < 200:  # an interim reply: the real one follows
        return read_head(rest) if rest else None
    headers = {}
    for each in lines:
        name, _, value = each.partition(":")
        headers[name.strip().lower()] = value.strip()
    keep = parts[0] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if status in (204, 304):
        return Head(status, keep, _Counted(0), rest)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Head(status, keep, _Chunked(), rest)
    length = headers.get("content-length")
    if length is None:
        return Head(status, False, _UntilClose(), rest)
    if not length.isdecimal():
        raise BadReply(f"Content-Length is {length!r}")
    return Head(status, keep, _Counted(int(length)), rest)
