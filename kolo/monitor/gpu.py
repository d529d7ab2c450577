"""GPUs of this machine, whoever made them.

A source reads those of one kind. It never raises: what cannot be read is None in the reading, and
one reading that fails leaves the others. Sources are asked from a thread of their own (``aside``),
since a driver in trouble may take seconds to answer, or never do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kolo.monitor.gpu_nvidia import Nvidia
from kolo.monitor.gpu_sysfs import Sysfs
from kolo.snapshot import Gpu


class GpuSource(Protocol):
    def read(self) -> list[Gpu]:
        """Every GPU it knows, with what could be read just now."""
        ...


def read_all(sources: Sequence[GpuSource]) -> list[Gpu]:
    return [gpu for source in sources for gpu in source.read()]


def gpus_of_this_machine() -> Callable[[], list[Gpu]]:
    """Reads all there are; nothing is looked for until it is first called."""
    sources: list[GpuSource] = [Nvidia(), Sysfs()]
    return lambda: read_all(sources)
