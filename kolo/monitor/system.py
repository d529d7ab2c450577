"""The host's load: processor and memory, as this process may use them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
from msgspec import Struct

from kolo.manager.machine import Machine, available

SHORTEST_S = 0.5
"""The processor's load over a shorter time means little: until then the last reading holds."""


class HostReading(Struct, frozen=True, kw_only=True):
    """One look at the host."""

    cpu_percent: float | None
    """Of all cores together, since the reading before; None while there is none, and where the
    system does not tell."""
    memory_total_bytes: int
    """Of the machine, or of the control group that is tightest."""
    memory_available_bytes: int


class HostMonitor:
    """Reads when asked. The load is counted from when this was made."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_percent: Callable[[], float] = psutil.cpu_percent,
        memory: Callable[[], Machine] = available,
    ) -> None:
        self._clock = clock
        self._cpu_percent = cpu_percent
        self._memory = memory
        self._cpu: float | None = None
        self._cpu_read_at = clock()
        self._read_cpu()  # psutil's first answer only says where it counts from

    def read(self) -> HostReading:
        now = self._clock()
        if now - self._cpu_read_at >= SHORTEST_S:
            self._cpu, self._cpu_read_at = self._read_cpu(), now
        memory = self._memory()
        return HostReading(
            cpu_percent=self._cpu,
            memory_total_bytes=memory.total_bytes,
            memory_available_bytes=memory.available_bytes,
        )

    def _read_cpu(self) -> float | None:
        try:
            return self._cpu_percent()
        except (OSError, psutil.Error):  # a container may hide /proc/stat
            return None
