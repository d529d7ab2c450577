"""The terminal as the kernel runs it: no echo into answers, lines where nothing can edit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

from kolo.chat.lines import Aside, unfinished

PROMPT = "> "
PASTED_S = 0.05
"""Lines that come within this time of each other nobody has typed."""


class PlainEditor:
    """Reads lines from a terminal that cannot move its cursor (TERM=dumb); keeps no history.

    Several lines that come at once were pasted: they are one message, which another Enter sends.
    """

    text = ""
    """Of an interrupted line nothing is known: the kernel had it."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._encoding = sys.stdin.encoding
        self._typed = b""
        self._line: asyncio.Future[str] | None = None
        self._settling: asyncio.TimerHandle | None = None

    async def read(self, begin: str = "") -> str:
        """One message. KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line.

        ``begin`` cannot be changed here: it is shown, to be typed anew.
        """
        if begin:
            self._show(f"{begin}\n")
        text = await self._lines()
        quoted = unfinished(text)
        while unfinished(text):
            text += await self._lines("  ")
        n_lines = text.rstrip("\n").count("\n") + 1
        if n_lines > 1 and not quoted:
            self._show(f"({n_lines} lines: Enter sends them, Ctrl-C drops them)\n")
            text += await self._lines("  ")
        return text

    def interrupt(self) -> bool:
        """Ctrl-C was typed, or a SIGINT came from outside. False if no line is being typed."""
        if self._line is None or self._line.done():
            return False
        self._show("\n")
        self._line.set_exception(KeyboardInterrupt())
        return True

    @contextlib.contextmanager
    def listening(self, on_interrupt: Callable[[], None], aside: Aside) -> Iterator[None]:
        """While an answer is shown: keys do not appear in it. Ctrl-C is a SIGINT all along."""
        with unechoed(aside):
            yield

    async def _lines(self, prompt: str = PROMPT) -> str:
        """The line that is typed, or the lines that are pasted."""
        self._show(prompt)
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str] = loop.create_future()
        self._line = line
        loop.add_reader(self._fd, self._on_input, line)
        try:
            return await line
        finally:
            loop.remove_reader(self._fd)
            if self._settling is not None:
                self._settling.cancel()
            self._typed = b""
            self._line = self._settling = None

    def _on_input(self, line: asyncio.Future[str]) -> None:
        data = os.read(self._fd, 1 << 16)
        self._typed += data
        if line.done():
            return
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if not data and not self._typed:
            line.set_exception(EOFError())
        elif self._typed.endswith(b"\n") or not data:
            wait = asyncio.get_running_loop().call_later
            self._settling = wait(PASTED_S, self._settle, line)

    def _settle(self, line: asyncio.Future[str]) -> None:
        if not line.done():
            line.set_result(self._typed.decode(self._encoding, "replace"))

    @staticmethod
    def _show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


@contextlib.contextmanager
def unechoed(aside: Aside, *, by_key: bool = False) -> Iterator[None]:
    """Keys do not appear on the terminal, Ctrl-C is a SIGINT, and Ctrl-Z suspends: the shell gets
    the terminal as it was, and ``aside`` is held until the program goes on.

    ``by_key``: each key can be read at once, rather than a line when it is whole.
    """
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = _quiet(termios.tcgetattr(fd), by_key)
    loop = asyncio.get_running_loop()

    def suspend() -> None:
        termios.tcsetattr(fd, termios.TCSANOW, before)
        loop.remove_signal_handler(signal.SIGTSTP)
        with aside():
            os.kill(os.getpid(), signal.SIGTSTP)  # returns when the shell lets us go on
        loop.add_signal_handler(signal.SIGTSTP, suspend)
        termios.tcsetattr(fd, termios.TCSANOW, quiet)

    termios.tcsetattr(fd, termios.TCSANOW, quiet)
    loop.add_signal_handler(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTSTP)
        termios.tcsetattr(fd, termios.TCSANOW, before)


def _quiet(mode: list[Any], by_key: bool) -> list[Any]:
    # Without NOFLSH the kernel sends the SIGINT and then empties the terminal's queues, the
    # output's too: what the signal's handler had written by then would never be shown.
    mode[3] = (mode[3] & ~termios.ECHO) | termios.ISIG | termios.NOFLSH
    if by_key:
        mode[0] &= ~termios.ICRNL
        mode[3] &= ~termios.ICANON
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    return mode
