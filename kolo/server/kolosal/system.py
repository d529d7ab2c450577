"""The machine in Kolosal's form: processor, memory, GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kolo.monitor.system import HostReading
from kolo.server.kolosal.counting import ratio
from kolo.server.kolosal.metrics_schemas import (
    Capabilities,
    CpuLoad,
    GpuLoad,
    GpuMemory,
    GpuReading,
    Memory,
    SystemDigest,
    SystemDigestSummary,
    SystemMetadata,
    SystemMetrics,
    SystemSummary,
)
from kolo.server.service import Service
from kolo.snapshot import Gpu

_GIB = 1 << 30


async def system_metrics(service: Service, now: str) -> SystemMetrics:
    """Readings that are at most a second old. It wakes no model."""
    collector = service.monitor.collector
    gpus = await collector.gpus() if collector is not None else []
    return _metrics(service.monitor.host.read(), gpus, now)


def system_digest(system: SystemMetrics) -> SystemDigest:
    """The same in the form of Kolosal's documents."""
    totals = [gpu.memory.total_bytes for gpu in system.gpus if gpu.memory.total_bytes is not None]
    used = [gpu.memory.used_bytes for gpu in system.gpus if gpu.memory.used_bytes is not None]
    summary = SystemDigestSummary(
        **msgspec.structs.asdict(system.summary),
        total_vram_gb=ratio(sum(totals), _GIB) if totals else None,
        used_vram_gb=ratio(sum(used), _GIB) if used else None,
        vram_utilization_percent=system.summary.average_vram_utilization_percent,
    )
    return SystemDigest(cpu=system.cpu, memory=system.memory, gpus=system.gpus, summary=summary)


def _metrics(host: HostReading, gpus: Sequence[Gpu], now: str) -> SystemMetrics:
    total, free = host.memory_total_bytes, host.memory_available_bytes
    used_percent = ratio(100 * (total - free), total)
    return SystemMetrics(
        timestamp=now,
        cpu=CpuLoad(usage_percent=host.cpu_percent),
        memory=Memory(
            total_bytes=total,
            used_bytes=total - free,
            free_bytes=free,
            utilization_percent=used_percent,
            total_formatted=_formatted(total),
            used_formatted=_formatted(total - free),
            free_formatted=_formatted(free),
        ),
        gpus=[_gpu(id, gpu) for id, gpu in enumerate(gpus)],
        gpu_monitoring_available=bool(gpus),
        summary=SystemSummary(
            cpu_usage_percent=host.cpu_percent,
            ram_utilization_percent=used_percent,
            gpu_count=len(gpus),
            average_gpu_utilization_percent=_mean([gpu.utilization_percent for gpu in gpus]),
            average_vram_utilization_percent=_mean([_held_percent(gpu) for gpu in gpus]),
        ),
        metadata=SystemMetadata(
            monitoring_capabilities=Capabilities(
                cpu=host.cpu_percent is not None, memory=True, gpu=bool(gpus)
            )
        ),
    )


def _gpu(id: int, gpu: Gpu) -> GpuReading:
    total, used = gpu.memory_total_bytes, gpu.memory_used_bytes
    free = total - used if total is not None and used is not None else None
    return GpuReading(
        id=id,
        name=gpu.name,
        vendor=gpu.vendor.upper(),
        utilization=GpuLoad(gpu_percent=gpu.utilization_percent, memory_percent=_held_percent(gpu)),
        memory=GpuMemory(
            total_bytes=total,
            used_bytes=used,
            free_bytes=free,
            total_formatted=None if total is None else _formatted(total),
            used_formatted=None if used is None else _formatted(used),
            free_formatted=None if free is None else _formatted(free),
        ),
        temperature_celsius=gpu.temperature_c,
        power_usage_watts=gpu.power_w,
        driver_version=gpu.driver,
    )


def _held_percent(gpu: Gpu) -> float | None:
    if not gpu.memory_total_bytes or gpu.memory_used_bytes is None:
        return None
    return ratio(100 * gpu.memory_used_bytes, gpu.memory_total_bytes)


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return ratio(sum(known), len(known)) if known else None


def _formatted(n_bytes: int) -> str:
    """As Kolosal writes it: 1024 bytes to the KB, two decimals."""
    size = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
