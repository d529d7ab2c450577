"""Who must go so that one more engine fits: a decision over plain numbers.

Memory comes in pools (the host, each GPU), and so does the number of engines: it is a pool of
which each engine holds one. A pool without a budget has no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kolo.errors import Busy, KoloError, OutOfMemory
from kolo.manager.memory import human

HOST = "host"
DEVICE = "device"
ENGINES = "engines"
"""The pool that counts engines; all others are bytes."""

Pools = Mapping[str, int]
Use = Literal["idle", "busy", "pinned"]


@dataclass(frozen=True, slots=True)
class Holder:
    """An engine that holds memory, or will when it has loaded."""

    id: str
    held: Pools
    use: Use
    """``busy``: not now, but one day it may be evicted. ``pinned``: never."""
    last_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """``go`` once the engines ``evict`` are gone, ``wait`` for busy ones, or ``never``."""

    verdict: Literal["go", "wait", "never"]
    evict: tuple[str, ...] = ()


def decide(need: Pools, budget: Pools, holders: Sequence[Holder]) -> Decision:
    """Whether ``need`` fits in ``budget``, evicting idle holders, the least recently used first.

    Nobody is evicted in vain: neither when it would not suffice, nor when the others suffice.
    """
    staying = list(holders)
    victims: list[Holder] = []
    for holder in sorted(_of(holders, "idle"), key=lambda holder: holder.last_used):
        if _lacking(need, budget, staying):
            staying.remove(holder)
            victims.append(holder)
    if _lacking(need, budget, staying):
        waited = _of(holders, "pinned")
        return Decision("never" if _lacking(need, budget, waited) else "wait")
    for holder in list(victims):
        if not _lacking(need, budget, [*staying, holder]):
            staying.append(holder)
            victims.remove(holder)
    return Decision("go", tuple(holder.id for holder in victims))


def refusal(id: str, need: Pools, budget: Pools, holders: Sequence[Holder]) -> KoloError:
    """Why ``id`` does not fit, with the numbers: OutOfMemory, or Busy for too many engines.

    ``retry_after_s`` is set where busy engines hold what it needs.
    """
    staying = [holder for holder in holders if holder.use != "idle"]
    lacking = _lacking(need, budget, staying)
    retry_after_s = 5.0 if _lacking(need, budget, _of(holders, "pinned")) == [] else None
    if lacking == [ENGINES]:
        return Busy(
            f"cannot load {id!r}: {budget[ENGINES]} engines may be loaded at once, and none of "
            f"these may be unloaded now: {_names(staying)}",
            hint="Wait, unload one of them, or raise manager.max_engines.",
            retry_after_s=retry_after_s,
        )
    pool = next((pool for pool in lacking if pool != ENGINES), next(iter(need)))
    held = sum(holder.held.get(pool, 0) for holder in staying)
    by = f", of which {human(held)} are held by {_names(staying)}" if held else ""
    return OutOfMemory(
        f"cannot load {id!r}: it needs {human(need.get(pool, 0))} of {pool} memory, the budget is "
        f"{human(budget.get(pool, 0))}{by}",
        hint="Unload another model, or load this one with a smaller context (ctx), fewer parallel "
        "requests (parallel), a smaller KV type or a smaller quant.",
        retry_after_s=retry_after_s,
    )


def _of(holders: Iterable[Holder], use: Use) -> list[Holder]:
    return [holder for holder in holders if holder.use == use]


def _lacking(need: Pools, budget: Pools, holders: Iterable[Holder]) -> list[str]:
    """The pools that ``need`` does not fit in beside ``holders``."""
    room = dict(budget)
    for holder in holders:
        for pool, amount in holder.held.items():
            if pool in room:
                room[pool] -= amount
    return [pool for pool, amount in need.items() if amount > max(room.get(pool, amount), 0)]


def _names(holders: Iterable[Holder]) -> str:
    return ", ".join(f"{holder.id!r} ({holder.use})" for holder in holders)
