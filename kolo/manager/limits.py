"""The manager's limits, as the settings say them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kolo.config import Settings
from kolo.manager.backoff import Backoff
from kolo.manager.engine import SILENCE_MS
from kolo.paths import find_paths
from kolo.units import Budget

NEVER_S = 1e9
STOP_GRACE_MS = 2_000
"""A worker that is told to stop leaves between two steps; one that does not is killed."""


@dataclass(slots=True)
class Limits:
    """Shared by all that heed them, and changed in place when the settings are read anew."""

    log_folder: Path
    memory_budget: Budget | None = None
    """For all engines together; None is what the machine has free."""
    max_engines: int = 0
    """0 is no limit."""
    idle_unload_s: float = 600.0
    """0 is for ever."""
    load_deadline_ms: float = 600_000.0
    """Longest time without progress in a load."""
    silence_ms: float = SILENCE_MS
    """After which a worker that has work is asked for a sign of life, and after as long again
    killed."""
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
            silence_ms=(manager.hang_timeout_s or NEVER_S) * 1000 / 2,
            room_wait_ms=manager.load_timeout_s * 1000,
            max_queue=manager.max_queue,
            backoff=lambda: Backoff(manager.restart_backoff_s, manager.restart_backoff_max_s),
        )
