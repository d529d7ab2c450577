"""``kolo keys create``, ``ls`` and ``revoke``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from kolo.cli.audited import note, server_paths
from kolo.cli.grid import Column, print_grid
from kolo.cli.options import Text
from kolo.cli.output import printable, talk
from kolo.cli.remote import json_option, quiet_option
from kolo.cli.replies import KeyMade, KeyShown
from kolo.cli.root import Command
from kolo.cli.table import print_json
from kolo.errors import BadParameter, KoloError
from kolo.keys import SCOPES, Key, Scope, add_key, keys_file, new_key, read_keys, revoke_key
from kolo.units import parse_duration

_RATE = click.IntRange(0, 10**12)
_LATEST = datetime.max.replace(tzinfo=UTC).timestamp()


@click.command(
    "create",
    cls=Command,
    short_help="Make a key, and show its secret once.",
    examples=[
        ("KOLO_API_KEY=$(kolo keys create laptop)", "the secret alone is the output"),
        ("kolo keys create grafana --scope read", "for figures and logs"),
        ("kolo keys create guest --expires 7d --tokens-per-minute 20000", "with bounds"),
    ],
)
@click.argument("name", type=Text())
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(list(SCOPES)),
    multiple=True,
    default=("infer",),
    show_default=True,
    help="What it may do, several times: infer, ask models and see which there are; read, see "
    "engines, figures and logs; manage, load, unload, download and change settings.",
)
@click.option(
    "--expires",
    type=Text(),
    metavar="WHEN",
    help="From when on it is not valid: after a time such as 90d, or a date such as 2030-01-31.",
)
@click.option(
    "--requests-per-minute",
    type=_RATE,
    metavar="N",
    help="Its own limit, in place of access.requests_per_minute; 0 is without limit.",
)
@click.option(
    "--tokens-per-minute", type=_RATE, metavar="N", help="Likewise, of prompts and answers."
)
@json_option("An object: the key and its secret.")
def create_command(
    name: str,
    scopes: tuple[Scope, ...],
    expires: str | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    as_json: bool,
) -> None:
    """Make a key named NAME. The secret is shown now and never again: only its hash is kept."""
    now = time.time()
    key, secret = new_key(
        name,
        scopes,
        expires=None if expires is None else _moment(expires, now),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        now=now,
    )
    paths = server_paths()
    file = keys_file(paths)
    first = not read_keys(file)
    add_key(file, key)
    if as_json:
        print_json(KeyMade(secret=secret, file=str(file), **_shown(key, now)))
    else:
        click.echo(secret)
    until = "" if key.expires is None else f", until {_date(key.expires)}"
    talk(f"key {key.id}, named {key.name}, may {' and '.join(key.scopes)}{until}")
    talk(f"its hash is in {file}; the secret will not be shown again")
    if first:
        talk("from now on every request needs a key, but for those of kolo on this machine")
    note(paths, "keys create", f"{key.id} ({key.name}): {' '.join(key.scopes)}")


@click.command(
    "ls",
    cls=Command,
    short_help="List the keys.",
    examples=[
        ("kolo keys ls", "all there ever were, those that are valid first"),
        ("kolo keys ls --json | jq -r '.[] | select(.state == \"expired\").id'", "for a script"),
    ],
)
@quiet_option("The ids of valid ones alone.")
@json_option("An array of objects; moments in Unix seconds.")
def ls_command(quiet: bool, as_json: bool) -> None:
    """List the keys. Their secrets are not known."""
    now = time.time()
    keys = list(read_keys(keys_file(server_paths())).values())
    keys.sort(key=lambda key: (key.state(now) != "valid", key.created))
    if quiet:
        for key in keys:
            if key.state(now) == "valid":
                click.echo(key.id)
    elif as_json:
        print_json([KeyShown(**_shown(key, now)) for key in keys])
    else:
        titles = [Column("ID"), Column("NAME", flexible=True), Column("MAY"), Column("STATE")]
        titles += [Column("MADE"), Column("UNTIL"), Column("A MINUTE")]
        faint = [key.state(now) != "valid" for key in keys]
        print_grid(titles, [_cells(key, now) for key in keys], faint=faint)


@click.command(
    "revoke",
    cls=Command,
    short_help="Make keys invalid.",
    examples=[("kolo keys revoke laptop", "by its name, or the id that kolo keys ls shows")],
)
@click.argument("keys", type=Text(), nargs=-1, required=True, metavar="KEY...")
@json_option("An array of objects: the keys that were revoked.")
def revoke_command(keys: tuple[str, ...], as_json: bool) -> None:
    """Make each KEY, a name or an id, invalid for ever.

    A server that runs turns it away within a second, and ends what it has under way.
    """
    paths = server_paths()
    gone: list[Key] = []
    try:
        for reference in keys:
            key = revoke_key(keys_file(paths), reference)
            gone.append(key)
            talk(f"key {key.id}, named {printable(key.name)}, is revoked")
            note(paths, "keys revoke", f"{key.id} ({key.name})")
        _tell_if_closed(read_keys(keys_file(paths)).values())
    except KoloError as error:
        note(paths, "keys revoke", reference, error.message)
        raise
    finally:
        if as_json:
            print_json([KeyShown(**_shown(key, time.time())) for key in gone])


def _tell_if_closed(keys: Iterable[Key]) -> None:
    """That no key is left does not open a server; said where it is so."""
    from kolo.config.reading import read_settings

    now = time.time()
    closed = read_settings().settings.access.require_key != "never"
    if closed and not any(key.state(now) == "valid" for key in keys):
        talk("no valid key is left, and a server goes on asking for one: kolo keys create NAME")
        talk("makes one; kolo config set access.require_key never lets everybody in")


def _moment(text: str, now: float) -> float:
    """Unix time of ``90d`` from now, or of the beginning of a day, or a moment, in UTC."""
    if re.fullmatch(r"\d{1,7}(\.\d*)?", text.strip()):  # 20300131 is a date
        raise BadParameter(
            f"--expires {text} has no unit",
            hint=f"{text.strip()}d for days, {text.strip()}h for hours, or a date: 2030-01-31",
            param="--expires",
        )
    try:
        moment = now + parse_duration(text)
    except ValueError:
        try:
            moment = _unix(datetime.fromisoformat(text))
        except ValueError:
            raise BadParameter(
                f"--expires {text!r} is no time", hint="90d, 12h, or 2030-01-31", param="--expires"
            ) from None
    if not now < moment < _LATEST:
        what = "that is over" if moment <= now else "no date is as late as that"
        raise BadParameter(
            f"--expires {text}: {what}", hint="90d, 12h, or 2030-01-31", param="--expires"
        )
    return moment


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _until(unix_s: float, now: float) -> str:
    """The day; near it the hour matters too."""
    return _date(unix_s)[: None if abs(unix_s - now) < 2 * 86_400 else 10]


def _cells(key: Key, now: float) -> list[str]:
    rates = (("req", key.requests_per_minute), ("tok", key.tokens_per_minute))
    return [
        key.id,
        key.name,
        " ".join(key.scopes),
        key.state(now),
        _date(key.created)[:10],
        "" if key.expires is None else _until(key.expires, now),
        " ".join(f"{rate} {unit}" for unit, rate in rates if rate is not None),
    ]


def _shown(key: Key, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": key.state(now),
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
    }
