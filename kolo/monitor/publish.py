"""The monitor socket: what happens here, said to whoever connects.

A client costs the server next to nothing and cannot hold it up. A snapshot is encoded once for all
who are due one. What is written goes to the kernel at once or not: as soon as a client is behind,
nothing more is written to it, only its newest snapshot and its last events are kept, and when it
reads again it is told what it missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from kolo.monitor.claim import claim, release
from kolo.monitor.eventlog import EventLog
from kolo.snapshot import (
    INTERVAL_S,
    SHORTEST_S,
    Dropped,
    Event,
    Hello,
    Message,
    Refused,
    Server,
    Snapshot,
    decode_ask,
    encode,
)

MAX_CLIENTS = 64
EVENTS_BEHIND = 256
"""Events kept for a client that does not read."""
MAX_ASK_BYTES = 4096


class Publisher:
    """``take`` makes a snapshot; ``server`` says who speaks, as of now."""

    def __init__(
        self,
        path: Path,
        log: EventLog,
        take: Callable[[], Awaitable[Snapshot]],
        server: Callable[[], Server],
        *,
        max_clients: int = MAX_CLIENTS,
    ) -> None:
        self.path = path
        self._log = log
        self._take = take
        self._server = server
        self._max_clients = max_clients
        self._clients: set[_Client] = set()
        self._changed = asyncio.Event()
        self._last = 0.0, b""

    @property
    def n_clients(self) -> int:
        return len(self._clients)

    async def run(self, listening: Callable[[], None] | None = None) -> None:
        """Serve until cancelled; the socket is there when ``listening`` is called, and gone after.

        Raises what ``claim`` does.
        """
        sock = claim(self.path)
        inode = self.path.lstat().st_ino
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Client(self), sock=sock)
        deaf = self._log.listen(self._tell)
        try:
            if listening is not None:
                listening()
            await self._publish()
        finally:
            deaf()
            release(self.path, inode)
            server.close()
            for client in [*self._clients]:
                client.hang_up()

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._until_due()
            try:
                line = await self._line()
            except Exception as error:  # a defect costs one snapshot, not all that follow
                context = {"message": "no snapshot could be made", "exception": error}
                loop.call_exception_handler(context)
                line = b""
            now_s = loop.time()
            for client in [client for client in self._clients if client.due_s <= now_s]:
                client.wait_from(now_s)
                if line:
                    client.show(line)

    async def _until_due(self) -> None:
        """Wait until a client is due a snapshot."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            due_s = min((client.due_s for client in self._clients), default=None)
            if due_s is not None and due_s <= loop.time():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._changed.wait()

    async def _line(self) -> bytes:
        """A snapshot, the one before if it was made just now: many may connect at once."""
        loop = asyncio.get_running_loop()
        made_at_s, line = self._last
        if not line or loop.time() - made_at_s >= SHORTEST_S / 2:
            line = encode(await self._take())
            self._last = loop.time(), line
        return line

    def _tell(self, event: Event) -> None:
        if self._clients:
            line = encode(event)
            for client in self._clients:
                client.tell(line)

    # What clients do -----------------------------------------------------------------------

    def join(self, client: _Client) -> None:
        if len(self._clients) >= self._max_clients:
            message = f"{self._max_clients} clients watch this server already"
            client.refuse(message, hint="Close one of them, and try again.")
            return
        client.write(Hello(server=self._server()), *self._log.recent())
        self._clients.add(client)
        self._changed.set()

    def leave(self, client: _Client) -> None:
        self._clients.discard(client)

    def changed(self) -> None:
        """A client wants another interval."""
        self._changed.set()


class _Client(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._interval_s = INTERVAL_S
        self.due_s = 0.0
        """When its next snapshot is, on the loop's clock; at once to begin with."""
        self._asked = b""
        self._behind = False
        self._events: deque[bytes] = deque()
        self._snapshot: bytes | None = None
        self._dropped_events = 0
        self._dropped_snapshots = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Behind as soon as the kernel takes no more: what waits here can still be dropped.
        transport.set_write_buffer_limits(high=0)
        self._publisher.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._publisher.leave(self)

    def eof_received(self) -> bool:
        """It asks for nothing more, and may go on reading."""
        return True

    # To the client -------------------------------------------------------------------------

    def write(self, *messages: Message) -> None:
        self._transport.write(b"".join(map(encode, messages)))

    def refuse(self, message: str, hint: str) -> None:
        self.write(Refused(message=message, hint=hint))
        self._transport.close()

    def hang_up(self) -> None:
        """End at once, whether or not it has read everything."""
        if self._behind:
            self._transport.abort()
        else:
            self._transport.close()

    def show(self, snapshot: bytes) -> None:
        if not self._behind:
            self._transport.write(snapshot)
            return
        self._dropped_snapshots += self._snapshot is not None
        self._snapshot = snapshot

    def tell(self, event: bytes) -> None:
        if not self._behind:
            self._transport.write(event)
            return
        if len(self._events) >= EVENTS_BEHIND:
            self._events.popleft()
            self._dropped_events += 1
        self._events.append(event)

    def wait_from(self, now_s: float) -> None:
        """Due again at a multiple of its interval, as all that have the same; not too soon."""
        interval_s = self._interval_s
        self.due_s = ((now_s + interval_s / 2) // interval_s + 1) * interval_s

    def pause_writing(self) -> None:
        self._behind = True

    def resume_writing(self) -> None:
        """It reads again: what it missed, then what it can still have."""
        self._behind = False
        lines = [*self._events]
        if self._dropped_events or self._dropped_snapshots:
            dropped = Dropped(snapshots=self._dropped_snapshots, events=self._dropped_events)
            lines.insert(0, encode(dropped))
        if self._snapshot is not None:
            lines.append(self._snapshot)
        self._events.clear()
        self._snapshot, self._dropped_events, self._dropped_snapshots = None, 0, 0
        if lines:
            self._transport.write(b"".join(lines))

    # From the client -----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._asked += data
        *lines, self._asked = self._asked.split(b"\n")
        if len(self._asked) > MAX_ASK_BYTES:
            self.refuse("a line that long is no request", hint='Send {"interval_s": 0.5}.')
            return
        for line in lines:
            if line.strip() and not self._answer(line):
                return

    def _answer(self, line: bytes) -> bool:
        """Do as it asks; False if it was refused."""
        try:
            self._interval_s = decode_ask(line).interval_s
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.refuse(f"not understood: {error}", hint='Send {"interval_s": 0.5}.')
            return False
        self.due_s = min(self.due_s, asyncio.get_running_loop().time() + self._interval_s)
        self._publisher.changed()
        return True
