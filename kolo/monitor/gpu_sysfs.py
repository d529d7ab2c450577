"""AMD's and Intel's GPUs, from what their kernel drivers show in sysfs.

Files and units: docs.kernel.org/gpu/amdgpu/thermal.html (amdgpu), sysfs-driver-intel-i915-hwmon and
sysfs-driver-intel-xe-hwmon under Documentation/ABI/testing (Intel), hwmon/sysfs-interface.
NVIDIA's are NVML's to read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from kolo.snapshot import Gpu

_CARDS = Path("/sys/class/drm")
_VENDORS: dict[str, Literal["amd", "intel"]] = {"0x1002": "amd", "0x8086": "intel"}
_NAMES = {"amd": "AMD GPU", "intel": "Intel GPU"}
_DRIVERS = ("amdgpu", "radeon", "i915", "xe")


class Sysfs:
    """Looks each time: a card may come and go."""

    def __init__(
        self, cards: Path = _CARDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cards = cards
        self._clock = clock
        self._energy: dict[str, tuple[float, int]] = {}
        """By card, when its energy counter was read and what it said, in microjoules."""

    def read(self) -> list[Gpu]:
        gpus: list[Gpu] = []
        counts = {"amd": 0, "intel": 0}
        for card in sorted(self._cards.glob("card*"), key=_number):
            vendor = _VENDORS.get(_text(card / "device" / "vendor"))
            if vendor is not None and re.fullmatch(r"card\d+", card.name):
                gpus.append(self._gpu(card, vendor, counts[vendor]))
                counts[vendor] += 1
        return gpus

    def _gpu(self, card: Path, vendor: Literal["amd", "intel"], index: int) -> Gpu:
        device = card / "device"
        hwmon = next(iter(sorted((device / "hwmon").glob("hwmon*"))), device / "hwmon")
        total, used = _memory(card)
        clock, highest = _clocks(card)
        memory_clock, _ = _active(device / "pp_dpm_mclk")
        return Gpu(
            id=f"{vendor}:{index}",
            vendor=vendor,
            index=index,
            name=_text(device / "product_name") or _model(device, vendor),
            driver=_driver(device),
            utilization_percent=_number_in(device / "gpu_busy_percent"),
            memory_busy_percent=_number_in(device / "mem_busy_percent"),
            memory_used_bytes=used,
            memory_total_bytes=total,
            power_w=self._power(card.name, hwmon),
            power_limit_w=_first(hwmon, "power1_cap", "power1_max", by=1e6),
            temperature_c=_first(hwmon, "temp1_input", "temp2_input", by=1e3),
            fan_percent=_fan(hwmon),
            clock_mhz=clock,
            clock_max_mhz=highest,
            memory_clock_mhz=memory_clock,
        )

    def _power(self, card: str, hwmon: Path) -> float | None:
        """Watts as told, or as the counter of energy rose since it was last read."""
        told = _first(hwmon, "power1_average", "power1_input", by=1e6)
        energy = _number_in(hwmon / "energy1_input")
        if told is not None or energy is None:
            return told
        now = self._clock()
        before = self._energy.get(card)
        self._energy[card] = now, int(energy)
        if before is None or now <= before[0] or energy < before[1]:
            return None
        return round((energy - before[1]) / 1e6 / (now - before[0]), 3)


def _memory(card: Path) -> tuple[int | None, int | None]:
    """Total and used bytes of memory of its own."""
    device = card / "device"
    total = _number_in(device / "mem_info_vram_total")
    used = _number_in(device / "mem_info_vram_used")
    if total is None and used is None:
        total = _number_in(card / "lmem_total_bytes")
        free = _number_in(card / "lmem_avail_bytes")
        used = None if total is None or free is None else total - free
    return _whole(total), _whole(used)


def _clocks(card: Path) -> tuple[float | None, float | None]:
    """MHz now and at most."""
    now, highest = _active(card / "device" / "pp_dpm_sclk")
    if now is None and highest is None:
        for current, limit in (
            ("gt_act_freq_mhz", "gt_max_freq_mhz"),
            ("gt/gt0/rps_act_freq_mhz", "gt/gt0/rps_max_freq_mhz"),
            ("device/tile0/gt0/freq0/act_freq", "device/tile0/gt0/freq0/max_freq"),
        ):
            now, highest = _number_in(card / current), _number_in(card / limit)
            if now is not None:
                break
    return now, highest


def _active(file: Path) -> tuple[float | None, float | None]:
    """Of a table of clocks ``N: 1200Mhz *``: the one with the star, and the highest."""
    found = re.findall(r"^\s*\w+:\s*(\d+)\s*MHz\s*(\*?)", _text(file), re.IGNORECASE | re.MULTILINE)
    clocks = [float(clock) for clock, _ in found]
    now = next((float(clock) for clock, star in found if star), None)
    return now, max(clocks, default=None)


def _fan(hwmon: Path) -> float | None:
    speed, highest = _number_in(hwmon / "pwm1"), _number_in(hwmon / "pwm1_max") or 255
    return None if speed is None else round(100 * speed / highest, 1)


def _model(device: Path, vendor: str) -> str:
    id = _text(device / "device").removeprefix("0x")
    return f"{_NAMES[vendor]} {id}".strip()


def _driver(device: Path) -> str | None:
    name = (device / "driver").resolve().name
    return name if name in _DRIVERS else None


def _first(folder: Path, *names: str, by: float) -> float | None:
    found = (_number_in(folder / name) for name in names)
    value = next((value for value in found if value is not None), None)
    return None if value is None else round(value / by, 3)


def _number(card: Path) -> tuple[int, str]:
    digits = card.name.removeprefix("card")
    return (int(digits) if digits.isdecimal() else 0, card.name)


def _number_in(file: Path) -> float | None:
    try:
        return float(_text(file))
    except ValueError:
        return None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _text(file: Path) -> str:
    """Of a file of the kernel; empty where there is none, or it cannot be read just now (a card
    that sleeps refuses)."""
    try:
        return file.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""
