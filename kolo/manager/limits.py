"""The manager's limits, as the settings say them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kolo.config import Settings
from kolo.manager.backoff import Backoff
from kolo.paths import find_paths
from kolo.units import Budget

STOP_GRACE_MS = 2_000
"""A worker that is told to stop leaves between two steps; one that does not is killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    log_folder: Path
    memory_budget: Budget | None = None
    """For all engines together; None is what the machine has free."""
    max_engines: int = 0
    """0 is no limit."""
    idle_unload_s: float = 600.0
    """0 is for ever."""
    load_deadline_ms: float = 600_000.0
    """Longest time without progress in a load."""
    room_wait_ms: float = 600_000.0
    """Longest wait for memory that busy engines hold."""
    stop_grace_ms: float = STOP_GRACE_MS
    max_queue: int = 256
    backoff: Callable[[], Backoff] = Backoff

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        manager = settings.manager
        return cls(
            log_folder=find_paths(os.environ).state / "logs",
            memory_budget=manager.memory_budget,
            max_engines=manager.max_engines,
            idle_unload_s=manager.idle_unload_s,
            load_deadline_ms=manager.load_timeout_s * 1000,
            room_wait_ms=manager.load_timeout_s * 1000,
            max_queue=manager.max_queue,
            backoff=lambda: Backoff(manager.restart_backoff_s, manager.restart_backoff_max_s),
        )
