"""The terminal, or the pipe, that an answer is shown on."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from kolo.cli.boundary import explain, render
from kolo.cli.output import STDOUT, Status, dim, look, printable, talk
from kolo.errors import KoloError

PIPE_BUF_BYTES = 4096
"""What a pipe that is ready takes without blocking (POSIX PIPE_BUF, on Linux)."""
QUIET_S = 0.5
"""How long nothing may come before the screen says why."""


class Outlet:
    """A standard stream: UTF-8 through a pipe, as the terminal can show it on a terminal.

    A reader that is slow, or a terminal that is held, never blocks the loop, so that signals
    and deadlines still work.
    """

    def __init__(self, stream: TextIO | None) -> None:
        if stream is None:
            raise KoloError("standard output is closed", hint="run it without >&-")
        stream.flush()
        self.look = look(stream)
        self._fd = stream.fileno()
        self._encoding = stream.encoding if self.look.terminal else "utf-8"
        self._last = "\n"

    @property
    def mid_line(self) -> bool:
        return self._last != "\n"

    async def write(self, text: str, *, faint: bool = False) -> None:
        """Write ``text``, if any. BrokenPipeError when nobody reads any more."""
        if not text:
            return
        self._last = text[-1]
        shown = printable(text) if self.look.terminal else text
        shown = dim(shown, self.look) if faint else shown
        await self.write_bytes(shown.encode(self._encoding, errors="replace"))

    async def write_bytes(self, data: bytes) -> None:
        """As ``write``, for what is no text or is encoded already."""
        left = memoryview(data)
        while left:
            if not self._ready():
                await self._wait()
            left = left[self._some(left[:PIPE_BUF_BYTES]) :]

    async def raw(self, text: str) -> None:
        """As ``write``, with escape sequences that are ours."""
        await self.write_bytes(text.encode(self._encoding, errors="replace"))

    def at_once(self, text: str, *, if_ready: bool = False) -> None:
        """As ``raw``, and wait for a terminal that is held, or with ``if_ready`` let it be."""
        if not if_ready or self._ready():
            os.write(self.fd, text.encode(self._encoding, errors="replace"))

    @property
    def fd(self) -> int:
        return self._fd

    def _some(self, data: memoryview) -> int:
        """Write what the stream takes at once, and how much that was."""
        try:
            return os.write(self._fd, data)
        except OSError as error:
            error.filename = error.filename or STDOUT
            raise

    def break_off(self) -> None:
        """Leave a terminal at the start of a line, unless it is held."""
        if self.look.terminal and self.mid_line and self._ready():
            os.write(self._fd, b"\n")
            self._last = "\n"

    def _ready(self) -> bool:
        return bool(select.select([], [self._fd], [], 0)[1])

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._fd)


class StandardScreen:
    """Answers to stdout; reasoning, remarks and what is going on to stderr, if a terminal.

    One line break is added to an answer that does not end in one. ``silent`` shows no answer:
    the caller gathers it; ``still`` writes over no line. Use it as a context manager, so that it
    leaves the line clean.
    """

    def __init__(self, *, silent: bool = False, still: bool = False) -> None:
        self.show_thoughts = True
        self._silent = silent
        self._out = Outlet(sys.stdout)
        self._talks = sys.stderr is not None and sys.stderr.isatty()
        self._err = Outlet(sys.stderr) if self._talks else None
        self._status = Status(still=still)
        self._timer: asyncio.TimerHandle | None = None
        self._model_is_there = False

    def __enter__(self) -> StandardScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._settle()
        self._out.break_off()
        if self._err is not None:
            self._err.break_off()

    def loading(self, model: str, fraction: float | None) -> None:
        """A model is on its way; ``fraction`` None says that it is there."""
        self._model_is_there = fraction is None
        if fraction is None:
            self.waiting()
        elif fraction < 1:
            self._settle(wipe=False)
            self._status.show(f"loading {model}", fraction)
        else:
            self._settle(wipe=False)
            self._status.show(f"warming up {model}")

    def unloaded(self, model: str) -> None:
        self._model_is_there = False

    def reading(self, fraction: float) -> None:
        """How far a prompt has been read, 0 to 1."""
        if self._timer is None:  # it has been waited for long enough that something is said
            self._status.show("reading the prompt", fraction)

    def waiting(self) -> None:
        what = "reading the prompt" if self._model_is_there else "waiting for the model"
        self._show_later(what)

    def stopping(self) -> None:
        self._show_later("stopping (Ctrl-C again leaves)")

    def _show_later(self, what: str) -> None:
        """Say ``what`` is going on if it goes on for a while."""
        self._settle()
        self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._say, what)

    def _say(self, what: str) -> None:
        self._timer = None
        self._out.break_off()
        self._status.show(what)

    async def text(self, text: str) -> None:
        if not text or self._silent:
            return
        self._settle()
        if self._err is not None and self._err.mid_line:
            await self._err.write("\n\n")
        await self._out.write(text)

    async def reasoning(self, text: str) -> None:
        if text and self._err is not None and self.show_thoughts and not self._silent:
            self._settle()
            await self._err.write(text, faint=True)

    async def show(self, text: str) -> None:
        """A whole answer of before."""
        await self.text(text)
        await self.end()

    def control(self, sequence: str) -> bool:
        """Have the terminal do something; False where there is none that could."""
        if self._out.look.redraw:
            self._out.at_once(sequence)
        return self._out.look.redraw

    def aside(self) -> AbstractContextManager[None]:
        """While this is held, others write on the terminal."""
        self._settle()
        self._out.break_off()
        return nullcontext()

    def gap(self) -> None:
        """An empty line, on a terminal."""
        if self._talks:
            talk("")

    async def end(self) -> None:
        self._settle()
        for outlet in (self._err, self._out):
            if outlet is not None and outlet.mid_line:
                await outlet.write("\n")

    def note(self, text: str) -> None:
        if self._talks:
            self._settle()
            self._out.break_off()
            talk(text, faint=True)

    def error(self, error: KoloError) -> None:
        self._settle()
        self._out.break_off()
        talk(render(explain(error)))

    def _settle(self, *, wipe: bool = True) -> None:
        """What was waited for has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wipe:
            self._status.clear()
