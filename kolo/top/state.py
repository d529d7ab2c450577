"""What the person has chosen: pages, panels, sorting, filters, range, pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from kolo.top.session import Picture

Page = Literal["dashboard", "models", "config", "logs"]
Panel = Literal["summary", "gpus", "engines", "detail", "requests", "events"]
PAGES: tuple[Page, ...] = ("dashboard", "models", "config", "logs")
PANELS: tuple[Panel, ...] = ("summary", "gpus", "engines", "detail", "requests", "events")
"""In the order of the keys 1 to 6."""
LISTS = ("engines", "requests", "events")
"""Panels that the cursor can be in."""
RANGES: tuple[tuple[str, float], ...] = (
    ("1m", 60.0),
    ("15m", 900.0),
    ("1h", 3600.0),
    ("24h", 86_400.0),
)
INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
STATES: dict[str, tuple[str, ...]] = {
    "engines": ("", "loaded", "busy", "failed"),
    "requests": ("", "queued", "prefill", "decode"),
    "events": ("", "warning", "error"),
}
"""What ``f`` goes through; the first shows all."""


@dataclass
class Ui:
    page: Page = "dashboard"
    focus: str = "engines"
    zoomed: bool = False
    """The chosen engine has the whole page."""
    hidden: set[str] = field(default_factory=set)
    sort: dict[str, str] = field(default_factory=lambda: {"engines": "", "requests": "age"})
    """By panel, the key of a column; empty is the order they come in."""
    reverse: dict[str, bool] = field(default_factory=lambda: {"requests": True})
    filter: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    cursor: dict[str, str] = field(default_factory=dict)
    """By panel, the key of the chosen row."""
    top: dict[str, int] = field(default_factory=dict)
    """By panel, the first row that is shown."""
    range: str = "1m"
    interval_s: float = 1.0
    paused: bool = False
    ascii: bool = False
    readonly: bool = False

    @property
    def span_s(self) -> float:
        return dict(RANGES)[self.range]

    def move(self, keys: Sequence[str], by: int) -> None:
        """The cursor of the focused list, among ``keys``, by so many rows."""
        if not keys:
            self.cursor.pop(self.focus, None)
            return
        chosen = self.cursor.get(self.focus, "")
        at = keys.index(chosen) if chosen in keys else (-1 if by > 0 else 0)
        self.cursor[self.focus] = keys[max(0, min(at + by, len(keys) - 1))]

    def cycle_state(self) -> str:
        """The next of the states to show in the focused list."""
        states = STATES[self.focus]
        at = states.index(self.state.get(self.focus, ""))
        self.state[self.focus] = states[(at + 1) % len(states)]
        return self.state[self.focus]

    def cycle_range(self) -> str:
        names = [name for name, _ in RANGES]
        self.range = names[(names.index(self.range) + 1) % len(names)]
        return self.range

    def step_interval(self, by: int) -> float:
        at = min(range(len(INTERVALS_S)), key=lambda i: abs(INTERVALS_S[i] - self.interval_s))
        self.interval_s = INTERVALS_S[max(0, min(at + by, len(INTERVALS_S) - 1))]
        return self.interval_s

    def toggle(self, panel: str) -> None:
        self.hidden ^= {panel}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the header says of the line and of this program."""

    word: str
    """``LIVE``, ``STALE``, ``PAUSED``, ``REPLAY``, ..."""
    role: str = "good"
    detail: str = ""
    hint: str = ""
    """What to do, a line or more."""
    waiting: str = ""
    """What this program does about it."""
    stale: bool = False
    """All values are old, and dimmed."""
    recording: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture of the screen is made of."""

    picture: Picture
    ui: Ui
    status: Status
