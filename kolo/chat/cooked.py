"""The terminal as the kernel runs it: no echo into answers, lines where nothing can edit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Callable, Iterator

PROMPT = "> "


class PlainEditor:
    """Reads lines from a terminal that cannot move its cursor (TERM=dumb); keeps no history."""

    text = ""
    """Of an interrupted line nothing is known: the kernel had it."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._encoding = sys.stdin.encoding
        self._typed = b""
        self._line: asyncio.Future[str] | None = None

    async def read(self) -> str:
        """One line. KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line."""
        sys.stdout.write(PROMPT)
        sys.stdout.flush()
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()
        self._line = line
        loop.add_reader(self._fd, self._on_input, line)
        try:
            return await line
        finally:
            loop.remove_reader(self._fd)
            self._typed = b""
            self._line = None

    def interrupt(self) -> None:
        """Ctrl-C was typed, or a SIGINT came from outside."""
        if self._line is not None and not self._line.done():
            sys.stdout.write("\n")
            self._line.set_exception(KeyboardInterrupt())

    @contextlib.contextmanager
    def listening(self, on_interrupt: Callable[[], None]) -> Iterator[None]:
        """While an answer is shown: keys do not appear in it. Ctrl-C is a SIGINT all along."""
        with unechoed():
            yield

    def _on_input(self, line: asyncio.Future[str]) -> None:
        data = os.read(self._fd, 1 << 16)
        self._typed += data
        if line.done():
            return
        if self._typed.endswith(b"\n"):
            line.set_result(self._typed.decode(self._encoding, "replace"))
        elif not data:
            line.set_exception(EOFError())


@contextlib.contextmanager
def unechoed(*, by_key: bool = False) -> Iterator[None]:
    """Keys do not appear on the terminal, and Ctrl-C is a SIGINT.

    ``by_key``: each key can be read at once, rather than a line when it is whole.
    """
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = termios.tcgetattr(fd)
    # Without NOFLSH the kernel sends the SIGINT and then empties the terminal's queues, the
    # output's too: what the signal's handler had written by then would never be shown.
    quiet[3] = (quiet[3] & ~termios.ECHO) | termios.ISIG | termios.NOFLSH
    if by_key:
        quiet[0] &= ~termios.ICRNL
        quiet[3] &= ~termios.ICANON
        quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
