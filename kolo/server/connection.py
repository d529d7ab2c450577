"""Hypercorn's connection, with bounds where it has none.

Hypercorn 0.18 goes on waiting for the next request after the client has closed an idle
connection; each such connection is a socket and two tasks. It has one time for an idle connection
and for a request's headers, while the first should be long (a client that finds its connection
closed while it sends a request takes that for a failure) and the second short. It waits for ever
for a client that does not take the end of an answer, and it cuts one off that is still sending,
which then never sees why. It has no bound for how many there are, nor for what is kept of an answer
that a client of HTTP/2 does not take.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import h11
import hypercorn.asyncio.run
import hypercorn.protocol.h2
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import BUFFER_LOW_WATER, StreamBuffer
from hypercorn.protocol.h11 import H11Protocol

from kolo.server.crowd import Crowd

LINGER_S = 5.0
"""For the end of an answer to be taken, and for a client to stop sending what nobody wants."""
PEER_UID = "kolo.peer_uid"
"""In the state of a request's scope: the user at the other end of a Unix socket."""
_BODY = (
    b'{"error":{"message":"The server has as many connections as it may. Try again in a moment.",'
    b'"type":"overloaded_error","param":null,"code":"too_many_connections"}}'
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Bounded(Config):
    """Hypercorn's settings, and those of ``Connection``."""

    crowd: Crowd
    header_timeout_s: float


class Connection(TCPServer):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.config: Bounded
        self._crowd = self.config.crowd
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = False
        self._silent = True
        self._leaving = False
        self.idle_task = cast("Any", _Idle(self))
        uid = _peer_uid(self.writer.get_extra_info("socket"))
        self.state = cast("Any", {**self.state, PEER_UID: uid})

    async def run(self) -> None:
        if not self._crowd.enter(self):
            with self._crowd.turning_away() as politely:
                await self._turn_away(politely=politely)
            return
        try:
            await super().run()
        finally:
            self._crowd.left(self)
            self._stop_timer()

    async def _turn_away(self, *, politely: bool) -> None:
        if politely:
            if self.writer.get_extra_info("ssl_object") is None:
                self.writer.write(_FULL)
            self._linger()
            await self._read_data()
        else:
            self.writer.transport.abort()
        await self._close()

    def leave(self) -> None:
        """Nothing is under way: close."""
        self._stop_timer()
        self._leaving = True
        self.writer.close()

    def begin_wait(self) -> None:
        """For a request; the first one must come at once."""
        self._waiting = True
        self._start_timer(
            self.config.header_timeout_s if self._silent else self.config.keep_alive_timeout
        )
        self._crowd.waits(self, silent=self._silent)

    def end_wait(self) -> None:
        self._waiting = self._silent = False
        self._stop_timer()
        self._crowd.works(self)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated) and self.reader.at_eof():
            return
        if isinstance(event, Closed) and self._is_still_sent_to():
            self._linger()
            return
        await super().protocol_send(event)

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:  # and those of TLS
                break
            if self._leaving:
                continue
            if self._waiting and not self._silent and self._is_http1():
                # The headers of a further request have begun to come.
                self._waiting = False
                self._start_timer(self.config.header_timeout_s)
            await self.protocol.handle(RawData(data))
        if hasattr(self, "protocol"):
            await self.protocol.handle(Closed())
        self._stop_timer()

    async def _close(self) -> None:
        guard = self.loop.call_later(LINGER_S, self.writer.transport.abort)
        try:
            await super()._close()
        finally:
            guard.cancel()

    def _is_http1(self) -> bool:
        return isinstance(self.protocol.protocol, H11Protocol)

    def _is_still_sent_to(self) -> bool:
        """Whether to close now would reset the connection before the client has read the reply."""
        if self._leaving or self.reader.at_eof() or not self._is_http1():
            return False
        state = cast("H11Protocol", self.protocol.protocol).connection.their_state
        return state in (h11.SEND_BODY, h11.ERROR)

    def _linger(self) -> None:
        """Send no more, and take what still comes until the client has left, or for LINGER_S."""
        self._leaving = True
        with suppress(OSError, NotImplementedError, RuntimeError):  # TLS has no half of a close
            self.writer.write_eof()
        self._start_timer(LINGER_S, self.writer.transport.abort)

    def _start_timer(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, then or self.leave)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Idle:
    """Takes the place of Hypercorn's task that waits out an idle connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def restart(self, task_group: object, action: object) -> None:
        self._connection.begin_wait()

    async def stop(self) -> None:
        self._connection.end_wait()


class _Buffer(StreamBuffer):
    """Lets the answer go on when what is left is little; Hypercorn's, when what was taken is, as it
    is where the client takes nothing at all."""

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


def install() -> None:
    """Have Hypercorn make its connections of this kind; it has no setting for it."""
    hypercorn.protocol.h2.StreamBuffer = _Buffer  # type: ignore[misc]
    hypercorn.asyncio.run.TCPServer = Connection  # type: ignore[attr-defined,assignment]


def _peer_uid(sock: socket.socket | None) -> int | None:
    """Who is at the other end of a Unix socket (SO_PEERCRED, unix(7)); None for another kind."""
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    credentials = struct.Struct("3i")
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    uid: int = credentials.unpack(found)[1]
    return uid
