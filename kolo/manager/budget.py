"""Who must go so that one more engine fits: a decision over plain numbers.

Memory comes in pools (the host, each GPU), and so does the number of engines: it is a pool of
which each engine holds one. A pool without a budget has no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def refusal(
    id: str, need: Pools, budget: Pools, holders: Sequence[Holder], advice: str = ""
) -> KoloError:
    """Why ``id`` does not fit, with the numbers: OutOfMemory, or Busy for too many engines.

    ``retry_after_s`` is set where busy engines hold what it needs. ``advice`` is what would fit
    beside those that stay.
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
    short = need.get(pool, 0) - max(free(budget, staying).get(pool, 0), 0)
    by = _held_by(pool, staying)
    return OutOfMemory(
        f"cannot load {id!r}: it needs {human(need.get(pool, 0))} of {pool} memory, the budget is "
        f"{human(budget.get(pool, 0))}{by and f', of which {by}'}: {human(max(short, 0))} too few",
        hint=_what_to_try(pool, staying, advice),
        retry_after_s=retry_after_s,
    )


def ran_out(
    id: str, why: str, need: Pools, budget: Pools, holders: Sequence[Holder]
) -> OutOfMemory:
    """What to say of a load that fitted by the numbers and found no memory all the same."""
    left = free(budget, holders)
    told = [
        f"{human(amount)} of {pool} memory ({', '.join(_state(pool, left, holders))})"
        for pool, amount in need.items()
        if pool != ENGINES and amount
    ]
    thought = f"; it was thought to need {' and '.join(told)}" if told else ""
    return OutOfMemory(
        f"cannot load {id!r}, there is not enough memory: {why}{thought}",
        hint=_what_to_try(HOST, holders, ""),
    )


def free(budget: Pools, holders: Iterable[Holder]) -> dict[str, int]:
    """What the holders leave of each pool; negative where they hold more than there is."""
    left = dict(budget)
    for holder in holders:
        for pool, amount in holder.held.items():
            if pool in left:
                left[pool] -= amount
    return left


def _held_by(pool: str, holders: Iterable[Holder]) -> str:
    holding = [holder for holder in holders if holder.held.get(pool, 0)]
    held = sum(holder.held[pool] for holder in holding)
    return f"{human(held)} are held by {_names(holding)}" if held else ""


def _state(pool: str, left: Pools, holders: Iterable[Holder]) -> Iterator[str]:
    if pool in left:
        yield f"{human(max(left[pool], 0))} free"
    if by := _held_by(pool, holders):
        yield by


def _what_to_try(pool: str, holders: Iterable[Holder], advice: str) -> str:
    largest = max(holders, key=lambda holder: holder.held.get(pool, 0), default=None)
    ways = []
    if largest is not None and largest.held.get(pool, 0):
        ways.append(f"Unload another model (kolo unload {largest.id})")
    if not advice:
        ways.append(
            "load this one with a smaller context (ctx), fewer parallel requests (parallel), a "
            "smaller KV type or a smaller quant"
        )
    told = ", or ".join(ways)
    told = f"{told[:1].upper()}{told[1:]}." if told else ""
    return f"{told} {advice}".strip()


def _of(holders: Iterable[Holder], use: Use) -> list[Holder]:
    return [holder for holder in holders if holder.use == use]


def _lacking(need: Pools, budget: Pools, holders: Iterable[Holder]) -> list[str]:
    """The pools that ``need`` does not fit in beside ``holders``."""
    room = free(budget, holders)
    return [pool for pool, amount in need.items() if amount > max(room.get(pool, amount), 0)]


def _names(holders: Iterable[Holder]) -> str:
    return ", ".join(f"{holder.id!r} ({holder.use})" for holder in holders)
