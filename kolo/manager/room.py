"""Makes room for a load: one decision at a time, in the order they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from kolo.errors import KoloError
from kolo.manager.budget import ENGINES, Decision, Holder, Pools, decide, refusal
from kolo.manager.entry import Entry
from kolo.manager.gauge import Gauge
from kolo.manager.limits import Limits
from kolo.types import LoadParams


class Room:
    """Reserves memory for entries, evicts idle ones for it, waits for busy ones.

    Only deciding is serial. An engine that is loaded is leased past this, and several models
    may load side by side once each has its memory reserved.
    """

    def __init__(
        self, limits: Limits, gauge: Gauge, entries: Callable[[], Collection[Entry]]
    ) -> None:
        self._limits = limits
        self._gauge = gauge
        self._entries = entries
        self._turn = asyncio.Lock()  # wakes its waiters first come, first served
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Wake whoever waits for a lease to end or an engine to come or go."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout_s: float | None) -> None:
        """Wait for the next ``changed``, at most ``timeout_s``."""
        news = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await news.wait()
        except TimeoutError:
            return

    async def make(self, entry: Entry) -> LoadParams:
        """Reserve in ``entry.held`` what ``entry`` needs; returns what to load it with.

        Raises OutOfMemory or Busy, with the numbers, at once when no waiting would help, and
        after ``room_wait_ms`` when busy engines still hold the memory.
        """
        need = self._gauge.need(entry.spec, self._most(entry))
        pools = {**need.pools, ENGINES: 1}
        try:
            async with asyncio.timeout(self._limits.room_wait_ms / 1000), self._turn:
                while (decision := self._decide(entry, pools)).verdict != "go" or decision.evict:
                    await self._follow(decision, entry, pools)
                entry.held = pools
        except TimeoutError:
            raise self._refusal(entry, pools) from None
        return need.params

    async def clear(self, entry: Entry) -> bool:
        """Evict every idle engine for ``entry``; whether there was one, and the turn to do so."""
        try:
            async with asyncio.timeout(self._limits.room_wait_ms / 1000), self._turn:
                idle = [other for other in self._entries() if other.use == "idle"]
                await _evict(idle, entry)
                return bool(idle)
        except TimeoutError:
            return False

    def _decide(self, entry: Entry, need: Pools) -> Decision:
        return decide(need, self._budget(), self._holders(entry))

    async def _follow(self, decision: Decision, entry: Entry, need: Pools) -> None:
        if decision.verdict == "never":
            raise self._refusal(entry, need)
        if decision.verdict == "wait":
            await self._changed.wait()
        else:
            await _evict([e for e in self._entries() if e.id in decision.evict], entry)

    def _refusal(self, entry: Entry, need: Pools) -> KoloError:
        return refusal(entry.id, need, self._budget(), self._holders(entry))

    def _most(self, entry: Entry) -> Pools:
        """What there would be for ``entry`` with everything evicted that ever may be."""
        most = dict(self._budget())
        for holder in self._holders(entry):
            for pool, amount in holder.held.items():
                if holder.use == "pinned" and pool in most:
                    most[pool] -= amount
        return most

    def _holders(self, entry: Entry) -> list[Holder]:
        """Everybody else who holds something, measured now."""
        others = [other for other in self._entries() if other is not entry and other.held]
        for other in others:
            other.measure()
        return [Holder(other.id, other.held, other.use, other.last_used) for other in others]

    def _budget(self) -> Pools:
        pids = [entry.pid for entry in self._entries() if entry.pid is not None]
        budget = dict(self._gauge.budget(pids))
        if self._limits.max_engines:
            budget[ENGINES] = self._limits.max_engines
        return budget


async def _evict(victims: Collection[Entry], entry: Entry) -> None:
    for victim in victims:
        victim.begin_unload(f"evicted for {entry.id!r}")
    for victim in victims:
        await victim.settled()
