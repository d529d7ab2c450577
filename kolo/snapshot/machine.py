"""What a snapshot says of the machine: host, processes, GPUs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Process(Struct, frozen=True, kw_only=True):
    """What one process uses."""

    pid: int
    cpu_percent: float | None = None
    """Of one core, so that it passes 100 with several threads; over the last interval."""
    rss_bytes: int | None = None
    """Resident memory, mapped model files included."""


class Disk(Struct, frozen=True, kw_only=True):
    """The file system of the folder that models are kept in."""

    path: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    """What may be written by this user."""


class Host(Struct, frozen=True, kw_only=True):
    name: str = ""
    cores: int | None = None
    """That this process may run on."""
    cpu_percent: float | None = None
    """Of all cores together."""
    load_1m: float | None = None
    """The system's load average."""
    memory_total_bytes: int | None = None
    """Of the machine, or of the control group that is tightest."""
    memory_available_bytes: int | None = None
    swap_used_bytes: int | None = None
    disk: Disk | None = None


class GpuProcess(Struct, frozen=True, kw_only=True):
    """A process on a GPU. ``engine`` is whose worker it is, if it is ours."""

    pid: int
    memory_bytes: int | None = None
    engine: str | None = None


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU; each reading is null where it is absent, unsupported or failed."""

    id: str
    """Unique on this host and stable while it runs, such as ``nvidia:0``."""
    vendor: Literal["nvidia", "amd", "intel"]
    index: int
    name: str = ""
    driver: str | None = None
    utilization_percent: float | None = None
    memory_busy_percent: float | None = None
    """Share of time in which its memory was read or written."""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    fan_percent: float | None = None
    clock_mhz: float | None = None
    """Of its cores."""
    clock_max_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle: list[str] | None = None
    """Why it runs below its clocks, such as ``power cap`` or ``hot``; empty when it does not."""
    processes: list[GpuProcess] | None = None


def without_readings(gpu: Gpu) -> Gpu:
    """What is known of a GPU that does not answer."""
    return Gpu(
        id=gpu.id,
        vendor=gpu.vendor,
        index=gpu.index,
        name=gpu.name,
        driver=gpu.driver,
        memory_total_bytes=gpu.memory_total_bytes,
    )
