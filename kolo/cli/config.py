"""``kolo config``: read the settings, change them, and see where each came from."""

from __future__ import annotations

import click

from kolo.cli.group import LazyGroup

COMMANDS_IN = {
    "show": "kolo.cli.config_show",
    "get": "kolo.cli.config_get",
    "set": "kolo.cli.config_set",
    "unset": "kolo.cli.config_set",
    "edit": "kolo.cli.config_edit",
    "init": "kolo.cli.config_init",
    "validate": "kolo.cli.config_validate",
    "path": "kolo.cli.config_path",
    "schema": "kolo.cli.config_schema",
}


@click.group(
    "config",
    cls=LazyGroup,
    commands_in=COMMANDS_IN,
    short_help="Read and change the settings.",
    examples=[
        ("kolo config show --origin", "what holds, and where each value came from"),
        ("kolo config set engine.ctx 8192", "change one setting; comments stay"),
        ("kolo config edit", "change them in your editor, checked when you leave it"),
    ],
)
def command() -> None:
    """Read the settings, change them, and see where each came from.

    A setting is at its default, or from config.toml, from the profile of it that was chosen
    (--profile, KOLO_PROFILE), or from a variable such as KOLO_ENGINE_CTX; the later wins. Flags of
    a command win over all. KEY is dotted: engine.ctx, models.NAME.ctx, and profiles.NAME.engine.ctx
    for a profile.
    """
