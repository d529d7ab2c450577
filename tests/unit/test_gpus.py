"""GPUs as drivers describe them: recorded ones, broken ones, and machines that have none."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kolo.monitor.aside import Aside
from kolo.monitor.gpu import gpus_of_this_machine, read_all
from kolo.monitor.gpu_nvidia import RETRY_S, Nvidia
from kolo.monitor.gpu_sysfs import Sysfs
from kolo.monitor.readings import STALE_S, Readings
from kolo.monitor.system import HostMonitor
from kolo.snapshot import Gpu, GpuProcess

GIB = 1 << 30


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class NvmlError(Exception):
    """Stands for pynvml.NVMLError."""


class Nvml:
    """The module ``pynvml`` on a machine with two GPUs, as one was recorded; ``broken`` calls
    fail."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.calls = 0
        self.throttle = 0x1

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self.broken:
            raise NvmlError("not supported")
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:
        self.calls += 1

    def nvmlShutdown(self) -> None:
        pass

    def nvmlSystemGetDriverVersion(self) -> str:
        return "575.57.08"

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return b"NVIDIA L4" if handle else "NVIDIA H200"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=87 - handle, memory=41)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=141 * GIB, used=97 * GIB, free=44 * GIB)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 512_340

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return 700_000

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        assert sensor == 0
        return 61

    def nvmlDeviceGetFanSpeed(self, handle: int) -> int:
        raise NvmlError("no fan")

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return {1: 1755, 2: 3201}[kind]

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return {1: 1980}[kind]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> int:
        return self.throttle

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:
        return 0x80

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        return [
            SimpleNamespace(pid=71, usedGpuMemory=90 * GIB),
            SimpleNamespace(pid=72, usedGpuMemory=None),
            SimpleNamespace(pid=73, usedGpuMemory=2**64 - 1),
        ]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> list[Any]:
        return [SimpleNamespace(pid=71, usedGpuMemory=90 * GIB)]


READINGS = [
    field
    for field in Gpu.__struct_fields__
    if field not in ("id", "vendor", "index", "name", "driver")
]


def nvidia(nvml: Nvml, clock: Clock | None = None) -> Nvidia:
    return Nvidia(lambda: nvml, clock=clock or Clock())


# NVIDIA ----------------------------------------------------------------------------------


def test_everything_nvml_says_is_read_in_our_units() -> None:
    first, second = nvidia(Nvml()).read()
    assert (first.id, first.name, first.driver) == ("nvidia:0", "NVIDIA H200", "575.57.08")
    assert (second.id, second.name) == ("nvidia:1", "NVIDIA L4")
    assert (first.utilization_percent, second.utilization_percent) == (87, 86)
    assert (first.memory_busy_percent, first.temperature_c) == (41, 61)
    assert (first.memory_used_bytes, first.memory_total_bytes) == (97 * GIB, 141 * GIB)
    assert (first.power_w, first.power_limit_w) == (512.34, 700)
    assert (first.clock_mhz, first.clock_max_mhz, first.memory_clock_mhz) == (1755, 1980, 3201)
    assert first.processes == [
        GpuProcess(pid=71, memory_bytes=90 * GIB),
        GpuProcess(pid=72),
        GpuProcess(pid=73),
    ]


def test_a_gpu_without_a_fan_has_no_fan_and_all_else() -> None:
    gpu = nvidia(Nvml()).read()[0]
    assert [field for field in READINGS if getattr(gpu, field) is None] == ["fan_percent"]


@pytest.mark.parametrize(
    ("call", "lost"),
    [
        ("nvmlDeviceGetUtilizationRates", {"utilization_percent", "memory_busy_percent"}),
        ("nvmlDeviceGetMemoryInfo", {"memory_used_bytes", "memory_total_bytes"}),
        ("nvmlDeviceGetPowerUsage", {"power_w"}),
        ("nvmlDeviceGetEnforcedPowerLimit", {"power_limit_w"}),
        ("nvmlDeviceGetTemperature", {"temperature_c"}),
        ("nvmlDeviceGetClockInfo", {"clock_mhz", "memory_clock_mhz"}),
        ("nvmlDeviceGetMaxClockInfo", {"clock_max_mhz"}),
        ("nvmlDeviceGetCurrentClocksEventReasons", set()),  # the older name is asked
        ("nvmlDeviceGetComputeRunningProcesses", set()),  # those that draw remain
        ("nvmlDeviceGetName", set()),
        ("nvmlSystemGetDriverVersion", set()),
    ],
)
def test_a_call_that_fails_costs_its_own_reading_alone(call: str, lost: set[str]) -> None:
    nvml = Nvml()
    nvml.broken.add(call)
    for gpu in nvidia(nvml).read():
        unknown = {field for field in READINGS if getattr(gpu, field) is None}
        assert unknown == lost | {"fan_percent"}


