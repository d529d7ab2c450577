"""Hypercorn's connection, but for one thing: it ends when its client has left.

Hypercorn 0.18 goes on waiting for the next request after the client has closed an idle
connection, until the keep-alive time is over; each such connection is a socket and two tasks. A
long keep-alive time is wanted all the same: a client that finds its connection closed while it
sends a request takes that for a failure.
"""

from __future__ import annotations

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Event, Updated


class Connection(TCPServer):
    async def protocol_send(self, event: Event) -> None:
        if not (isinstance(event, Updated) and self.reader.at_eof()):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def install() -> None:
    """Have Hypercorn make its connections of this kind; it has no setting for it."""
    hypercorn.asyncio.run.TCPServer = Connection  # type: ignore[attr-defined]
