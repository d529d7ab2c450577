"""The machine that measures, and what held it up while it did."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil

from kolo.bench.result import Gpu, Host
from kolo.manager.machine import available
from kolo.whole import write_whole

N = TypeVar("N", int, float)
LOAD_S = 0.4
"""How long the processors are watched before a run."""
BUSY = 0.15
"""A machine that is busier than this before the run has something else to do."""
_READ_BYTES = 8 << 20


def read_host(gpus: list[Gpu]) -> Host:
    """The machine now; takes LOAD_S."""
    return Host(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False),
        usable_cpus=len(os.sched_getaffinity(0)),
        memory_bytes=available().total_bytes,
        gpus=gpus,
        load_before=_load(),
        load_average=_load_average(),
        governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
    )


class Hindrances:
    """Counts what slowed the processors from when it is made until ``add_to``."""

    def __init__(self) -> None:
        self._throttled = _throttle_events()
        self._quota_s = _quota_throttled_s()
        self._times = _cpu_times()

    def add_to(self, host: Host) -> None:
        """Write what happened since into ``host``."""
        host.throttled = _difference(_throttle_events(), self._throttled)
        host.quota_throttled_s = _difference(_quota_throttled_s(), self._quota_s)
        now, before = _cpu_times(), self._times
        if now is not None and before is not None and now[1] > before[1]:
            host.steal = (now[0] - before[0]) / (now[1] - before[1])


def file_sha256(path: Path, cache: Path) -> tuple[int | None, str]:
    """Size and SHA-256 of a file, as its publisher states it; remembered by size and time of
    change. None and empty for a file that cannot be read."""
    try:
        status = path.stat()
        key = f"{path}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
        known = _known_hashes(cache)
        if key not in known:
            digest = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                while piece := file.read(_READ_BYTES):
                    digest.update(piece)
            known[key] = digest.hexdigest()
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_whole(cache, msgspec.json.encode(known))
        return status.st_size, known[key]
    except OSError:
        return None, ""


def _known_hashes(cache: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def cpu_name() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or platform.machine()


def _load() -> float | None:
    try:
        return float(psutil.cpu_percent(interval=LOAD_S)) / 100
    except (OSError, psutil.Error):  # a container may hide /proc/stat
        return None


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _throttle_events() -> int | None:
    """Of all cores, where the kernel counts them."""
    found = [
        int(text)
        for path in Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_throttle_count")
        if (text := _text(path)).isdecimal()
    ]
    return sum(found) if found else None


def _quota_throttled_s() -> float | None:
    """Of this process's control group (cgroup v2, cpu.stat)."""
    group = _text(Path("/proc/self/cgroup")).rpartition("::")[2].strip().lstrip("/")
    for line in _text(Path("/sys/fs/cgroup") / group / "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec" and value.isdecimal():
            return int(value) / 1e6
    return None


def _cpu_times() -> tuple[float, float] | None:
    """Stolen seconds and all seconds of all processors."""
    try:
        times = psutil.cpu_times()
    except (OSError, psutil.Error):
        return None
    return float(getattr(times, "steal", 0.0)), float(sum(times[:8]))


def _difference(now: N | None, before: N | None) -> N | None:
    return None if now is None or before is None else now - before


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""
