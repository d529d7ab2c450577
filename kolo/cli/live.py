"""A terminal on which answers are shown as Markdown while they come.

What is finished is printed once and scrolls away as anything else does; only the rows that may
still change are drawn again, by a task of their own, at a pace that what a picture costs sets. So
neither a slow terminal nor a long answer holds up the stream.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.cells import cell_len
from rich.text import Text

from kolo.chat.code import FAINT
from kolo.chat.markdown import Renderer
from kolo.chat.region import Region
from kolo.chat.stats import duration
from kolo.chat.stream import MarkdownStream, ThoughtStream
from kolo.cli.boundary import explain, render
from kolo.cli.output import dim, fitting, printable
from kolo.cli.screen import QUIET_S, Outlet
from kolo.cli.wrap import wrapped
from kolo.errors import KoloError

FRAME_S = 0.04
MAX_FRAME_S = 1.0
COST = 8
"""A picture may take this part of the time: the next one waits as many times its cost."""
SPARE_ROWS = 2
"""Of the window's height, not drawn over."""


class LiveScreen:
    """Answers, thoughts, remarks and what is going on, all on the terminal that is stdout.

    Use it as a context manager, so that it leaves the line clean.
    """

    def __init__(self, called: Callable[[str], str] = str) -> None:
        self.show_thoughts = True
        self._called = called
        """What to say of a model that is being loaded."""
        self._out = Outlet(sys.stdout)
        self._renderer = Renderer(self._width() - 1, unicode=self._out.look.unicode)
        self._region = Region(_cells)
        self._answer: MarkdownStream | None = None
        self._thoughts: ThoughtStream | None = None
        self._thought_since_s = 0.0
        self._done: list[str] = []
        """Rows that wait to be printed for good."""
        self._status = ""
        self._timer: asyncio.TimerHandle | None = None
        self._painter: asyncio.Task[None] | None = None
        self._dirty = asyncio.Event()
        self._ending = asyncio.Event()

    def __enter__(self) -> LiveScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._calm()
        if self._painter is not None:
            self._painter.cancel()
        if not self._region.empty:
            live = [] if self._is_status_alone() else self._live()
            with suppress(OSError):
                self._out.at_once(self._region.update(live, [], self._width()), if_ready=True)

    # What comes -------------------------------------------------------------------------

    async def text(self, text: str) -> None:
        if text:
            self._calm()
            self._close_thoughts()
            if self._answer is None:
                self._answer = MarkdownStream(self._renderer)
                text = text.lstrip("\n")
            self._answer.feed(printable(text))
            self._paint()

    async def reasoning(self, text: str) -> None:
        if not text:
            return
        self._thought_since_s = self._thought_since_s or time.monotonic()
        if not self.show_thoughts:
            if not self._status:
                self._calm()
                self._say("thinking")
            return
        self._calm()
        if self._thoughts is None:
            self._thoughts = ThoughtStream(self._renderer)
            text = text.lstrip("\n")
        self._thoughts.feed(printable(text))
        self._paint()

    async def show(self, text: str) -> None:
        await self.text(text)
        await self.end()

    async def end(self) -> None:
        self._renderer.width = self._width() - 1
        self._calm()
        self._close_thoughts()
        if self._answer is not None:
            self._done += self._rows(self._answer.finished(last=True))
            self._answer = None
            self._paint()
        if self._painter is not None:
            self._ending.set()
            self._dirty.set()
            await self._painter
            self._painter = None
            self._ending.clear()

    # What is going on -------------------------------------------------------------------

    def loading(self, model: str, fraction: float | None) -> None:
        """A model is on its way; ``fraction`` None says that it is there."""
        if fraction is None:
            self.waiting()
        elif fraction < 1:
            self._calm()
            self._say(f"loading {self._called(model)}", fraction)
        else:
            self._calm()
            self._say(f"warming up {model}")

    def unloaded(self, model: str) -> None:
        """It is loaded again before the next answer, and that is shown."""

    def reading(self, fraction: float) -> None:
        if self._timer is None:  # it has been waited for long enough that something is said
            self._say("reading the prompt", fraction)

    def waiting(self) -> None:
        self._say_later("waiting for the model")

    def stopping(self) -> None:
        self._say_later("stopping (Ctrl-C again leaves)")

    # Remarks ----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        look = self._out.look
        self._print([dim(line, look) for line in self._wrapped(text)])

    def gap(self) -> None:
        self._print([""])

    def error(self, error: KoloError) -> None:
        self._print(self._wrapped(render(explain(error))))

    def control(self, sequence: str) -> bool:
        self._out.at_once(sequence)
        return True

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._out.at_once(self._region.leave())
        yield
        self._paint()

    def _wrapped(self, text: str) -> list[str]:
        """In lines between words; one with a tab is the terminal's to break."""
        return [
            part
            for line in fitting(printable(text), self._out.look).split("\n")
            for part in ([line] if "\t" in line else wrapped(line, self._width()))
        ]

    # Drawing ----------------------------------------------------------------------------

    def _print(self, lines: list[str]) -> None:
        """Remarks go above what is live; with nothing live, straight onto the terminal."""
        self._calm()
        if self._painter is None:
            self._out.at_once("".join(f"{line}\n" for line in lines))
        else:
            self._done += lines
            self._paint()

    def _paint(self) -> None:
        self._dirty.set()
        if self._painter is None:
            self._painter = asyncio.get_running_loop().create_task(self._painting())

    async def _painting(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            ends = self._ending.is_set()
            began_s = time.perf_counter()
            await self._out.raw(self._picture())
            if ends:
                return
            pause_s = min(max(COST * (time.perf_counter() - began_s), FRAME_S), MAX_FRAME_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()

    def _picture(self) -> str:
        """What to write to have on the terminal what is known now."""
        width = self._width()
        self._renderer.width = width - 1
        for stream in (self._thoughts, self._answer):
            if stream is not None:
                self._done += self._rows(stream.finished())
        done, self._done = self._done, []
        return self._region.update(done, self._live(), width)

    def _live(self) -> list[str]:
        stream = self._answer or self._thoughts
        rows: list[Text] = []
        for row in stream.pending() if stream is not None else ():
            rows += self._renderer.wrapped(row) if row.cell_len > self._renderer.width else [row]
        shown = self._rows(rows)
        if self._status:
            shown.append(dim(self._fitted(self._status), self._out.look))
        return shown[-max(self._height() - SPARE_ROWS, 1) :]

    def _rows(self, rows: list[Text]) -> list[str]:
        colour = self._out.look.colour
        return [self._renderer.ansi(row, colour=colour) for row in rows]

    def _close_thoughts(self) -> None:
        if self._thoughts is not None:
            self._done += self._rows(self._thoughts.finished(last=True))
            self._thoughts = None
            self._done.append("")
            self._paint()
        elif self._thought_since_s:
            took = duration((time.monotonic() - self._thought_since_s) * 1000)
            self._done += [*self._rows([Text(f"thought for {took}", FAINT)]), ""]
            self._paint()
        self._thought_since_s = 0.0

    def _is_status_alone(self) -> bool:
        return self._answer is None and self._thoughts is None

    # The line that says what is going on ----------------------------------------------------

    def _say_later(self, what: str) -> None:
        """Say ``what`` is going on if it goes on for a while."""
        self._calm()
        self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._say, what)

    def _say(self, what: str, fraction: float | None = None) -> None:
        self._timer = None
        share = "" if fraction is None else f" {fraction * 100:.0f} %"
        self._status = fitting(f"{printable(what)}…{share}", self._out.look)
        self._paint()

    def _calm(self) -> None:
        """What was waited for has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._status:
            self._status = ""
            self._paint()

    def _fitted(self, text: str) -> str:
        while cell_len(text) > self._renderer.width:
            text = text[:-1]
        return text

    def _width(self) -> int:
        return max(self._size().columns, 10)

    def _height(self) -> int:
        return self._size().lines

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._out.fd)
        except OSError:
            size = os.terminal_size((80, 24))
        return size if size.columns and size.lines else os.terminal_size((80, 24))


def _cells(row: str) -> int:
    """How many cells a row takes, escape sequences aside."""
    return cell_len(Text.from_ansi(row).plain)
