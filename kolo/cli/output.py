"""What goes where and how it looks: stdout is data, stderr is talk.

Colour: ``--color`` over NO_COLOR over FORCE_COLOR (or CLICOLOR_FORCE) over whether the stream
is a terminal. Signs outside ASCII are replaced where the stream is not UTF-8 or TERM is dumb.
What a model or a file says is shown on a terminal without its control characters, so that it
can neither move the cursor nor change the title; through a pipe every byte passes unchanged.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import NamedTuple, TextIO

_ASCII = str.maketrans(
    {"…": "...", "·": "-", "↑": "Up", "\N{EN DASH}": "-", "±": "+/-", "▲": "+", "▼": "-"}
    | {bar: str(height) for height, bar in enumerate("▁▂▃▄▅▆▇█", 1)}
)
_CONTROLS: dict[int, str] = {
    **{code: f"^{chr(code ^ 64)}" for code in (*range(32), 127)},
    **{code: f"\\x{code:02x}" for code in range(128, 160)},
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}


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
    encoding = (stream.encoding if stream is not None else "").lower().replace("-", "")
    return Look(
        terminal=terminal,
        colour=_wants_colour(terminal and not dumb),
        unicode=encoding == "utf8" and not (terminal and dumb),
        redraw=terminal and not dumb,
    )


def _wants_colour(capable: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE") or "0"
    return forced != "0" or capable


def dim(text: str, how: Look) -> str:
    """``text`` in the background, where there is colour."""
    return f"\x1b[2m{text}\x1b[22m" if how.colour else text


def printable(text: str) -> str:
    """``text`` with control characters made visible; line breaks and tabs stay."""
    return text.translate(_CONTROLS)


def fitting(text: str, how: Look) -> str:
    """``text`` with our own typography as ASCII where the stream has nothing better."""
    return text if how.unicode else text.translate(_ASCII)


def talk(text: str, *, faint: bool = False) -> None:
    """One or more lines to stderr. What is on its way to stdout goes first."""
    if sys.stderr is None:
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    how = look(sys.stderr)
    text = fitting(printable(text), how)
    sys.stderr.write(f"{dim(text, how) if faint else text}\n")
    sys.stderr.flush()


class Status:
    """One line on stderr that is written over and finally wiped; only on a terminal.

    A terminal that cannot write over a line gets each new subject once.
    """

    def __init__(self) -> None:
        self._look = look(sys.stderr)
        self._shown = ""

    def show(self, subject: str, fraction: float | None = None) -> None:
        """Say what is going on: ``loading guide… 43 %``. The fraction is from 0 to 1."""
        if not self._look.terminal:
            return
        share = "" if fraction is None or not self._look.redraw else f" {fraction:.0%}"
        text = fitting(f"{printable(subject)}…{share.replace('%', ' %')}", self._look)
        if self._look.redraw:  # a line that wraps could not be written over
            text = text[: shutil.get_terminal_size().columns - 1]
        if text != self._shown:
            self._shown = text
            line = f"\r{dim(text, self._look)}\x1b[K" if self._look.redraw else f"{text}\n"
            self._write(line)

    def clear(self) -> None:
        """Wipe the line, if there is one."""
        if self._shown and self._look.redraw:
            self._write("\r\x1b[K")
        self._shown = ""

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
