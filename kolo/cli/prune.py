"""``kolo prune``: remove what the store no longer needs."""

from __future__ import annotations

import click

from kolo.cli.confirm import careful_options, confirmed
from kolo.cli.grid import Column, print_grid
from kolo.cli.output import talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.table import print_json, size_text
from kolo.config import load_settings
from kolo.models.store import need_store
from kolo.models.upkeep import STALE_S, clear, waste

KINDS = {
    "version": "former version",
    "blob": "unused content",
    "partial": "given-up download",
    "leftover": "leftover",
}


@click.command(
    "prune",
    cls=Command,
    short_help="Remove what the store no longer needs.",
    examples=[
        ("kolo prune --dry-run", "what would go, and how much that would free"),
        ("kolo prune --partials --yes", "also downloads that were broken off just now"),
    ],
)
@click.option(
    "--partials",
    is_flag=True,
    help="Partial downloads of any age, not only those a week old; never one under way.",
)
@careful_options
@json_option("An object: removed (kind, what, n_bytes, name, version, path), freed_bytes, dry_run.")
def command(partials: bool, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Remove former versions of models, contents that no model has, downloads that were given
    up, and what a killed command left behind. No model in use is touched.
    """
    store = need_store(load_settings())
    found = waste(store, stale_s=0.0 if partials else STALE_S)
    freed = sum(item.n_bytes for item in found)
    if not as_json and found:
        columns = [Column("WHAT"), Column("SIZE", number=True), Column("", flexible=True)]
        print_grid(columns, [[KINDS[i.kind], size_text(i.n_bytes), i.what] for i in found])
    if found and not dry_run:
        if not confirmed(f"remove these, {size_text(freed)}?", yes=yes):
            return 1
        clear(store, found)
    if as_json:
        print_json({"removed": found, "freed_bytes": freed, "dry_run": dry_run})
    elif not found:
        talk("there is nothing to remove")
    else:
        talk(f"{size_text(freed)} {'would be' if dry_run else 'are'} freed")
    return 0
