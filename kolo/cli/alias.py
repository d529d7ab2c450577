"""``kolo alias``: further names for models."""

from __future__ import annotations

import click

from kolo.cli.grid import Column, print_grid
from kolo.cli.options import Text
from kolo.cli.output import printable, talk
from kolo.cli.remote import json_option, quiet_option
from kolo.cli.root import Command
from kolo.cli.table import print_json
from kolo.config import BUILTIN_MODEL, Settings, load_settings
from kolo.errors import BadParameter, ModelNotFound, UsageError
from kolo.models.known import known
from kolo.models.resolve import resolve
from kolo.models.store import need_store


@click.command(
    "alias",
    cls=Command,
    short_help="Give a model a further name.",
    examples=[
        ("kolo alias fast qwen2.5:0.5b", "kolo chat -m fast now talks with it"),
        ("kolo alias", "all there are"),
        ("kolo alias --remove fast", "one less; its model stays"),
    ],
)
@click.argument("alias", type=Text(), metavar="[ALIAS]", required=False)
@click.argument("target", type=Text(), metavar="[MODEL]", required=False)
@click.option("--remove", is_flag=True, help="Take ALIAS away.")
@quiet_option("Of the list, the aliases alone.")
@json_option("An object, from each alias to the name of its model.")
def command(
    alias: str | None, target: str | None, remove: bool, quiet: bool, as_json: bool
) -> None:
    """Have ALIAS stand for MODEL, in every command and on the server; without both, list them.

    An alias that there is already is given to MODEL instead.
    """
    settings = load_settings()
    store = need_store(settings)
    if remove:
        if alias is None or target is not None:
            raise UsageError("--remove takes one ALIAS", hint="kolo alias --remove ALIAS")
        if alias not in store.aliases():
            raise ModelNotFound(f"there is no alias {alias!r}", hint="kolo alias lists them")
        store.set_alias(alias, None)
    elif alias is not None and target is not None:
        store.set_alias(alias, _target(alias, target, settings))
    elif alias is not None:
        raise UsageError(f"which model is {alias} to be?", hint=f"kolo alias {alias} MODEL")
    if as_json:
        print_json(dict(sorted(store.aliases().items())))
    elif alias is None and quiet:
        for name in sorted(store.aliases()):
            click.echo(printable(name))
    elif alias is None:
        rows = [[name, model] for name, model in sorted(store.aliases().items())]
        print_grid([Column("ALIAS"), Column("MODEL", flexible=True)], rows)
    elif remove:
        talk(f"{alias} is no alias any more")
    else:
        talk(f"{alias} is {store.aliases()[alias]}")


def _target(alias: str, target: str, settings: Settings) -> str:
    """The full name of a model that has one."""
    taken = {BUILTIN_MODEL, *known(settings)}
    for name, model in settings.models.items():
        taken |= {name, *model.aliases}
    if alias in taken:
        raise BadParameter(f"{alias!r} is the name of a model", hint="kolo ls shows all names")
    spec = resolve(target, settings)
    if spec.source == "path":
        raise UsageError(
            f"{spec.path} has no name yet", hint=f"kolo pull {spec.path} --name {alias}"
        )
    return spec.stored or spec.id
