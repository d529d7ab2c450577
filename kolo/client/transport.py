"""What moves the bytes of a request, behind one small interface.

There are two: ``plain`` for a server of this machine, because ``kolo complete`` must be light, and
``web`` for every other (TLS, proxies, names).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Unreached(Exception):
    """Nobody answers at the address."""


class Silent(Exception):
    """Nothing came for as long as was to be waited."""


class Broken(Exception):
    """The connection ended before its time, or what came is no HTTP."""


class Reply(Protocol):
    """A response whose body is still to come."""

    status: int

    def header(self, name: str) -> str:
        """The value of the header ``name``, in small letters; empty if there is none."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises Silent and Broken."""


class Transport(Protocol):
    def asked(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
        read_s: float | None,
    ) -> AbstractAsyncContextManager[Reply]:
        """Send a request; the reply is there when its head is. ``read_s`` is the longest silence,
        before the head and in the body. Raises Unreached, Silent and Broken.

        Leaving the block before the body has ended closes the connection.
        """

    async def aclose(self) -> None:
        """Close every connection."""
