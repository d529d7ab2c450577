"""How help is set: as click does it, in a terminal of any width."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from kolo.cli.output import WIDTH, columns, fitting, look
from kolo.cli.wrap import wrapped

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
NARROW = 52
"""Below so many columns a description goes under its term instead of beside it."""


RANGE = re.compile(r"\s*\[[^\]]*x[<>=][^\]]*\]$")
"""The range of a number at the end of its option's help, as click writes it."""
_UPPER = re.compile(r"\s*\[[^\]]*x<=?([\d.]+)\]$")
TECHNICAL = 10_000
"""From here on an upper bound is there for the program's sake, and no person needs it."""


def without_technical_range(text: str) -> str:
    """Help of an option without its range, where the upper bound tells a person nothing."""
    found = _UPPER.search(text)
    technical = found is not None and float(found[1]) >= TECHNICAL
    return text[: found.start()] if found is not None and technical else text


class Formatter(click.HelpFormatter):
    """A formatter that is as wide as the terminal, and at most 78."""

    def getvalue(self) -> str:
        return fitting(super().getvalue(), look(sys.stdout))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        if self.width >= NARROW:
            super().write_usage(prog, args, prefix)
        else:
            self._write_wrapped(f"{prefix or 'Usage:'} {prog} {args}", "", "  ")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        if self.width >= NARROW:
            super().write_dl(rows, col_max, col_spacing)
            return
        for term, meaning in rows:
            self._write_wrapped(term.strip(), "  ", "    ")
            if meaning:
                self._write_wrapped(meaning, "    ", "    ")

    def write_heading(self, heading: str) -> None:
        self._write_wrapped(f"{heading}:", " " * self.current_indent, "  ")

    def write_text(self, text: str) -> None:
        if self.width >= NARROW:
            super().write_text(text)
            return
        indent = " " * self.current_indent
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        self.write("\n".join(f"{self._wrapped(one, indent, indent)}" for one in paragraphs))

    def write_examples(self, examples: list[tuple[str, str]]) -> None:
        """What each does as a shell comment, then the line, as it can be copied into a shell."""
        for line, meaning in examples:
            self._write_wrapped(f"# {meaning}", "  ", "  # ")
            self.write("\n".join(_continued(line, self.width - 2)) + "\n")

    def _write_wrapped(self, text: str, first: str, others: str) -> None:
        self.write(self._wrapped(text, first, others))

    def _wrapped(self, text: str, first: str, others: str) -> str:
        return "\n".join(wrapped(first + text, self.width, others)) + "\n"


class Context(click.Context):
    """A context whose help fits the terminal. click takes no colour away in it: what is not to
    have any is given none (``output.look``)."""

    def __init__(self, command: click.Command, **kwargs: Any) -> None:
        super().__init__(command, **{"color": True, **HELP_OPTIONS, **kwargs})

    def make_formatter(self) -> click.HelpFormatter:
        width = min(columns(), WIDTH)
        return Formatter(width=width - 2 if width >= NARROW else width)


def _continued(line: str, width: int) -> Iterator[str]:
    """A command line over several, which the shell reads as one: broken at spaces that are in no
    quotes. A word that is too long stays whole."""
    shown = ""
    for word in _words(line):
        if shown and len(shown) + 1 + len(word) > width - 2:
            yield f"  {shown} \\"
            shown = f"  {word}"
        else:
            shown = f"{shown} {word}" if shown else word
    yield f"  {shown}"


def _words(line: str) -> Iterator[str]:
    word, quote = "", ""
    for character in line:
        if character == " " and not quote:
            yield word
            word = ""
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        word += character
    yield word
