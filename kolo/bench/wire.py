"""HTTP/1.1 as cheap as it can be read, so that the client is not what is measured.

One ``asyncio.Protocol`` for each connection hands the body to a sink inside ``data_received``,
with the time at which the read returned: no task wakes up for a token. An event costs less than
half of what a general HTTP client takes for it, and nearly all of that is the event loop's own
wake-up; reading it takes 4 us (framing, event, JSON). Only what servers send in answer to our own
requests is understood (RFC 9112).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from kolo.bench.framing import BadReply, Body, read_head
from kolo.bench.result import ErrorKind

CONNECT_S = 5.0
MAX_HEAD_BYTES = 64 << 10
MAX_KEPT_BYTES = 64 << 20


class WireError(Exception):
    """A request that got no whole answer. ``fresh`` says that a new connection may do better."""

    def __init__(self, kind: ErrorKind, detail: str, *, fresh: bool = False) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.fresh = fresh


class Sink(Protocol):
    """Takes a body as it comes."""

    def arrived(self, data: bytes, now: float) -> None:
        """What one read brought. Not called for a status other than 200."""


class Reply:
    """How a request ended. ``sent`` is the loop's time at which it was handed over."""

    def __init__(self, status: int, body: bytes, sent: float) -> None:
        self.status = status
        self.body = body
        self.sent = sent


class Endpoint:
    """A server's address, its headers, and its connections, which are kept between requests."""

    def __init__(self, url: str, headers: Mapping[str, str] = {}) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        # What OpenAI's clients call the base URL ends in the version, which our paths begin with.
        self._path = parts.path.rstrip("/").removesuffix("/v1")
        host = f"[{self.host}]" if ":" in self.host else self.host
        given = {
            "Host": f"{host}:{self.port}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "kolo-bench",
            **headers,
        }
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._idle: list[_Connection] = []

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        sink: Sink | None = None,
        *,
        silence_s: float = 600.0,
    ) -> Reply:
        """Send a request and wait for the end of its answer.

        A body with status 200 goes to ``sink``, any other is in the reply. WireError when there
        is no whole answer, or nothing came for ``silence_s``. A kept connection that the server
        had already closed is replaced once.
        """
        data = self._request(method, path, body)
        while True:
            connection, kept = await self._connection()
            try:
                reply = await connection.ask(data, sink, silence_s)
            except WireError as error:
                if not (kept and error.fresh):
                    raise
                continue
            if connection.usable:
                self._idle.append(connection)
            return reply

    def close(self) -> None:
        """Close what is kept."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + (body or b"")

    async def _connection(self) -> tuple[_Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection, True
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(
                    _Connection, self.host, self.port, ssl=self._tls
                )
        except TimeoutError:
            raise WireError("unreachable", f"no connection within {CONNECT_S:g} s") from None
        except OSError as error:
            raise WireError("unreachable", _reason(error)) from None
        return made, False


def _reason(error: OSError) -> str:
    """In the system's words: asyncio has its own, which repeat the address."""
    if error.errno is not None and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return error.strerror or str(error)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._head = b""
        self._body: Body | None = None
        self._status = 0
        self._keep = False
        self._kept = bytearray()
        self._heard = 0.0
        self._open = True
        self._watch: asyncio.TimerHandle

    @property
    def usable(self) -> bool:
        return self._open and self._keep and self._done is None

    async def ask(self, data: bytes, sink: Sink | None, silence_s: float) -> Reply:
        assert self._transport is not None
        self._head, self._body, self._status, self._keep = b"", None, 0, False
        self._kept, self._sink = bytearray(), sink
        self._done = self._loop.create_future()
        self._transport.write(data)
        sent = self._heard = self._loop.time()
        self._watch = self._loop.call_later(silence_s, self._check_silence, silence_s)
        try:
            await self._done
        except BaseException:
            self.abort()
            raise
        finally:
            self._watch.cancel()
            self._done = None
        if not self._keep:
            self.abort()
        return Reply(self._status, bytes(self._kept), sent)

    def abort(self) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = self._heard = self._loop.time()
        if self._done is None or self._done.done():  # bytes that nobody asked for
            self.abort()
            return
        try:
            if self._body is None:
                rest = self._read_head(data)
                if rest is None:
                    return
                data = rest
            assert self._body is not None
            payload = self._body.feed(data)
        except BadReply as error:
            self._fail(WireError("protocol", str(error)))
            return
        if payload:
            self._deliver(payload, now)
        if self._body.ended:
            self._end()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._open = False
        if self._done is None or self._done.done():
            return
        if self._body is not None and self._body.until_close and error is None:
            self._keep = False
            self._end()
        elif self._body is None:
            what = "the server closed the connection before it answered"
            self._fail(WireError("cut", what, fresh=not self._head))
        else:
            self._fail(WireError("cut", "the server closed the connection inside its answer"))

    # ---------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> bytes | None:
        """Take the head off; what of ``data`` is body, None while the head is not whole."""
        self._head += data
        found = read_head(self._head)
        if found is None:
            if len(self._head) > MAX_HEAD_BYTES:
                raise BadReply("the head of the answer does not end")
            return None
        self._status, self._keep, self._body, rest = found
        return rest

    def _deliver(self, payload: bytes, now: float) -> None:
        if self._status == 200 and self._sink is not None:
            self._sink.arrived(payload, now)
        elif len(self._kept) < MAX_KEPT_BYTES:
            self._kept += payload

    def _check_silence(self, silence_s: float) -> None:
        if self._done is None or self._done.done():
            return
        left_s = self._heard + silence_s - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._check_silence, silence_s)
        else:
            self._fail(WireError("timeout", f"nothing came for {silence_s:g} s"))

    def _end(self) -> None:
        assert self._done is not None
        self._done.set_result(None)

    def _fail(self, error: WireError) -> None:
        assert self._done is not None
        self._done.set_exception(error)
