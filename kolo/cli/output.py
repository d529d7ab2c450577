"""What goes where and how it looks: stdout is data, stderr is talk.

Colour: ``--color`` over NO_COLOR over FORCE_COLOR (or CLICOLOR_FORCE) over whether the stream
is a terminal. Signs outside ASCII are replaced where the stream is not UTF-8 or TERM is dumb.
What a model or a file says is shown on a terminal without its control characters, so that it
can neither move the cursor nor change the title; through a pipe every byte passes unchanged.
A stderr that takes nothing is no reason to fail; a stdout that takes nothing is.
"""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

STDOUT = "standard output"
"""What an OSError is about that is not about a file."""
LINE_S = 30.0
"""Where there is no terminal, how often what takes long says so."""
WIDTH = 80
"""Columns where there is no terminal to ask."""

_ASCII = str.maketrans(
    {"…": "...", "·": "-", "↑": "Up", "\N{EN DASH}": "-", "±": "+/-", "▲": "+", "▼": "-"}
    | {"─": "-", "│": "|", "▓": "#", "░": ".", "•": "*", "→": "->", "°": ""}
    | {bar: str(height) for height, bar in enumerate("▁▂▃▄▅▆▇█", 1)}
)
_CONTROLS: dict[int, str] = {
    **{code: f"^{chr(code ^ 64)}" for code in (*range(32), 127)},
    **{code: f"\\x{code:02x}" for code in range(128, 160)},
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}


def prepare_streams() -> None:
    """Make the three standard streams safe to use, however the command was started.

    The number of one that was closed would go to the first file that is opened, and what is
    printed into that file: /dev/null takes its place, for stdout in a way that writing fails. A
    character that stdout has no encoding for is written as an escape, and a file name that is no
    text as the bytes it is.
    """
    for fd, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            _put_nothing(fd, mode)
    # They stay open, as those do that the interpreter makes.
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        errors = "surrogateescape" if _is_utf8(sys.stdout) else "backslashreplace"
        sys.stdout.reconfigure(errors=errors)
        raw = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)  # none is in between with -u
        if type(raw) is io.FileIO and raw.fileno() == 1:
            sys.stdout = io.TextIOWrapper(
                io.BufferedWriter(_Stdout(1, "w", closefd=False)),
                encoding=sys.stdout.encoding,
                errors=errors,
                line_buffering=sys.stdout.line_buffering,
            )


class _Stdout(io.FileIO):
    """Standard output whose errors say what they are about."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


def drop_stdout() -> None:
    """What stdout does not take is dropped, now and when the interpreter leaves."""
    try:
        sys.stdout.flush()
    except OSError:
        _put_nothing(1, os.O_WRONLY)


def _put_nothing(fd: int, mode: int) -> None:
    nothing = os.open(os.devnull, mode)
    if nothing == fd:
        os.set_inheritable(fd, True)
        return
    os.dup2(nothing, fd)
    os.close(nothing)


class Look(NamedTuple):
    """What a stream can show."""

    terminal: bool
    colour: bool
    unicode: bool
    redraw: bool
    """A line can be written over."""


def look(stream: TextIO | None) -> Look:
    """What ``stream`` can show, from its kind and the environment."""
    terminal = stream is not None and stream.isatty()
    dumb = os.environ.get("TERM", "") in ("", "dumb")
    return Look(
        terminal=terminal,
        colour=_wants_colour(terminal and not dumb),
        unicode=stream is not None and _is_utf8(stream) and not (terminal and dumb),
        redraw=terminal and not dumb,
    )


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def _wants_colour(capable: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE") or "0"
    return forced != "0" or capable


def columns() -> int:
    """How wide the terminal is: COLUMNS, else what stdout says, else 80. (``shutil`` says it
    too, and takes milliseconds to import, which every command would pay for.)"""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or WIDTH  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return WIDTH


def dim(text: str, how: Look) -> str:
    """``text`` in the background, where there is colour."""
    return f"\x1b[2m{text}\x1b[22m" if how.colour else text


def printable(text: str) -> str:
    """``text`` with control characters made visible; line breaks and tabs stay."""
    return text.translate(_CONTROLS)


def fitting(text: str, how: Look) -> str:
    """``text`` with our own typography as ASCII where the stream has nothing better."""
    return text if how.unicode else text.translate(_ASCII)


def put(text: str) -> None:
    """One or more lines to stdout, as they are. OSError when it takes nothing."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def talk(text: str, *, faint: bool = False) -> None:
    """One or more lines to stderr. What is on its way to stdout goes first."""
    if sys.stderr is None:
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    how = look(sys.stderr)
    text = fitting(printable(text), how)
    to_stderr(f"{dim(text, how) if faint else text}\n")


def to_stderr(text: str) -> None:
    """Write it as it is. Where nobody can be told any more, from then on nobody is."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _put_nothing(2, os.O_WRONLY)


class Status:
    """One line on stderr that is written over and finally wiped.

    A terminal that cannot write over a line gets each new subject once. Where there is no
    terminal, what takes long is a plain line every half minute.
    """

    def __init__(self, *, still: bool = False) -> None:
        how = look(sys.stderr)
        self._look = how._replace(redraw=False) if still else how
        self._shown = ""
        self._told_s = time.monotonic()

    def show(self, subject: str, fraction: float | None = None) -> None:
        """Say what is going on: ``loading guide… 43 %``. The fraction is from 0 to 1."""
        share = "" if fraction is None else f" {fraction:.0%}".replace("%", " %")
        if not self._look.terminal:
            if time.monotonic() - self._told_s >= LINE_S:
                self._told_s = time.monotonic()
                talk(f"{subject}…{share}")
            return
        share = share if self._look.redraw else ""
        text = fitting(f"{printable(subject)}…{share}", self._look)
        if self._look.redraw:  # a line that wraps could not be written over
            text = text[: columns() - 1]
        if text != self._shown:
            self._shown = text
            line = f"\r{dim(text, self._look)}\x1b[K" if self._look.redraw else f"{text}\n"
            to_stderr(line)

    def clear(self) -> None:
        """Wipe the line, if there is one."""
        if self._shown and self._look.redraw:
            to_stderr("\r\x1b[K")
        self._shown = ""