def test_reasons_for_low_clocks_are_words_and_idling_is_none() -> None:
    nvml = Nvml()
    assert nvidia(nvml).read()[0].throttle == []
    nvml.throttle = 0x4 | 0x20 | 0x102
    assert nvidia(nvml).read()[0].throttle == ["clocks set", "power cap", "hot"]
    nvml.broken.add("nvmlDeviceGetCurrentClocksEventReasons")
    assert nvidia(nvml).read()[0].throttle == ["power brake"]
    nvml.broken.add("nvmlDeviceGetCurrentClocksThrottleReasons")
    assert nvidia(nvml).read()[0].throttle is None


def test_a_gpu_that_falls_off_the_bus_stays_with_its_name_and_no_readings() -> None:
    nvml = Nvml()
    source = nvidia(nvml)
    source.read()
    nvml.broken.add("nvmlDeviceGetHandleByIndex")
    lost = source.read()[0]
    assert (lost.name, lost.utilization_percent) == ("NVIDIA H200", None)


def test_a_driver_that_is_reset_is_begun_anew() -> None:
    nvml = Nvml()
    source = nvidia(nvml)
    source.read()
    nvml.broken.add("nvmlDeviceGetCount")
    assert [gpu.power_w for gpu in source.read()] == [None, None]
    nvml.broken.clear()
    assert [gpu.power_w for gpu in source.read()] == [512.34, 512.34]
    assert nvml.calls == 2


def test_a_machine_without_a_driver_is_asked_again_only_now_and_then() -> None:
    asked: list[float] = []
    clock = Clock()

    def load() -> Any:
        asked.append(clock.now)
        raise NvmlError("Driver Not Loaded")

    source = Nvidia(load, clock=clock)
    for _ in range(5):
        assert source.read() == []
        clock.now += RETRY_S / 4
    assert len(asked) == 2


# AMD and Intel ---------------------------------------------------------------------------


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


AMD = {
    "device/vendor": "0x1002",
    "device/device": "0x744c",
    "device/product_name": "Radeon RX 7900 XTX",
    "device/gpu_busy_percent": "73",
    "device/mem_busy_percent": "35",
    "device/mem_info_vram_total": str(24 * GIB),
    "device/mem_info_vram_used": str(17 * GIB),
    "device/pp_dpm_sclk": "0: 500Mhz\n1: 1895Mhz *\n2: 2304Mhz",
    "device/pp_dpm_mclk": "0: 96Mhz\n1: 1249Mhz *",
    "device/hwmon/hwmon3/power1_average": "288000000",
    "device/hwmon/hwmon3/power1_cap": "339000000",
    "device/hwmon/hwmon3/temp1_input": "64000",
    "device/hwmon/hwmon3/pwm1": "102",
    "device/hwmon/hwmon3/pwm1_max": "255",
}
ARC = {
    "device/vendor": "0x8086",
    "device/device": "0x56a0",
    "device/hwmon/hwmon1/energy1_input": "5000000",
    "device/hwmon/hwmon1/power1_max": "190000000",
    "gt_act_freq_mhz": "2100",
    "gt_max_freq_mhz": "2400",
    "lmem_total_bytes": str(16 * GIB),
    "lmem_avail_bytes": str(10 * GIB),
}


def test_an_amd_card_is_read_from_its_files(tmp_path: Path) -> None:
    write(tmp_path / "card0", AMD)
    write(tmp_path / "card0-DP-1", {"status": "connected"})
    (gpu,) = Sysfs(tmp_path).read()
    assert (gpu.id, gpu.name) == ("amd:0", "Radeon RX 7900 XTX")
    assert (gpu.utilization_percent, gpu.memory_busy_percent) == (73, 35)
    assert (gpu.memory_used_bytes, gpu.memory_total_bytes) == (17 * GIB, 24 * GIB)
    assert (gpu.power_w, gpu.power_limit_w, gpu.temperature_c) == (288, 339, 64)
    assert (gpu.fan_percent, gpu.memory_clock_mhz) == (40, 1249)
    assert (gpu.clock_mhz, gpu.clock_max_mhz) == (1895, 2304)
    assert gpu.throttle is gpu.processes is None


