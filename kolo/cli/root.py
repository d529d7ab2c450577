"""``kolo`` itself: the group that imports a command only when it is asked for."""

from __future__ import annotations

import importlib
import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from kolo import __version__
from kolo.cli import COMMANDS
from kolo.cli.formatter import Context, Formatter, without_technical_range

if TYPE_CHECKING:
    from kolo.errors import UsageError

ELSEWHERE = {
    "run": "chat",
    "stop": "unload",
    "list": "ls",
    "models": "ls",
    "info": "show",
    "inspect": "show",
    "delete": "rm",
    "remove": "rm",
    "download": "pull",
    "get": "pull",
    "start": "serve",
    "server": "serve",
    "status": "ps",
    "generate": "complete",
    "settings": "config",
}
"""What programs like this one call it, so that nobody who types ``run`` is told of ``prune``."""


class Command(click.Command):
    """A command whose help begins with ``examples``: pairs of a command line and what it does.

    It takes ``--color`` and ``--profile`` too, which the help of ``kolo`` alone mentions.
    """

    context_class = Context

    def __init__(self, *args: Any, examples: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.append(colour_option(hidden=True))
        self.params.append(profile_option(hidden=True))

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = (p for p in self.get_params(ctx) if isinstance(p, click.Option))
        records = [record for p in options if (record := p.get_help_record(ctx))]
        if records:
            with formatter.section("Options"):
                formatter.write_dl(
                    [(name, without_technical_range(help)) for name, help in records]
                )
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Root(click.Group):
    """Lists commands from the table in ``kolo.cli`` and imports the one that is run."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(entry.module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            error = unknown("command", args[0], list(COMMANDS), "kolo")
            if args[0] == "run" and len(args) > 1 and not args[1].startswith("-"):
                error.hint = f"kolo chat -m {shlex.quote(args[1])}"
            raise error
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, EXAMPLES)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for group in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl(
                    [
                        (name.ljust(width), entry.help)
                        for name, entry in COMMANDS.items()
                        if entry.group == group
                    ]
                )


def unknown(kind: str, name: str, known: list[str], parent: str) -> UsageError:
    """The error for a ``name`` after ``parent`` that is not among ``known``: the nearest one."""
    from difflib import get_close_matches

    from kolo.errors import UsageError

    elsewhere = ELSEWHERE.get(name) if parent == "kolo" else None
    near = [elsewhere] if elsewhere else get_close_matches(name, known, n=1)
    hint = f"{parent} {near[0]}, or 'kolo --help' for all" if near else "kolo --help"
    return UsageError(f"no such {kind}: {name!r}", hint=hint)


def write_examples(formatter: click.HelpFormatter, examples: list[tuple[str, str]]) -> None:
    """The examples as a help section."""
    assert isinstance(formatter, Formatter)
    with formatter.section("Examples"):
        formatter.write_examples(examples)
    formatter.write_paragraph()


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"kolo {__version__}")
        ctx.exit()


def _show_spec(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from kolo.cli.spec import spec
        from kolo.cli.table import print_json

        print_json(spec(ctx))
        ctx.exit()


def colour_option(*, hidden: bool = False) -> click.Option:
    """``--color``, before a command or after it."""
    return click.Option(
        ["--color"],
        type=click.Choice(["auto", "always", "never"]),
        is_eager=True,
        expose_value=False,
        hidden=hidden,
        callback=_set_colour,
        help="Colour on a terminal; stronger than NO_COLOR and FORCE_COLOR. Goes with any command.",
    )


def profile_option(*, hidden: bool = False) -> click.Option:
    """``--profile``, before a command or after it."""
    return click.Option(
        ["--profile"],
        is_eager=True,
        expose_value=False,
        hidden=hidden,
        metavar="NAME",
        callback=_set_profile,
        help='Settings of this profile over the others; "none" for none. Goes with any command.',
    )


def _set_profile(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Handed on as the variable of the setting ``profile``, to the processes we start too."""
    if value is not None:
        os.environ["KOLO_PROFILE"] = value


def _set_colour(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """The flag is handed on as the variables everybody reads (us, and the libraries we use)."""
    if value is None:
        return
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        os.environ.pop(name, None)
    if value != "auto":
        os.environ["NO_COLOR" if value == "never" else "FORCE_COLOR"] = "1"


EXAMPLES = [
    ("kolo chat", "talk with the model that comes with Kolo"),
    ('kolo complete "Name three rivers" --json', "one answer, as JSON"),
    ('git diff | kolo complete "Write a commit message"', "what is piped in comes first"),
]


@click.group(
    cls=Root,
    invoke_without_command=True,
    params=[colour_option(), profile_option()],
    epilog="'kolo help' with exit-codes, env, json, names or output says more.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and leave.",
)
@click.option(
    "--spec",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_spec,
    help="Show every command, option and exit code as JSON, and leave.",
)
@click.pass_context
def root(ctx: click.Context) -> None:
    """Run language models from a terminal."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
