"""Durations and sizes as people write them: ``10m``, ``1h30m``, ``12GB``, ``80%``."""

from __future__ import annotations

import math
import re

from msgspec import Struct

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


class Seconds(float):
    """A duration."""


class Bytes(int):
    """A size."""


class Budget(Struct, frozen=True):
    """An amount of memory: ``n_bytes``, or a ``share`` (0 to 1) of what there is."""

    n_bytes: int = 0
    share: float = 0.0

    def of(self, total_bytes: int) -> int:
        return self.n_bytes or int(self.share * total_bytes)


def parse_duration(value: object) -> Seconds:
    """Seconds of ``10m``, ``1h30m``, ``500ms``, or of a number of seconds.

    ValueError says what is expected.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return Seconds(text)
        if text and not _DURATION_PART.sub("", text):
            parts = _DURATION_PART.findall(text)
            return Seconds(sum(float(amount) * _SECONDS[unit] for amount, unit in parts))
    elif (number := _number(value)) is not None:
        return Seconds(number)
    raise ValueError("Expected a duration such as 90s, 10m, 1h30m or 2d")


def parse_size(value: object) -> Bytes:
    """Bytes of ``12GB`` (10^9), ``12GiB`` (2^30), or of a whole number. ValueError as above."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip().lower())
        if match and match[2] in _BYTES:
            return Bytes(float(match[1]) * _BYTES[match[2]])
    elif (number := _number(value)) is not None and number == int(number):
        return Bytes(number)
    raise ValueError("Expected a size such as 512MB, 12GB or 1.5GiB, or a number of bytes")


def parse_budget(value: object) -> Budget:
    """A size over 0, or a share of the memory such as ``80%``. ValueError as above."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        percent = float(match[1])
        if 0 < percent <= 100:
            return Budget(share=percent / 100)
    else:
        try:
            if size := parse_size(value):
                return Budget(n_bytes=int(size))
        except ValueError:
            pass
    raise ValueError("Expected a size such as 12GB, or a share from 1% to 100%")


def duration_text(seconds: float) -> str:
    """``10m``, ``1h30m``, ``1.5s``: exactly this duration, as ``parse_duration`` reads it."""
    whole = round(seconds * 1000)
    if abs(seconds * 1000 - whole) > 1e-6 * max(1.0, seconds):
        return f"{seconds!r}s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        amount, whole = divmod(whole, round(_SECONDS[unit] * 1000))
        parts += [f"{amount}{unit}"] if amount else []
    return "".join(parts) or "0s"


def size_text(n_bytes: int) -> str:
    """``32MiB``, ``12GB``, or the number: exactly this size, as ``parse_size`` reads it."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        amount, rest = divmod(n_bytes, _BYTES[unit.lower()])
        if amount and not rest:
            return f"{amount}{unit}"
    return f"{n_bytes}"


def budget_text(budget: Budget) -> str:
    """``80%`` or a size, as ``parse_budget`` reads it."""
    return f"{budget.share * 100:.10g}%" if budget.share else size_text(budget.n_bytes)


def _number(value: object) -> float | None:
    """A finite number from 0; True is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and value >= 0 else None
