"""``kolo rollback``: return a model to its former version."""

from __future__ import annotations

import time

import click

from kolo.cli.options import Text
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.stored import stored_model
from kolo.cli.table import print_json
from kolo.config import load_settings
from kolo.errors import ModelNotFound
from kolo.models.manifest import Stored, Version
from kolo.models.store import need_store


@click.command(
    "rollback",
    cls=Command,
    short_help="Return a model to its former version.",
    examples=[
        ("kolo rollback qwen2.5:0.5b", "the version that kolo pull replaced"),
        ("kolo rollback qwen2.5:0.5b --to 3f2a", "any one that kolo show lists"),
    ],
)
@click.argument("name", type=Text(), metavar="NAME")
@click.option("--to", "to", type=Text(), metavar="VERSION", help="Its id, or the beginning of it.")
@click.option("--dry-run", is_flag=True, help="Show which version it would be, and stop there.")
@json_option("An object: name, version, former (the one that was in use), dry_run.")
def command(name: str, to: str | None, dry_run: bool, as_json: bool) -> None:
    """Have an earlier version of a model in use again. No file is removed or fetched.

    A running server goes over to it with the next request; what it is answering with the other
    version ends undisturbed. kolo pull NAME returns to the newest.
    """
    settings = load_settings()
    store = need_store(settings)
    stored = stored_model(name, settings, store, "rollback")
    version = _version(stored, to)
    store.path(stored.name, version)  # is there
    if not dry_run:
        store.use(stored.name, version.id)
    if as_json:
        answer = {"name": stored.name, "version": version.id, "former": stored.version.id}
        print_json({**answer, "dry_run": dry_run})
    else:
        would = "would be" if dry_run else "is"
        talk(f"{stored.name} {would} version {version.id} of {date_text(version.added_at)}")


def date_text(at_s: float) -> str:
    """``2026-05-04 13:37``, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))


def _version(stored: Stored, to: str | None) -> Version:
    if to is None:
        if stored.former is None:
            raise ModelNotFound(
                f"{stored.name} has no earlier version",
                hint=f"kolo show {stored.name} lists what it has",
            )
        return stored.former
    found = [version for version in stored.versions if version.id.startswith(to)]
    if len(found) != 1:
        ids = ", ".join(version.id for version in stored.versions)
        raise ModelNotFound(
            f"{stored.name} has {'no' if not found else 'more than one'} version {to!r}: {ids}"
        )
    return found[0]
