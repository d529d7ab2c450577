"""Numbers as a person reads them.

Two signs keep numbers honest: a dash where nothing ran, so that there is nothing to measure, and
``n/a`` where the source does not tell. Neither is ever shown as 0, and no rate is negative.
"""

from __future__ import annotations

import time

NOTHING = "\u2013"
"""A dash."""
MISSING = "n/a"

_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
_SPANS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def count(number: float | None) -> str:
    """``812``, ``1.2k``, ``48k``, ``1.3M``: four characters at most."""
    if number is None:
        return MISSING
    number = max(number, 0)
    if round(number) < 1000:
        return str(round(number))
    units = ((number / size, unit) for size, unit in reversed(_SIZES))
    amount, unit = next((one for one in units if one[0] < 999.5), (number / 1e12, "T"))
    return f"{amount:.1f}{unit}" if amount < 9.95 else f"{amount:.0f}{unit}"


def parameters(number: int) -> str:
    """Of a model: ``475M``, ``8.2B``: a thousand millions is a B to those who name models."""
    return count(number).replace("G", "B")


def rate(per_s: float | None) -> str:
    """Something a second, over a window that the column names; a dash when nothing ran."""
    if per_s is None or per_s <= 0:
        return NOTHING
    if per_s < 0.05:
        return "<0.1"
    return f"{per_s:.1f}" if per_s < 99.95 else count(per_s)


def size(n_bytes: float | None) -> str:
    """``812 B``, ``41 MB``, ``4.1 GB``: decimal units, as files are sold."""
    if n_bytes is None:
        return MISSING
    n_bytes = max(n_bytes, 0)
    for limit, unit in (*_UNITS, (1e3, "kB")):
        if n_bytes >= limit * 0.9995:
            amount = n_bytes / limit
            return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"
    return f"{n_bytes:.0f} B"


def used(used_bytes: float | None, total_bytes: float | None) -> str:
    """``3.1/16.0 GB``: one unit for both."""
    if used_bytes is None or total_bytes is None:
        return MISSING if used_bytes is None else size(used_bytes)
    limit, unit = next((one for one in _UNITS if total_bytes >= one[0]), _UNITS[-1])
    return f"{max(used_bytes, 0) / limit:.1f}/{total_bytes / limit:.1f} {unit}"


def percent(share: float | None) -> str:
    """Of a share from 0 to 1: ``7%``."""
    if share is None:
        return MISSING
    return f"{100 * min(max(share, 0.0), 1.0):.0f}%"


def ms(value_ms: float | None) -> str:
    """``8.2ms``, ``210ms``, ``1.4s``, ``2m10s``; a dash when nothing was measured."""
    if value_ms is None:
        return NOTHING
    value_ms = max(value_ms, 0.0)
    if value_ms < 0.05:
        return "0ms"
    if value_ms < 9.95:
        return f"{value_ms:.1f}ms"
    if value_ms < 999.5:
        return f"{value_ms:.0f}ms"
    seconds = value_ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    return span(seconds)


def span(seconds: float | None) -> str:
    """A time: ``0s``, ``12s``, ``4m05s``, ``1h30m``, ``2d03h``."""
    if seconds is None:
        return MISSING
    whole = max(int(seconds), 0)
    for unit_s, unit, part_s, smaller in _SPANS:
        if whole >= unit_s:
            return f"{whole // unit_s}{unit}{whole % unit_s // part_s:02d}{smaller}"
    return f"{whole}s"


def clock(unix_s: float) -> str:
    """Time of day, here."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(unix_s))
    except (OverflowError, ValueError, OSError):  # a recording may hold any number
        return "--:--:--"


def plural(number: int, noun: str) -> str:
    """``1 engine``, ``3 engines``, ``2 queries``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
