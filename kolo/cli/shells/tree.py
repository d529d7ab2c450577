"""The command line as a tree, read from click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from kolo.cli.shells.kinds import Kind, kind_of


class Option(NamedTuple):
    flags: tuple[str, ...]
    help: str
    kind: Kind | None
    """None for one that takes no value."""
    word: str
    """What stands for its value in the help."""
    many: bool


class Argument(NamedTuple):
    word: str
    kind: Kind
    many: bool


class Node(NamedTuple):
    """A command."""

    path: str
    """As typed: ``kolo bench show``."""
    help: str
    options: list[Option]
    arguments: list[Argument]
    children: list[Node]

    @property
    def name(self) -> str:
        return self.path.rpartition(" ")[2]

    def all(self) -> Iterator[Node]:
        """It and everything below."""
        yield self
        for child in self.children:
            yield from child.all()


def read_tree() -> Node:
    """The whole command line. Imports every command."""
    from kolo.cli.root import root

    return _node(root, root.context_class(root, info_name="kolo"))


def _node(command: click.Command, ctx: click.Context) -> Node:
    path = ctx.command_path
    # click hides nothing from get_params; what help does not show is not offered either.
    params = command.get_params(ctx)
    children = []
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None and not child.hidden:
                children.append(
                    _node(child, child.context_class(child, info_name=name, parent=ctx))
                )
    return Node(
        path=path,
        help=_line(command.get_short_help_str(200)),
        options=[
            _option(path, param)
            for param in params
            if isinstance(param, click.Option) and not param.hidden
        ],
        arguments=[
            Argument(
                word=param.human_readable_name.strip("[].").upper(),
                kind=kind_of(path, param),
                many=param.nargs == -1,
            )
            for param in params
            if isinstance(param, click.Argument)
        ],
        children=children,
    )


def _option(path: str, option: click.Option) -> Option:
    takes_value = not option.is_flag and not option.count
    return Option(
        flags=(*option.opts, *option.secondary_opts),
        help=_line(option.help or ""),
        kind=kind_of(path, option) if takes_value else None,
        word=(option.metavar or (option.name or "")).upper(),
        many=option.multiple,
    )


def _line(text: str) -> str:
    """The first sentence, which is enough beside a name."""
    return " ".join(text.split()).partition(". ")[0].partition("; ")[0].rstrip(".")
