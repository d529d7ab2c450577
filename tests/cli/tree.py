"""Every command there is, for tests that hold for all: a new one is covered by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from kolo.cli.formatter import Context
from kolo.cli.root import root
from kolo.cli.spec import children


class Node(NamedTuple):
    path: tuple[str, ...]
    """``("bench", "compare")``; of ``kolo`` itself, nothing."""
    command: click.Command
    ctx: click.Context

    @property
    def name(self) -> str:
        return " ".join(self.path)

    @property
    def runs(self) -> bool:
        """It does something by itself, and is not there for its subcommands alone."""
        return bool(self.path) and (not isinstance(self.command, click.Group) or bool(self.flags()))

    def flags(self) -> list[list[str]]:
        """The ways to write each of its options, but for those that every command has."""
        return [
            [*param.opts, *param.secondary_opts]
            for param in self.command.params
            if isinstance(param, click.Option) and not param.hidden
        ]


def walk() -> list[Node]:
    ctx = Context(root, info_name="kolo")
    return list(_below((), root, ctx))


def _below(path: tuple[str, ...], command: click.Command, ctx: click.Context) -> Iterator[Node]:
    yield Node(path, command, ctx)
    for child, inner in children(command, ctx):
        yield from _below((*path, str(inner.info_name)), child, inner)


NODES = {node.name: node for node in walk()}
RUN = [name for name, node in NODES.items() if node.runs]
