"""``kolo ls``: the models of this machine."""

from __future__ import annotations

import sys
import time

import click

from kolo.cli import loop
from kolo.cli.catalog import Row, engines_now, rows, tell_engines
from kolo.cli.grid import Column, print_grid
from kolo.cli.output import printable, talk
from kolo.cli.remote import json_option, quiet_option
from kolo.cli.root import Command
from kolo.cli.table import print_json, size_text
from kolo.config import Settings, load_settings

PLACES = {"builtin": "built in", "config": "settings", "folder": "folder", "hub": "hub cache"}


@click.command(
    "ls",
    cls=Command,
    short_help="List the models of this machine.",
    examples=[
        ("kolo ls", "all that can be loaded by name"),
        ("kolo ls --json | jq -r '.[] | select(.size_bytes > 5e9).name'", "the large ones"),
    ],
)
@quiet_option("The names alone.")
@click.option("--rebuild", is_flag=True, help="First make the store's index anew from its folders.")
@json_option("An array of objects, with sizes in bytes and times in seconds since 1970.")
def command(quiet: bool, rebuild: bool, as_json: bool) -> None:
    """List the models of this machine: those of the store, of the settings, of the folders that
    the settings name, and what Hugging Face's tools have fetched.

    CTX: tokens that the model was trained for. USED: how long ago it was loaded or asked, or
    what it is doing now in the running server.
    """
    settings = load_settings()
    if rebuild:
        _rebuild(settings)
    found, remarks = rows(settings)
    if quiet:
        for row in found:
            click.echo(printable(row.name))
        return
    tell_engines(found, loop.run(engines_now(settings)))
    if as_json:
        print_json(found)
        return
    print_grid(_COLUMNS, [_cells(row) for row in found])
    for row in found:
        if row.problem:
            talk(f"{row.name}: {row.problem}")
    for remark in remarks:
        talk(remark)


_COLUMNS = [
    Column("NAME", flexible=True),
    Column("SIZE", number=True),
    Column("QUANT"),
    Column("PARAMS", number=True),
    Column("CTX", number=True),
    Column("SOURCE"),
    Column("USED"),
]


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        "gone" if row.size_bytes is None else size_text(row.size_bytes),
        row.quant,
        params_text(row.n_params),
        _context(row.n_ctx_train),
        place_text(row),
        _used(row),
    ]


def place_text(row: Row) -> str:
    """Where a model is from, in a word or two."""
    if row.place != "store":
        return PLACES[row.place]
    if row.in_place:
        return "in place"
    if row.source.startswith("/"):
        return "file"
    scheme = row.source.partition(":")[0]
    return {"hf": "hub", "https": "web", "http": "web"}.get(scheme, scheme)[:9]


def params_text(n_params: int) -> str:
    """``494M``, ``7.6B``."""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n_params >= limit:
            amount = n_params / limit
            return f"{amount:.1f}{unit}" if amount < 9.95 else f"{amount:.0f}{unit}"
    return str(n_params) if n_params else ""


def ago_text(at_s: float) -> str:
    """``just now``, ``12m ago``, ``3d ago``; times in seconds since 1970."""
    for size_s, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if (past_s := time.time() - at_s) >= size_s:
            return f"{past_s // size_s:.0f}{unit} ago"
    return "just now"


def _context(n_ctx: int) -> str:
    return f"{n_ctx // 1024}k" if n_ctx >= 1024 else str(n_ctx or "")


def _used(row: Row) -> str:
    if row.state not in (None, "unloaded"):
        return str(row.state)
    return "never" if row.last_used is None else ago_text(row.last_used)


def _rebuild(settings: Settings) -> None:
    from kolo.models.store import need_store

    store = need_store(settings)
    remarks = store.rebuild()
    for remark in remarks:
        talk(remark)
    if sys.stderr.isatty() or remarks:
        talk(f"the index was made anew: {len(store.models())} models in {store.folder}")
