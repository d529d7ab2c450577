"""``kolo keys``: who may use a server."""

from __future__ import annotations

import click

from kolo.cli.group import LazyGroup

COMMANDS_IN = dict.fromkeys(("create", "ls", "revoke"), "kolo.cli.keyring")


@click.group(
    "keys",
    cls=LazyGroup,
    commands_in=COMMANDS_IN,
    short_help="Make and revoke API keys.",
    examples=[
        ("kolo keys create laptop", "a key that may ask models"),
        ("kolo keys create ops --scope manage --expires 90d", "one that may load and unload"),
        ("kolo keys revoke laptop", "and what it has under way ends"),
    ],
)
def command() -> None:
    """Make and revoke API keys, which say who may use a server, and for what.

    A server needs none until the first is made; from then on every request does. It need not run
    for these commands, and one that runs heeds them within a second. Commands on the machine of
    the server, by its own user, need no key; elsewhere they take it from KOLO_API_KEY.
    """
