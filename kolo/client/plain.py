"""HTTP/1.1 to a server of this machine: asyncio's streams, and h11 for the protocol.

A tenth of the CPU time of importing a whole HTTP client, which ``kolo complete`` would otherwise
spend most of its own time on (``bench/cli_cost.py``). No TLS, no proxy, no redirects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import h11

from kolo import __version__
from kolo.client.transport import Broken, Silent, Unreached

READ_BYTES = 1 << 16


class PlainTransport:
    """Requests to one ``http://`` or ``unix:`` address; connections that a reply has left whole
    are kept."""

    def __init__(self, url: str, connect_s: float) -> None:
        parts = urlsplit(url)
        self._socket = parts.path if parts.scheme == "unix" else ""
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._base = "" if self._socket else parts.path.rstrip("/")
        self._named = parts.netloc or "localhost"
        self._connect_s = connect_s
        self._idle: list[_Line] = []

    @asynccontextmanager
    async def asked(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        read_s: float | None,
    ) -> AsyncIterator[PlainReply]:
        line = self._kept() or await self._dial()
        try:
            await line.send(method, self._base + target, body, {"Host": self._named, **headers})
            yield await line.reply(read_s)
        finally:
            if line.is_free():
                self._idle.append(line)
            else:
                await line.close()

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    def _kept(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.lives():
                return line
            line.drop()
        return None

    async def _dial(self) -> _Line:
        try:
            async with asyncio.timeout(self._connect_s):
                if self._socket:
                    return _Line(*await asyncio.open_unix_connection(self._socket))
                return _Line(*await asyncio.open_connection(self._host, self._port))
        except (OSError, TimeoutError) as error:
            raise Unreached(str(error)) from error


class PlainReply:
    """What came; the body is read from the line."""

    def __init__(self, line: _Line, head: h11.Response, read_s: float | None) -> None:
        self.status: int = head.status_code
        self._headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        self._line = line
        self._read_s = read_s

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while not isinstance(event := await self._line.event(self._read_s), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)


class _Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def send(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> None:
        headers = {"User-Agent": f"kolo/{__version__}", "Accept": "*/*", **headers}
        if body is not None or method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body or b""))
        data = self._state.send(
            h11.Request(method=method, target=target, headers=list(headers.items()))
        )
        assert data is not None
        self._writer.write(data)
        if body:
            self._writer.write(self._state.send(h11.Data(data=body)) or b"")
        self._state.send(h11.EndOfMessage())
        # A server that refuses a long body answers and closes before it has read it: what it
        # says is still there to be read.
        with suppress(ConnectionError):
            await self._writer.drain()

    async def reply(self, read_s: float | None) -> PlainReply:
        while not isinstance(event := await self.event(read_s), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("it closed the connection without an answer")
        return PlainReply(self, event, read_s)

    async def event(self, read_s: float | None) -> h11.Event:
        """What comes next. h11 notices an end that comes too early."""
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(read_s):
                    self._state.receive_data(await self._reader.read(READ_BYTES))
        except TimeoutError as error:
            raise Silent from error
        except (OSError, h11.ProtocolError) as error:
            raise Broken(str(error)) from error
        if isinstance(event, type):  # PAUSED: it has said more than was asked
            raise Broken("it sent more than one answer")
        return event

    def is_free(self) -> bool:
        """Whether the exchange is over and the connection can carry another; if so, it is ready."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return self.lives()

    def lives(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def drop(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self.drop()
        with suppress(OSError):
            await self._writer.wait_closed()
