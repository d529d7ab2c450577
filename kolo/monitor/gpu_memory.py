"""The memory of GPUs for the manager's budget, read when it has to decide."""

from __future__ import annotations

import time
from collections.abc import Callable

from kolo.manager.gpus import GpuMemory
from kolo.monitor.aside import Aside
from kolo.monitor.gpu import gpus_of_this_machine
from kolo.snapshot import Gpu

DEADLINE_S = 2.0
"""A driver that takes longer to answer has its last answer stand, for a while."""
STALE_S = 30.0


class GpuMemories:
    """A ``ReadGpus`` of the manager. Nothing is looked for until it is first called."""

    def __init__(self, gpus: Callable[[], list[Gpu]] | None = None) -> None:
        self._readings: Aside[list[Gpu]] = Aside(
            "gpu memory", gpus or gpus_of_this_machine(), time.monotonic
        )

    async def __call__(self) -> list[GpuMemory]:
        await self._readings.refresh(DEADLINE_S)
        return [
            GpuMemory(
                id=gpu.id,
                total_bytes=gpu.memory_total_bytes,
                used_bytes=gpu.memory_used_bytes,
                by_pid={
                    process.pid: process.memory_bytes
                    for process in gpu.processes or ()
                    if process.memory_bytes is not None
                },
            )
            for gpu in self._readings.latest(STALE_S) or ()
            if gpu.memory_total_bytes is not None and gpu.memory_used_bytes is not None
        ]
