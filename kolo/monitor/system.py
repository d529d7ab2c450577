"""What the host and its processes use: processor, memory, disk. Containers see their own share."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Collection
from pathlib import Path

import psutil
from msgspec import Struct

from kolo.manager.machine import Machine, available
from kolo.snapshot import Disk, Host, Process

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


def host_of(
    reading: HostReading, name: str, disk: Disk | None, swap_used_bytes: int | None
) -> Host:
    """The host as a snapshot shows it."""
    return Host(
        name=name,
        cores=len(os.sched_getaffinity(0)),
        cpu_percent=reading.cpu_percent,
        load_1m=_load(),
        memory_total_bytes=reading.memory_total_bytes,
        memory_available_bytes=reading.memory_available_bytes,
        swap_used_bytes=swap_used_bytes,
        disk=disk,
    )


def read_disk(folder: Path) -> Disk:
    """The file system that ``folder`` is on, or will be. May block, as file systems do."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        usage = psutil.disk_usage(str(there))
    except OSError:
        return Disk(path=str(folder))
    return Disk(path=str(folder), total_bytes=usage.total, free_bytes=usage.free)


class ProcessMonitor:
    """What processes use. The processor's load is that since a process was last read."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._processes: dict[int, _Watched] = {}

    def read(self, pid: int) -> Process | None:
        """None when it is gone."""
        watched = self._processes.get(pid)
        if watched is None:
            watched = self._processes[pid] = _Watched(pid, self._clock)
        return watched.read()

    def keep(self, pids: Collection[int]) -> None:
        """Forget all others."""
        for pid in self._processes.keys() - set(pids):
            del self._processes[pid]


class _Watched:
    def __init__(self, pid: int, clock: Callable[[], float]) -> None:
        self._pid = pid
        self._clock = clock
        self._process: psutil.Process | None = None
        self._read_at_s = 0.0
        self._cpu_s: float | None = None
        self._cpu_percent: float | None = None

    def read(self) -> Process | None:
        try:
            if self._process is None:
                self._process = psutil.Process(self._pid)
            with self._process.oneshot():
                times = self._process.cpu_times()
                memory = self._process.memory_info()
        except psutil.NoSuchProcess:
            return None
        except (OSError, psutil.Error):  # it is there, and not ours to read
            return Process(pid=self._pid)
        self._count(times.user + times.system)
        return Process(pid=self._pid, cpu_percent=self._cpu_percent, rss_bytes=memory.rss)

    def _count(self, cpu_s: float) -> None:
        now = self._clock()
        if self._cpu_s is None:
            self._read_at_s, self._cpu_s = now, cpu_s
        elif now - self._read_at_s >= SHORTEST_S:
            spent_s = max(cpu_s - self._cpu_s, 0.0)
            self._cpu_percent = round(100 * spent_s / (now - self._read_at_s), 1)
            self._read_at_s, self._cpu_s = now, cpu_s


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def read_swap() -> int | None:
    """Bytes in use; None where the system does not tell."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that a container hides how it pages
            used: int = psutil.swap_memory().used
    except (OSError, psutil.Error):
        return None
    return used
