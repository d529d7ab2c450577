"""``kolo completion``: have the shell complete commands, options, models and settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.shells.scripts import SHELLS

if TYPE_CHECKING:
    from kolo.cli.shells.install import Place, Step

F = TypeVar("F", bound=Callable[..., Any])


class _Group(Command, click.Group):
    pass


@click.group(
    "completion",
    cls=_Group,
    invoke_without_command=True,
    short_help="Have your shell complete commands and names.",
    examples=[
        ("kolo completion install", "for the shell you use"),
        ("kolo completion install zsh --dry-run", "see what would be done"),
        ('eval "$(kolo completion bash)"', "for this shell alone"),
    ],
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Have bash, zsh or fish complete commands, options, models, engines, settings and files.

    With a shell's name the script is printed; 'install' puts it where that shell looks.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _printer(shell: str) -> click.Command:
    lines = {
        "bash": 'eval "$(kolo completion bash)"',
        "zsh": "source <(kolo completion zsh)",
        "fish": "kolo completion fish | source",
    }

    def print_script() -> None:
        from kolo.cli.shells.scripts import kept

        click.echo(kept(shell), nl=False)

    return Command(
        shell,
        callback=print_script,
        short_help=f"Print the script for {shell}.",
        help=f"Print the completion script for {shell}.",
        examples=[(lines[shell], f"completion in a {shell} that runs")],
    )


for _shell in SHELLS:
    command.add_command(_printer(_shell))


def _shell_argument(command: F) -> F:
    return click.argument("shell", required=False, type=click.Choice(SHELLS), metavar="[SHELL]")(
        command
    )


@command.command(
    "install",
    cls=Command,
    short_help="Put the script where your shell looks.",
    examples=[
        ("kolo completion install", "for the shell that SHELL names"),
        ("kolo completion install fish", "for another one"),
        ("kolo completion install zsh --no-rc", "write the script, and leave .zshrc alone"),
    ],
)
@_shell_argument
@click.option("--no-rc", is_flag=True, help="Change no start-up file of the shell.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@json_option("An object: shell, file, rc, changed (the files), dry_run, next.")
def install(shell: str | None, no_rc: bool, dry_run: bool, as_json: bool) -> None:
    """Put the script where SHELL (bash, zsh, fish) looks for completions.

    zsh, and bash where bash-completion is not installed, need to be told of it: a few marked lines
    are then added to the shell's start-up file. Done again it changes nothing but what is out of
    date.
    """
    from kolo.cli.shells.install import place_of, steps_to_install

    shell = shell or _current_shell()
    place = place_of(shell, os.environ)
    steps = steps_to_install(shell, place, with_rc=not no_rc)
    _carry_out(steps, shell, place, dry_run=dry_run, as_json=as_json)
    if as_json:
        return
    if not steps:
        talk(f"nothing to do: {place.file} is as it should be")
    if no_rc and place.rc is not None:
        talk(f"these lines belong into {place.rc}:\n{place.lines}")
    elif not dry_run:
        talk(place.next)


@command.command(
    "uninstall",
    cls=Command,
    short_help="Take it away again.",
    examples=[("kolo completion uninstall", "for the shell that SHELL names")],
)
@_shell_argument
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@json_option("An object, as of kolo completion install.")
def uninstall(shell: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove the script, and the marked lines from the shell's start-up file."""
    from kolo.cli.shells.install import place_of, steps_to_uninstall

    shell = shell or _current_shell()
    place = place_of(shell, os.environ)
    steps = steps_to_uninstall(place)
    _carry_out(steps, shell, place, dry_run=dry_run, as_json=as_json)
    if not steps and not as_json:
        talk(f"nothing to do: no completion of kolo is installed for {shell}")


def _current_shell() -> str:
    from kolo.errors import UsageError

    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        found = f"SHELL says {name!r}" if name else "SHELL is not set"
        raise UsageError(f"for which shell? {found}", hint="kolo completion install bash")
    return name


def _carry_out(
    steps: list[Step], shell: str, place: Place, *, dry_run: bool, as_json: bool
) -> None:
    from kolo.cli.replies import Completing
    from kolo.cli.shells.install import take
    from kolo.cli.table import print_json

    for step in steps:
        if not dry_run:
            take(step)
        if not as_json:
            what = "removed" if step.text is None else "written"
            talk(f"{step.file} {'would be' if dry_run else 'is'} {what}")
    if as_json:
        print_json(
            Completing(
                shell=shell,
                file=str(place.file),
                rc=str(place.rc) if place.rc else None,
                changed=[str(step.file) for step in steps],
                dry_run=dry_run,
                next=place.next,
            )
        )
