"""Commands that have commands of their own, which are imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

from kolo.cli.root import Command, unknown


class LazyGroup(Command, click.Group):
    """``commands_in`` maps a name to the module whose ``NAME_command``, or ``command``, it is."""

    def __init__(self, *args: Any, commands_in: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, invoke_without_command=True, **kwargs)
        self.commands_in = commands_in

    def invoke(self, ctx: click.Context) -> Any:
        """Without a command, the help."""
        result = super().invoke(ctx)
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_in:
            return None
        module = importlib.import_module(self.commands_in[cmd_name])
        command: click.Command = getattr(module, f"{cmd_name}_command", None) or module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands_in and not args[0].startswith("-"):
            raise unknown("command", args[0], list(self.commands_in), f"kolo {self.name}")
        return super().resolve_command(ctx, args)
