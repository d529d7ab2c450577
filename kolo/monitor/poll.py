"""What workers say of themselves: slots, KV cells, counters, asked for once a second.

Only loaded engines are asked, each with a deadline, and one that has done nothing since it last
answered is left to sleep. A worker answers between two steps, in microseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kolo.errors import KoloError
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.stats import EngineStats

EVERY_S = 1.0
DEADLINE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker said, and when."""

    engine: Engine
    stats: EngineStats
    at_s: float
    last_used: float
    """Of the engine, when it was asked."""


class Poller:
    """``computed`` is told how many prompt tokens an engine has computed, and how many requests
    it has put back, since the last time."""

    def __init__(
        self,
        manager: Manager,
        computed: Callable[[str, int, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._manager = manager
        self._computed = computed
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._asking: dict[Engine, asyncio.Task[None]] = {}

    def told(self, engine: Engine) -> Told | None:
        """What this worker said last; nothing of the one before it under the same name."""
        told = self._told.get(engine.id)
        return told if told is not None and told.engine is engine else None

    def age_s(self, told: Told) -> float:
        """How long ago what was told was still true: 0 while nothing can have changed."""
        return self._clock() - told.at_s if self._has_news(told.engine) else 0.0

    async def run(self) -> None:
        """Ask, once a second, until cancelled."""
        try:
            while True:
                self.ask()
                await asyncio.sleep(EVERY_S)
        finally:
            for task in self._asking.values():
                task.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def ask(self) -> None:
        """Begin to ask everyone who may have news; nobody twice at a time."""
        loaded = self._manager.loaded()
        self._told = {engine.id: told for engine in loaded if (told := self.told(engine))}
        for engine in loaded:
            if engine not in self._asking and self._has_news(engine):
                task = asyncio.create_task(self._ask(engine), name=f"ask {engine.id}")
                self._asking[engine] = task

    def _has_news(self, engine: Engine) -> bool:
        told = self.told(engine)
        return told is None or engine.in_flight > 0 or engine.last_used != told.last_used

    async def _ask(self, engine: Engine) -> None:
        last_used = engine.last_used
        try:
            stats = await engine.stats(deadline_ms=DEADLINE_MS)
        except KoloError:  # it is gone, or too busy to say: what was known of it grows old
            return
        finally:
            del self._asking[engine]
        before = self.told(engine)
        known = before.stats if before is not None else EngineStats()
        self._told[engine.id] = Told(engine, stats, self._clock(), last_used)
        self._computed(
            engine.id,
            stats.prefill_tokens - known.prefill_tokens,
            stats.preemptions - known.preemptions,
        )
