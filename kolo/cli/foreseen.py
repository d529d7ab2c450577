"""What ``kolo load --dry-run`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from kolo.cli.grid import Column, print_grid
from kolo.cli.output import printable
from kolo.cli.table import print_json, size_text
from kolo.errors import OutOfMemory

if TYPE_CHECKING:
    from kolo.manager.outlook import Outlook


def show_outlook(outlook: Outlook, *, as_json: bool) -> int:
    """Print it; the exit code, which says whether it would fit."""
    if as_json:
        print_json(outlook)
    else:
        _print(outlook)
    return 0 if outlook.verdict == "go" else OutOfMemory.exit_code


def _print(outlook: Outlook) -> None:
    rows = list(_rows(outlook))
    if rows:
        click.echo(printable(f"{outlook.id} would take{_shape(outlook)}"))
        print_grid([Column("FOR"), Column("MEMORY", number=True), Column("")], rows)
    for line in _verdict(outlook):
        click.echo(printable(line))


def _shape(outlook: Outlook) -> str:
    estimate = outlook.estimate
    if estimate is None:
        return ""
    return f", for {estimate.parallel} x {estimate.n_ctx} tokens"


def _rows(outlook: Outlook) -> Iterator[list[str]]:
    estimate = outlook.estimate
    if estimate is not None:
        yield ["weights", size_text(estimate.weights_bytes), ""]
        yield ["KV cache", size_text(estimate.kv_bytes), ""]
        yield ["computing", size_text(estimate.compute_bytes), ""]
        yield ["process", size_text(estimate.process_bytes), ""]
    for pool, amount in outlook.need.items():
        if amount:
            free = outlook.free.get(pool)
            told = "" if free is None else f"of {size_text(max(free, 0))} free"
            yield [f"{pool} memory", size_text(amount), told]


def _verdict(outlook: Outlook) -> Iterator[str]:
    held = {one.id: sum(one.pools.values()) for one in outlook.held}
    if outlook.verdict == "go" and not outlook.evict:
        yield "it fits"
    elif outlook.verdict == "go":
        names = ", ".join(f"{id} ({size_text(held.get(id, 0))})" for id in outlook.evict)
        yield f"it fits once these are unloaded, which are idle: {names}"
    else:
        yield outlook.message
        if outlook.verdict == "wait":
            yield "it would wait for busy engines to become idle"
        if outlook.hint:
            yield outlook.hint
