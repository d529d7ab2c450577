"""What the machine has to give: memory and cores, as far as this process may use them.

A container sees the host's numbers in ``/proc/meminfo``, so that the limits of its control group
are read as well and the tightest counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from msgspec import Struct

_PROC = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_DEVICES = Path("/dev")
_CPUS = Path("/sys/devices/system/cpu")


class Machine(Struct, frozen=True):
    """Host memory. ``limit`` says whose it is: ``this machine`` or a control group's folder."""

    total_bytes: int
    available_bytes: int
    """What can be taken without swapping; file cache counts as free."""
    limit: str


def available(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Machine:
    """The memory of this machine, or of the control group with least left to give."""
    memory = psutil.virtual_memory()
    machine = Machine(memory.total, memory.available, "this machine")
    for folder in _folders(proc, cgroups, "memory"):
        group = _group_memory(folder)
        if group is not None and group.total_bytes < memory.total:
            machine = min(machine, group, key=lambda limit: limit.available_bytes)
    return machine


def physical_cores(proc: Path = _PROC, cgroups: Path = _CGROUPS, cpus: Path = _CPUS) -> int:
    """Physical cores this process may run on, whole ones of its CPU quota; at least 1.

    Hyper-threads count once: llama.cpp's threads share nothing but the core, and two on one core
    wait for each other.
    """
    allowed = sorted(os.sched_getaffinity(0))
    cores = {_siblings(cpus / f"cpu{cpu}" / "topology") or str(cpu) for cpu in allowed}
    quotas = [_group_cores(folder) for folder in _folders(proc, cgroups, "cpu")]
    return max(1, int(min([len(cores), *(quota for quota in quotas if quota is not None)])))


def gpu_present(devices: Path = _DEVICES) -> bool:
    """Whether the system shows a GPU that llama.cpp could use: NVIDIA, AMD (KFD) or any that
    renders; or the unified memory of macOS."""
    nodes = ("nvidia[0-9]*", "kfd", "dri/renderD*", "dxg")
    return sys.platform == "darwin" or any(next(devices.glob(node), None) for node in nodes)


def _siblings(topology: Path) -> str:
    return _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")


def _folders(proc: Path, cgroups: Path, controller: str) -> Iterator[Path]:
    """The control group folders this process is in, from its own up to the root.

    Lines of /proc/self/cgroup are ``0::/path`` in version 2 and ``4:cpu,cpuacct:/path`` in
    version 1 (cgroups(7)). A container may see its own group as the root.
    """
    for line in _read(proc).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controller if controllers else cgroups
        folder = root / path.lstrip("/")
        while folder != root:
            yield folder
            folder = folder.parent
        yield root


def _group_memory(folder: Path) -> Machine | None:
    """What a control group may use; None without a limit."""
    for limit, usage, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        total, used = _read(folder / limit), _read(folder / usage)
        if total.isdecimal() and used.isdecimal():
            cached = _stat(folder / "memory.stat", inactive)
            left = int(total) - max(0, int(used) - cached)
            return Machine(int(total), max(0, left), str(folder))
    return None


def _group_cores(folder: Path) -> float | None:
    """CPU quota of a control group in cores; None without one."""
    fields = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us"),
        _read(folder / "cpu.cfs_period_us"),
    ]
    if len(fields) == 2 and all(field.isdecimal() and int(field) for field in fields):
        return int(fields[0]) / int(fields[1])
    return None


def _stat(file: Path, key: str) -> int:
    for line in _read(file).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdecimal():
            return int(value)
    return 0


def _read(file: Path) -> str:
    """The text of a small kernel file; empty where this kernel or container has none."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
