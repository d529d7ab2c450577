"""What a person chose, kept for the next time: panels, sorting, range, pace, theme.

A file that cannot be read is as good as none; one that cannot be written is no reason to fail.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from kolo.top.state import INTERVALS_S, LISTS, PANELS, RANGES, Ui
from kolo.whole import write_whole

log = logging.getLogger(__name__)


class Remembered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``top.json`` in the state folder."""

    theme: str = ""
    hidden: list[str] = []
    sort: dict[str, str] = {}
    reverse: dict[str, bool] = {}
    range: str = ""
    interval_s: float | None = None


def recall(path: Path) -> Remembered:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Remembered()


def restore(ui: Ui, kept: Remembered) -> None:
    """Put into ``ui`` what of ``kept`` still means something."""
    ui.hidden = {name for name in kept.hidden if name in PANELS}
    ui.sort |= {panel: key for panel, key in kept.sort.items() if panel in LISTS}
    ui.reverse |= {panel: so for panel, so in kept.reverse.items() if panel in LISTS}
    if kept.range in dict(RANGES):
        ui.range = kept.range
    if kept.interval_s in INTERVALS_S:
        ui.interval_s = kept.interval_s


def keep(path: Path, ui: Ui, theme: str) -> None:
    kept = Remembered(
        theme=theme,
        hidden=sorted(ui.hidden),
        sort=ui.sort,
        reverse=ui.reverse,
        range=ui.range,
        interval_s=ui.interval_s,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
    except OSError as error:
        log.warning("the layout is not remembered: %s", error)
