"""NVIDIA's GPUs, through NVML.

https://docs.nvidia.com/deploy/nvml-api/ names the calls and their units.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kolo.snapshot import Gpu, GpuProcess, without_readings

RETRY_S = 60.0
"""A machine without NVIDIA's driver is asked again after so long: it may be loaded later."""

_THROTTLES = {
    0x02: "clocks set",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "hot",
    0x40: "very hot",
    0x80: "power brake",
    0x100: "clocks set",
}
"""Bits of nvmlClocksEventReasons; bit 0 is an idle GPU, which is no reason to worry."""
_ON_DIE = 0
"""NVML_TEMPERATURE_GPU."""
_CLOCK_SM, _CLOCK_MEM = 1, 2
"""Of nvmlClockType_t."""
_NO_VALUE = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE, of the memory of a process."""


class Nvidia:
    """``load`` gives the binding, the module ``pynvml``; tests give one that was recorded."""

    def __init__(
        self,
        load: Callable[[], Any] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load or _pynvml
        self._clock = clock
        self._nvml: Any = None
        """Once it has started; None while there is none."""
        self._retry_at_s: float | None = None
        self._known: list[Gpu] = []
        """Without readings, for when the driver stops to answer."""

    def read(self) -> list[Gpu]:
        if self._nvml is None and not self._start():
            return self._known
        nvml = self._nvml
        count = _ask(nvml, "nvmlDeviceGetCount")
        if count is None:  # the driver was unloaded or reset: begin anew next time
            _ask(nvml, "nvmlShutdown")
            self._nvml = None
            return self._known
        driver = _text(_ask(nvml, "nvmlSystemGetDriverVersion")) or None
        gpus = [self._gpu(nvml, index, driver) for index in range(count)]
        self._known = [without_readings(gpu) for gpu in gpus]
        return gpus

    def _start(self) -> bool:
        if self._retry_at_s is not None and self._clock() < self._retry_at_s:
            return False
        try:
            nvml = self._load()
            nvml.nvmlInit()
        except Exception:  # no library, no driver, no rights, or a fault of theirs: no GPUs
            self._retry_at_s = self._clock() + RETRY_S
            return False
        self._nvml = nvml
        return True

    def _gpu(self, nvml: Any, index: int, driver: str | None) -> Gpu:
        base = Gpu(id=f"nvidia:{index}", vendor="nvidia", index=index, driver=driver)
        handle = _ask(nvml, "nvmlDeviceGetHandleByIndex", index)
        if handle is None:
            known = (gpu for gpu in self._known if gpu.index == index)
            return next(known, base)
        busy = _ask(nvml, "nvmlDeviceGetUtilizationRates", handle)
        memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
        return Gpu(
            id=base.id,
            vendor="nvidia",
            index=index,
            name=_text(_ask(nvml, "nvmlDeviceGetName", handle)),
            driver=driver,
            utilization_percent=_float(getattr(busy, "gpu", None)),
            memory_busy_percent=_float(getattr(busy, "memory", None)),
            memory_used_bytes=getattr(memory, "used", None),
            memory_total_bytes=getattr(memory, "total", None),
            power_w=_float(_ask(nvml, "nvmlDeviceGetPowerUsage", handle), 1000),
            power_limit_w=_float(_ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle), 1000),
            temperature_c=_float(_ask(nvml, "nvmlDeviceGetTemperature", handle, _ON_DIE)),
            fan_percent=_float(_ask(nvml, "nvmlDeviceGetFanSpeed", handle)),
            clock_mhz=_float(_ask(nvml, "nvmlDeviceGetClockInfo", handle, _CLOCK_SM)),
            clock_max_mhz=_float(_ask(nvml, "nvmlDeviceGetMaxClockInfo", handle, _CLOCK_SM)),
            memory_clock_mhz=_float(_ask(nvml, "nvmlDeviceGetClockInfo", handle, _CLOCK_MEM)),
            throttle=_throttles(nvml, handle),
            processes=_processes(nvml, handle),
        )


def _pynvml() -> Any:
    import pynvml

    return pynvml


def _ask(nvml: Any, call: str, *args: object) -> Any:
    """What a call answers; None where it is not there, not supported, not allowed, or fails."""
    try:
        return getattr(nvml, call)(*args)
    except Exception:  # NVMLError, and whatever a binding makes of a driver's odd answer
        return None


def _processes(nvml: Any, handle: object) -> list[GpuProcess] | None:
    """Each once, though one that computes and draws is listed as both."""
    answers = [
        _ask(nvml, "nvmlDeviceGetComputeRunningProcesses", handle),
        _ask(nvml, "nvmlDeviceGetGraphicsRunningProcesses", handle),
    ]
    if all(answer is None for answer in answers):
        return None
    found = {process.pid: process for answer in answers for process in answer or ()}
    return [GpuProcess(pid=pid, memory_bytes=_held(one)) for pid, one in found.items()]


def _held(process: Any) -> int | None:
    """MIG and some containers hide it."""
    held: int | None = getattr(process, "usedGpuMemory", None)
    return None if held == _NO_VALUE else held


def _throttles(nvml: Any, handle: object) -> list[str] | None:
    bits = _ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:  # the name of older drivers
        bits = _ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    if bits is None:
        return None
    return list(dict.fromkeys(word for bit, word in _THROTTLES.items() if bits & bit))


def _float(value: float | None, by: float = 1.0) -> float | None:
    return None if value is None else value / by


def _text(value: str | bytes | None) -> str:
    """Older bindings answer bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
