"""What ``--help`` says, as parts that can be set otherwise: as Markdown, as a manual page.

Whatever a command shows of itself is shown through click's formatter, so a formatter that keeps
what it is given has all of it, in order, however a command groups its options.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click

from kolo.cli.formatter import Formatter
from kolo.cli.root import root
from kolo.cli.spec import children


class Text(NamedTuple):
    """Paragraphs."""

    paragraphs: list[str]


class Usage(NamedTuple):
    line: str


class Terms(NamedTuple):
    """Terms with what they mean, under a heading or none."""

    heading: str
    rows: list[tuple[str, str]]


class Examples(NamedTuple):
    rows: list[tuple[str, str]]
    """A command line, and what it does."""


Part = Text | Usage | Terms | Examples


class Page(NamedTuple):
    """One command."""

    name: str
    """As it is typed: ``kolo bench compare``."""
    summary: str
    parts: list[Part]
    inner: list[str]
    """The commands right below it."""

    def usage(self) -> str:
        return next(part.line for part in self.parts if isinstance(part, Usage))

    def texts(self) -> list[str]:
        return [p for part in self.parts if isinstance(part, Text) for p in part.paragraphs]

    def examples(self) -> list[tuple[str, str]]:
        return [row for part in self.parts if isinstance(part, Examples) for row in part.rows]

    def terms(self) -> list[Terms]:
        """What is listed: options and commands."""
        return [part for part in self.parts if isinstance(part, Terms)]


def pages() -> list[Page]:
    """Every command, ``kolo`` first, each before those below it."""
    return list(_pages(root, root.context_class(root, info_name="kolo")))


def of_topic(write: Callable[[click.HelpFormatter], None]) -> list[Part]:
    """A topic of ``kolo help``."""
    keeper = _Keeper()
    write(keeper)
    return keeper.parts


def _pages(command: click.Command, ctx: click.Context) -> Iterator[Page]:
    keeper = _Keeper()
    command.format_help(ctx, keeper)
    below = children(command, ctx)
    summary = command.get_short_help_str(limit=200)
    yield Page(ctx.command_path, summary, keeper.parts, [inner.command_path for _, inner in below])
    for child, inner in below:
        yield from _pages(child, inner)


class _Keeper(Formatter):
    """Keeps what it is given instead of setting it."""

    def __init__(self) -> None:
        super().__init__(width=10_000)
        self.parts: list[Part] = []
        self._heading = ""

    def write(self, string: str) -> None:
        """Only what the methods below are given counts: there is no line to break here."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self.parts.append(Usage(f"{prog} {args}".strip()))

    def write_text(self, text: str) -> None:
        paragraphs = textwrap.dedent(click.unstyle(text)).strip().split("\n\n")
        self.parts.append(Text([" ".join(each.split()) for each in paragraphs]))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        found = [(click.unstyle(term).strip(), click.unstyle(about)) for term, about in rows]
        self.parts.append(Terms(self._heading, found))

    def write_examples(self, examples: list[tuple[str, str]]) -> None:
        self.parts.append(Examples(list(examples)))

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self._heading = name
        yield
        self._heading = ""
