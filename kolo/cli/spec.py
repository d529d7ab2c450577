"""The whole command line as data: ``kolo --spec``."""

from __future__ import annotations

from typing import Any

import click

from kolo import __version__
from kolo.cli import COMMANDS
from kolo.cli.boundary import EXIT_CODES
from kolo.cli.replies import Example, Param, Spec, Tree
from kolo.cli.shapes import shapes_of


def spec(ctx: click.Context) -> Tree:
    """Everything below the root of ``ctx``. Imports every command."""
    from kolo.cli.help import ENVIRONMENT

    top = ctx.find_root()
    return Tree(
        version=__version__,
        command=spec_of(top.command, top.command.context_class(top.command, info_name="kolo")),
        exit_codes={str(code): meaning for code, meaning in EXIT_CODES.items()},
        environment=ENVIRONMENT,
    )


def spec_of(command: click.Command, ctx: click.Context) -> Spec:
    """One command and those below it; ``ctx`` is its own."""
    path = ctx.command_path.removeprefix("kolo").strip()
    entry = COMMANDS.get(path)
    return Spec(
        name=ctx.command_path,
        summary=entry.help if entry else command.get_short_help_str(limit=200),
        help=click.unstyle(" ".join((command.help or "").split())),
        group=entry.group if entry else "",
        examples=[Example(line=line, meaning=meaning) for line, meaning in examples_of(command)],
        params=[_param(param) for param in command.get_params(ctx) if not _hidden(param)],
        json=shapes_of(path) if path else ["kolo --spec"],
        commands=[spec_of(child, inner) for child, inner in children(command, ctx)],
    )


def children(
    command: click.Command, ctx: click.Context
) -> list[tuple[click.Command, click.Context]]:
    """The commands right below one, each with a context of its own."""
    if not isinstance(command, click.Group):
        return []
    found = []
    for name in command.list_commands(ctx):
        child = command.get_command(ctx, name)
        if child is not None and not child.hidden:
            found.append((child, child.context_class(child, info_name=name, parent=ctx)))
    return found


def examples_of(command: click.Command) -> list[tuple[str, str]]:
    """Pairs of a command line and what it does."""
    if ctx_examples := getattr(command, "examples", None):
        return list(ctx_examples)
    from kolo.cli.root import EXAMPLES, Root

    return EXAMPLES if isinstance(command, Root) else []


def _hidden(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.hidden


def _param(param: click.Parameter) -> Param:
    kind = param.type
    bounds = kind if isinstance(kind, (click.IntRange, click.FloatRange)) else None
    common: dict[str, Any] = {
        "name": (param.name or "").removeprefix("_click_default_"),
        "type": kind.name,
        "choices": [str(each) for each in kind.choices] if isinstance(kind, click.Choice) else [],
        "min": None if bounds is None or bounds.min is None else float(bounds.min),
        "max": None if bounds is None or bounds.max is None else float(bounds.max),
        "required": param.required,
        "multiple": param.nargs == -1 or getattr(param, "multiple", False),
    }
    if not isinstance(param, click.Option):
        return Param(kind="argument", metavar=param.human_readable_name, **common)
    return Param(
        kind="option",
        flags=list(param.opts),
        off_flags=list(param.secondary_opts),
        metavar=param.metavar or "",
        flag=param.is_flag,
        default=_default(param),
        help=param.help or "",
        **common,
    )


def _default(param: click.Option) -> Any:
    """A value that is there without the option, and that JSON can say."""
    value = param.default
    plain = isinstance(value, (str, int, float)) and value is not False
    return value if plain else None
