"""``kolo prune``: remove what the store no longer needs."""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec import Struct

from kolo.cli.confirm import careful_options, confirmed
from kolo.cli.grid import Column, print_grid
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.table import print_json, size_text
from kolo.config import load_settings
from kolo.manager.saved import all_saved, remove_saved
from kolo.models.store import need_store
from kolo.models.upkeep import STALE_S, Waste, clear, waste
from kolo.paths import find_paths

KINDS = {
    "version": "former version",
    "blob": "unused content",
    "partial": "given-up download",
    "leftover": "leftover",
    "prefix": "cached prefixes",
}


class Pruned(Struct, kw_only=True):
    """What was removed, or would be."""

    removed: list[Waste]
    freed_bytes: int
    dry_run: bool


@click.command(
    "prune",
    cls=Command,
    short_help="Remove what the store no longer needs.",
    examples=[
        ("kolo prune --dry-run", "what would go, and how much that would free"),
        ("kolo prune --partials --yes", "also downloads that were broken off just now"),
        ("kolo prune --cache", "also what engines had cached of prompts and answers"),
    ],
)
@click.option(
    "--partials",
    is_flag=True,
    help="Partial downloads of any age, not only those a week old; never one under way.",
)
@click.option(
    "--cache",
    "prefixes",
    is_flag=True,
    help="Also what engines had cached when they were unloaded; prompts are computed anew then.",
)
@careful_options
@json_option("An object: removed (kind, what, n_bytes, name, version, path), freed_bytes, dry_run.")
def command(partials: bool, prefixes: bool, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Remove former versions of models, contents that no model has, downloads that were given
    up, and what a killed command left behind. No model in use is touched.
    """
    store = need_store(load_settings())
    found = waste(store, stale_s=0.0 if partials else STALE_S)
    found += _saved() if prefixes else []
    freed = sum(item.n_bytes for item in found)
    if not as_json and found:
        columns = [Column("WHAT"), Column("SIZE", number=True), Column("", flexible=True)]
        print_grid(columns, [[KINDS[i.kind], size_text(i.n_bytes), i.what] for i in found])
    if found and not dry_run:
        if not confirmed(f"remove these, {size_text(freed)}?", yes=yes):
            return 1
        clear(store, found)
        for item in found:
            if item.kind == "prefix":
                remove_saved(Path(item.path))
    if as_json:
        print_json(Pruned(removed=found, freed_bytes=freed, dry_run=dry_run))
    elif not found:
        talk("there is nothing to remove")
    else:
        talk(f"{size_text(freed)} {'would be' if dry_run else 'are'} freed")
    return 0


def _saved() -> list[Waste]:
    return [
        Waste(kind="prefix", what=f"{one.n} of {one.name}", n_bytes=one.n_bytes, path=one.path)
        for one in all_saved(find_paths(os.environ).prefixes)
    ]
