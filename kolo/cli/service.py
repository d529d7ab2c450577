"""``kolo service``: the server as a service of systemd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kolo.cli.grid import print_line
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.replies import UnitFile
from kolo.cli.root import Command
from kolo.cli.table import print_json

F = TypeVar("F", bound=Callable[..., Any])
STOPPED = 3
_THEN = "One JSON object: how the service is then, as of kolo service status."


class _Group(Command, click.Group):
    pass


def _user_option(command: F) -> F:
    return click.option(
        "--user",
        "personal",
        is_flag=True,
        help="Your own service, not the machine's; it ends with your last session unless "
        "'loginctl enable-linger' was run.",
    )(command)


@click.group(
    "service",
    cls=_Group,
    short_help="Run the server under systemd.",
    examples=[
        ("sudo kolo service install --now", "one for the machine, under a user of its own"),
        ("kolo service install --user --now", "one of your own, with your models and settings"),
        ("kolo service status", "exit code 3 when it does not run"),
        ("kolo service install --dry-run", "see the unit, and change nothing"),
    ],
)
def command() -> None:
    """Run the server as a service of systemd: it starts with the machine, is watched, and comes
    back when it crashes.

    Settings are those of config.toml (/etc/kolo/config.toml for the machine's service), read anew
    by 'kolo service reload'.
    """


@command.command(
    "install",
    cls=Command,
    short_help="Write the unit, and start it with the machine.",
    examples=[
        ("sudo kolo service install --now", "and start it now"),
        ("sudo kolo service install --as models", "under a user that exists"),
        ("kolo service install --user --dry-run", "see the unit of a service of your own"),
    ],
)
@_user_option
@click.option(
    "--as",
    "account",
    type=Text(),
    default="",
    metavar="USER",
    help="Run as this user; else as one that systemd makes up and that owns nothing but the "
    "service's folders.",
)
@click.option("--now", is_flag=True, help="Start it too, or restart it if the unit has changed.")
@click.option("--dry-run", is_flag=True, help="Write the unit to stdout and change nothing.")
@json_option("One JSON object: how the service is then; with --dry-run the path and the text.")
def install(personal: bool, account: str, now: bool, dry_run: bool, as_json: bool) -> int:
    """Write the unit and enable it. Done again it changes nothing but what is out of date."""
    from kolo.errors import UsageError
    from kolo.service.manager import Service, check_account

    if account and personal:
        raise UsageError("--as is for the machine's service", hint="leave out --user or --as")
    if account:
        check_account(account)
    service = Service(personal, account)
    if dry_run and as_json:
        print_json(UnitFile(path=str(service.path), text=service.unit()))
        return 0
    if dry_run:
        talk(f"# {service.path}")
        click.echo(service.unit(), nl=False)
        return 0
    new = service.install()
    talk(f"{service.path} {'is written' if new else 'was as it should be'}, and enabled")
    if now:
        service.act("restart" if new else "start")
        talk("the service runs")
    else:
        talk(f"  try: kolo service start{_flag(personal)}")
    if not personal:
        from kolo.service.unit import CONFIG, STATE

        talk(f"settings: {CONFIG} · models and state: {STATE}")
    if as_json:
        print_json(service.status())
    return 0


@command.command(
    "uninstall",
    cls=Command,
    short_help="Stop it and remove the unit.",
    examples=[("sudo kolo service uninstall", "models, settings and state stay where they are")],
)
@_user_option
@json_option(_THEN)
def uninstall(personal: bool, as_json: bool) -> int:
    """Stop the service and remove its unit. What it kept stays."""
    from kolo.service.manager import Service

    service = Service(personal)
    if service.uninstall():
        talk(f"{service.path} is removed; settings, models and state are left")
    else:
        talk(f"no service was installed: there is no {service.path}")
    if as_json:
        print_json(service.status())
    return 0


@command.command(
    "status",
    cls=Command,
    short_help="Say whether it runs; exit code 3 when not.",
    examples=[
        ("kolo service status", "in words"),
        ("kolo service status --json", "for a program"),
    ],
)
@_user_option
@json_option(
    "One JSON object: installed, enabled, state, pid, since, restarts, text, result, unit."
)
def status(personal: bool, as_json: bool) -> int:
    """Say how the service is. The exit code is 0 when it runs, 3 when it does not."""
    from kolo.service.manager import Service

    found = Service(personal).status()
    if as_json:
        print_json(found)
    elif not found.installed:
        print_line("not installed")
        talk(f"  try: kolo service install{_flag(personal)}")
    else:
        how = f" ({found.result})" if found.result not in ("", "success") else ""
        pid = f" · pid {found.pid}" if found.pid else ""
        since = f" · since {found.since}" if found.since else ""
        again = f" · restarted {found.restarts} times" if found.restarts else ""
        print_line(f"{found.state}{how}{pid}{since}{again}")
        if found.text:
            print_line(found.text)
        if not found.enabled:
            print_line("does not start with the machine")
    return 0 if found.runs else STOPPED


def _verb(name: str, short: str, example: str, done: str) -> None:
    @command.command(
        name,
        cls=Command,
        short_help=short,
        examples=[(f"kolo service {name}", example)],
        help=f"{short[:-1]}, and wait until that is done.",
    )
    @_user_option
    @json_option(_THEN)
    def verb(personal: bool, as_json: bool) -> int:
        from kolo.service.manager import Service

        service = Service(personal)
        service.act(name)
        talk(done)
        if as_json:
            print_json(service.status())
        return 0


_verb("start", "Start the service.", "returns when it takes requests", "the service runs")
_verb("stop", "Stop the service.", "answers under way may end first", "the service is stopped")
_verb("restart", "Stop the service and start it.", "after an update of Kolo", "the service runs")
_verb(
    "reload",
    "Have it read its settings anew.",
    "no answer is cut",
    "told to read its settings anew; kolo service status says how that went",
)


def _flag(personal: bool) -> str:
    return " --user" if personal else ""
