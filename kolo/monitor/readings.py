"""What the machine says: host, disk, processes, GPUs, read when somebody wants to know."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from kolo.monitor.aside import Aside
from kolo.monitor.system import HostMonitor, ProcessMonitor, host_of, read_disk, read_swap
from kolo.snapshot import Disk, Gpu, Host, Process, without_readings

FRESH_S = 0.9
"""A reading that is younger is not taken again, however many look."""
STALE_S = 5.0
"""One that could not be taken for so long is no reading any more."""
DEADLINE_S = 0.25
"""The longest that a snapshot waits for a disk or a driver."""
SLOWLY_S = 10.0
"""What changes slowly (disk, swap) is read once in so long."""


class Readings:
    """``folder`` is the one that models are kept in; ``gpus`` may block, and never raises."""

    def __init__(
        self,
        host: HostMonitor,
        folder: Path,
        gpus: Callable[[], list[Gpu]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._clock = clock
        self._name = socket.gethostname()
        self._folder = folder
        self._disk: Aside[Disk] = Aside("disk", lambda: read_disk(folder), clock)
        self._gpus: Aside[list[Gpu]] = Aside("gpus", gpus, clock)
        self._processes = ProcessMonitor(clock=clock)
        self._taken_at_s: float | None = None
        self._slow_at_s: float | None = None
        self._swap: int | None = None
        self._known_gpus: list[Gpu] = []
        self.host = Host(name=self._name)
        self.server: Process | None = None
        self.workers: dict[int, Process] = {}

    @property
    def gpus(self) -> list[Gpu]:
        """With what could be read lately; GPUs that stopped answering stay, without readings."""
        latest = self._gpus.latest(STALE_S)
        if latest is None:
            return [without_readings(gpu) for gpu in self._known_gpus]
        self._known_gpus = latest
        return latest

    async def refresh(self, pids: Iterable[int]) -> None:
        """Read anew what is not fresh, in at most ``DEADLINE_S``; ``pids`` are the workers'."""
        now = self._clock()
        if self._taken_at_s is not None and 0 <= now - self._taken_at_s < FRESH_S:
            return
        self._taken_at_s = now
        wanted = [*pids]
        self._processes.keep((os.getpid(), *wanted))
        self.server = self._processes.read(os.getpid())
        found = ((pid, self._processes.read(pid)) for pid in wanted)
        self.workers = {pid: process for pid, process in found if process is not None}
        blocking = [self._gpus.refresh(DEADLINE_S)]
        if self._slow_at_s is None or not 0 <= now - self._slow_at_s < SLOWLY_S:
            self._slow_at_s = now
            self._swap = read_swap()
            blocking.append(self._disk.refresh(DEADLINE_S))
        await asyncio.gather(*blocking)
        disk = self._disk.latest(2 * SLOWLY_S) or Disk(path=str(self._folder))
        self.host = host_of(self._host.read(), self._name, disk, self._swap)

    def close(self) -> None:
        self._disk.close()
        self._gpus.close()
