"""Makes room for a load: one decision at a time, in the order they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from kolo.errors import KoloError, OutOfMemory
from kolo.manager.budget import (
    ENGINES,
    HOST,
    Decision,
    Holder,
    Pools,
    decide,
    free,
    ran_out,
    refusal,
)
from kolo.manager.entry import Entry
from kolo.manager.gauge import Gauge, Need
from kolo.manager.limits import Limits
from kolo.manager.outlook import Held, Outlook
from kolo.models.resolve import ModelSpec


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

    async def make(self, entry: Entry) -> Need:
        """Reserve in ``entry.held`` what ``entry`` needs; returns that, and what to load it with.

        Raises OutOfMemory or Busy, with the numbers, at once when no waiting would help, and
        after ``room_wait_ms`` when busy engines still hold the memory.
        """
        await self._gauge.refresh()
        need = self._gauge.need(entry.spec, self._most(entry.id))
        pools = {**need.pools, ENGINES: 1}
        try:
            async with asyncio.timeout(self._limits.room_wait_ms / 1000), self._turn:
                while (decision := self._decide(entry.id, pools)).verdict != "go" or decision.evict:
                    await self._follow(decision, entry, need)
                    await self._gauge.refresh()
                entry.held = pools
        except TimeoutError:
            raise self._refusal(entry.id, need) from None
        return need

    async def foresee(self, spec: ModelSpec) -> Outlook:
        """What ``make`` would come to now for an engine like this, and nothing is done.

        Raises ModelInvalid."""
        await self._gauge.refresh()
        holders, budget = self._holders(spec.id), self._budget()
        held = [
            Held(id=one.id, use=one.use, pools={k: n for k, n in one.held.items() if k != ENGINES})
            for one in holders
        ]
        room = {pool: amount for pool, amount in budget.items() if pool != ENGINES}
        outlook = Outlook(id=spec.id, params=spec.params, budget=room, held=held)
        try:
            need = self._gauge.need(spec, self._most(spec.id))
        except OutOfMemory as error:
            outlook.message, outlook.hint = error.message, error.hint
            return outlook
        outlook.params, outlook.need, outlook.estimate = need.params, need.pools, need.estimate
        outlook.free = free(room, holders)
        decision = self._decide(spec.id, {**need.pools, ENGINES: 1})
        outlook.verdict, outlook.evict = decision.verdict, list(decision.evict)
        if decision.verdict != "go":
            refused = self._refusal(spec.id, need)
            outlook.message, outlook.hint = refused.message, refused.hint
        return outlook

    def explain(self, entry: Entry, need: Need, error: OutOfMemory) -> OutOfMemory:
        """The error of a load that fitted by the numbers and found no memory all the same."""
        holders, budget = self._holders(entry.id), self._budget()
        return ran_out(entry.id, error.message, need.pools, budget, holders)

    async def clear(self, entry: Entry) -> bool:
        """Evict every idle engine for ``entry``; whether there was one, and the turn to do so."""
        try:
            async with asyncio.timeout(self._limits.room_wait_ms / 1000), self._turn:
                idle = [other for other in self._entries() if other.use == "idle"]
                await _evict(idle, entry)
                return bool(idle)
        except TimeoutError:
            return False

    def _decide(self, id: str, need: Pools) -> Decision:
        return decide(need, self._budget(), self._holders(id))

    async def _follow(self, decision: Decision, entry: Entry, need: Need) -> None:
        if decision.verdict == "never":
            raise self._refusal(entry.id, need)
        if decision.verdict == "wait":
            await self._changed.wait()
        else:
            await _evict([e for e in self._entries() if e.id in decision.evict], entry)

    def _refusal(self, id: str, need: Need) -> KoloError:
        holders, budget = self._holders(id), self._budget()
        staying = [holder for holder in holders if holder.use != "idle"]
        advice = need.advice(max(free(budget, staying).get(HOST, 0), 0))
        return refusal(id, {**need.pools, ENGINES: 1}, budget, holders, advice)

    def _most(self, id: str) -> Pools:
        """What there would be for engine ``id`` with everything evicted that ever may be."""
        pinned = [holder for holder in self._holders(id) if holder.use == "pinned"]
        return free(self._budget(), pinned)

    def _holders(self, id: str) -> list[Holder]:
        """Everybody but engine ``id`` who holds something, measured now."""
        others = [other for other in self._entries() if other.id != id and other.held]
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
