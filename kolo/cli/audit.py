"""``kolo audit``: who changed what, and whether the log of it is whole."""

from __future__ import annotations

from collections import deque
from typing import Any

import click

from kolo.cli.audited import server_paths
from kolo.cli.grid import Column, print_grid
from kolo.cli.group import LazyGroup
from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.table import print_json

SHOWN = 20


class _Group(LazyGroup):
    def invoke(self, ctx: click.Context) -> Any:
        """Without a command, what ``command`` itself does."""
        return click.Group.invoke(self, ctx)


@click.group(
    "audit",
    cls=_Group,
    commands_in={"verify": "kolo.cli.audit"},
    short_help="Show who changed what on a server.",
    examples=[
        ("kolo audit", "the last of what was done: engines, models, settings, keys"),
        ("kolo audit verify", "exit code 8 if somebody changed the log"),
        ("kolo audit verify --head 5f0c...", "and that nothing was cut off since then"),
    ],
)
@click.option(
    "-n", "--last", type=click.IntRange(0), metavar="N", help=f"How many; {SHOWN}, 0 for all."
)
@json_option("An array of objects, oldest first.")
@click.pass_context
def command(ctx: click.Context, last: int | None, as_json: bool) -> None:
    """Show who did what to a server, when, and how it went: what was loaded, unloaded, downloaded,
    removed or changed by request, and keys that were made or revoked.

    Each line of the log holds a sum over the one before. It is in the state folder, audit.jsonl,
    and can be read while a server runs.
    """
    if ctx.invoked_subcommand is not None:
        return
    from kolo.audit import audit_file, entries

    wanted = SHOWN if last is None else last
    found = deque(entries(audit_file(server_paths())), maxlen=wanted or None)
    if as_json:
        print_json(list(found))
        return
    titles = [Column("TIME"), Column("WHO"), Column("ACTION"), Column("SUBJECT", flexible=True)]
    print_grid(
        [*titles, Column("OUTCOME")],
        [[one.time, one.who, one.action, one.subject, one.outcome] for one in found],
    )


@click.command(
    "verify",
    cls=Command,
    short_help="Check that nobody changed the log.",
    examples=[
        ("kolo audit verify", "the sum of the last line is the output: keep it elsewhere"),
        ('kolo audit verify --head "$KEPT"', "that line is still there, and all after it"),
    ],
)
@click.option(
    "--head", type=Text(), default="", metavar="SUM", help="A sum that was printed before."
)
@json_option("An object: lines, head, torn.")
def verify_command(head: str, as_json: bool) -> None:
    """Check every line of the audit log against the one before it; exit code 8 names the first
    that is not as it was written.

    A line that was torn by a crash is no damage if the line after it says so. That lines at the
    end were cut off shows only with --head.
    """
    from kolo.audit import audit_file, verify

    file = audit_file(server_paths())
    verdict = verify(file, head=head)
    for line in verdict.torn:
        talk(f"line {line} was torn while it was written")
    talk(f"{file}: {verdict.lines} entries, all as they were written")
    if as_json:
        print_json(verdict)
    else:
        click.echo(verdict.head)
