"""``kolo config get``: one setting, for a script."""

from __future__ import annotations

import os
from typing import Any

import click

from kolo.cli.options import Text
from kolo.cli.remote import json_option
from kolo.cli.root import Command


@click.command(
    "get",
    cls=Command,
    short_help="Print the value of one setting.",
    examples=[
        ("kolo config get server.port", "as it holds, from wherever it came"),
        ("kolo config get models.qwen2.5.ctx", "of a model; its name needs no quotes"),
        ("kolo config get store.folders --json", "a list, as JSON"),
    ],
)
@click.argument("key", type=Text(), metavar="KEY")
@json_option("The value alone, as JSON; null when it is found out when needed.")
def command(key: str, as_json: bool) -> None:
    """Print the value of KEY that holds, and nothing else: text as it is, lists and tables as JSON.

    A setting that is found out when it is needed is an empty line. A secret is printed, since it
    was asked for by its name. KEY in a profile is what holds when that profile is chosen.
    """
    from kolo.cli.table import print_json
    from kolo.config.naming import Key, find_key

    found: Key = find_key(key)
    value = _value(found)
    if as_json:
        print_json(value)
    else:
        click.echo(_plain(value))


def _value(key: Any) -> Any:
    from kolo.config import load_settings
    from kolo.config.rows import model_value, value_of
    from kolo.errors import BadParameter
    from kolo.values import plain

    env = {**os.environ, "KOLO_PROFILE": key.profile} if key.profile else os.environ
    settings = load_settings(env)
    if not key.model:
        return plain(value_of(settings, key.own), key.kind)
    if key.model not in settings.models:
        known = ", ".join(settings.models) or "none"
        raise BadParameter(
            f"no such model in the settings: {key.model!r}",
            hint=f"those in {settings.file}: {known}",
        )
    return plain(model_value(settings.models[key.model], key.own), key.kind)


def _plain(value: Any) -> str:
    import json

    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