def test_an_intel_card_tells_its_power_by_its_energy(tmp_path: Path) -> None:
    write(tmp_path / "card1", ARC)
    clock = Clock()
    source = Sysfs(tmp_path, clock=clock)
    (first,) = source.read()
    assert (first.id, first.name, first.power_w) == ("intel:0", "Intel GPU 56a0", None)
    assert (first.memory_used_bytes, first.memory_total_bytes) == (6 * GIB, 16 * GIB)
    assert (first.clock_mhz, first.clock_max_mhz) == (2100, 2400)
    clock.now += 2
    write(tmp_path / "card1", {"device/hwmon/hwmon1/energy1_input": "185000000"})
    assert source.read()[0].power_w == 90
    clock.now += 1
    write(tmp_path / "card1", {"device/hwmon/hwmon1/energy1_input": "7"})
    assert source.read()[0].power_w is None  # the counter began anew


def test_cards_are_counted_by_maker_and_nvidias_left_to_nvml(tmp_path: Path) -> None:
    write(tmp_path / "card0", {"device/vendor": "0x10de"})
    write(tmp_path / "card1", ARC)
    write(tmp_path / "card2", AMD)
    write(tmp_path / "card10", AMD)
    assert [gpu.id for gpu in Sysfs(tmp_path).read()] == ["intel:0", "amd:0", "amd:1"]


@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("device/gpu_busy_percent", {"utilization_percent"}),
        ("device/mem_busy_percent", {"memory_busy_percent"}),
        ("device/mem_info_vram_total", {"memory_total_bytes"}),
        ("device/mem_info_vram_used", {"memory_used_bytes"}),
        ("device/pp_dpm_sclk", {"clock_mhz", "clock_max_mhz"}),
        ("device/pp_dpm_mclk", {"memory_clock_mhz"}),
        ("device/hwmon/hwmon3/power1_average", {"power_w"}),
        ("device/hwmon/hwmon3/power1_cap", {"power_limit_w"}),
        ("device/hwmon/hwmon3/temp1_input", {"temperature_c"}),
        ("device/hwmon/hwmon3/pwm1", {"fan_percent"}),
        ("device/hwmon/hwmon3/pwm1_max", set()),
        ("device/product_name", set()),
    ],
)
@pytest.mark.parametrize("how", ["absent", "empty", "a folder"])
def test_a_file_that_cannot_be_read_costs_its_own_reading_alone(
    tmp_path: Path, file: str, lost: set[str], how: str
) -> None:
    write(tmp_path / "card0", {**AMD, file: ""})
    if how != "empty":
        (tmp_path / "card0" / file).unlink()
    if how == "a folder":
        (tmp_path / "card0" / file).mkdir()
    (gpu,) = Sysfs(tmp_path).read()
    unknown = {field for field in READINGS if getattr(gpu, field) is None}
    assert unknown == lost | {"throttle", "processes"}
    assert gpu.name


def test_a_machine_without_gpus_has_none(tmp_path: Path) -> None:
    assert Sysfs(tmp_path / "none").read() == []
    assert isinstance(gpus_of_this_machine()(), list)


def test_all_makers_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "card0", AMD)
    gpus = read_all([nvidia(Nvml()), Sysfs(tmp_path)])
    assert [gpu.id for gpu in gpus] == ["nvidia:0", "nvidia:1", "amd:0"]


# Drivers that hang -----------------------------------------------------------------------


async def test_a_reading_that_hangs_is_waited_for_once_and_then_grows_stale(
    tmp_path: Path,
) -> None:
    stuck, clock = threading.Event(), Clock()
    answers = [False]

    def gpus() -> list[Gpu]:
        if answers[0]:
            stuck.wait(30)
        return [Gpu(id="nvidia:0", vendor="nvidia", index=0, name="slow", power_w=100)]

    readings = Readings(HostMonitor(), tmp_path, gpus, clock)
    try:
        await readings.refresh([])
        assert readings.gpus[0].power_w == 100
        answers[0] = True
        for _ in range(3):
            clock.now += 1
            await readings.refresh([])
        assert readings.gpus[0].power_w == 100
        assert readings.host.memory_total_bytes
        clock.now += STALE_S
        await readings.refresh([])
        assert (readings.gpus[0].name, readings.gpus[0].power_w) == ("slow", None)
    finally:
        stuck.set()
        readings.close()


async def test_a_reading_that_fails_is_none_until_one_does_not() -> None:
    clock, answers = Clock(), iter([1, OSError("no"), 3])

    def read() -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    aside = Aside("test", read, clock)
    found: list[int | None] = []
    try:
        for _ in range(3):
            clock.now += 10
            await aside.refresh(30)
            found.append(aside.latest(5))
    finally:
        aside.close()
    assert found == [1, None, 3]


async def test_many_who_ask_at_once_cause_one_reading() -> None:
    begun, go = [], threading.Event()

    def read() -> int:
        begun.append(1)
        go.wait(30)
        return len(begun)

    aside = Aside("test", read, Clock())
    asking = [asyncio.create_task(aside.refresh(30)) for _ in range(4)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*asking)
    assert aside.latest(5) == 1
    aside.close()
