"""Where a person types: what the conversation loop knows of it, and what a whole message is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

Aside = Callable[[], AbstractContextManager[None]]
QUOTES = '"""'
"""Around a message of several lines."""


def unfinished(text: str) -> bool:
    """Whether ``text`` has opened quotes, which it must close before Enter sends it."""
    bare = text.strip()
    closed = len(bare) >= 2 * len(QUOTES) and bare.endswith(QUOTES)
    return bare.startswith(QUOTES) and not closed


class LineReader(Protocol):
    """Where the person types."""

    @property
    def text(self) -> str:
        """What an interrupt has left on the line, as far as it is known."""

    async def read(self, begin: str = "") -> str:
        """One message; the line begins with ``begin``, to be changed.

        KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line.
        """

    def interrupt(self) -> bool:
        """Do as if Ctrl-C had been typed; False if nobody types now."""

    def listening(
        self, on_interrupt: Callable[[], None], aside: Aside
    ) -> AbstractContextManager[None]:
        """While something is done: keys do not appear on the screen, and are kept for the next
        line; Ctrl-C is not lost; ``aside`` is held while Ctrl-Z suspends the program."""
