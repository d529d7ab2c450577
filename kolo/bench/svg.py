"""Plots as inline SVG, without scripts and without fonts of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 46
COLOURS = ("#2f6fde", "#d9572b", "#2a9d63", "#8a4fd3", "#b8860b", "#c2397d")
"""Told apart by people who see red and green alike, and on light and dark ground."""

MOST_MARKED = 8
"""So few places on the horizontal axis are marked themselves, and no round numbers."""


class Line(Struct, frozen=True):
    """One series. ``steps`` draws it as a distribution."""

    name: str
    points: Sequence[tuple[float, float]]
    steps: bool = False


def chart(
    title: str, x_title: str, y_title: str, lines: Sequence[Line], *, log_x: bool = False
) -> str:
    """A line chart; empty where there is nothing to draw."""
    drawn = [line for line in lines if line.points]
    if not drawn:
        return ""
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    horizontal = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, log=log_x and min(xs) > 0)
    if len(set(xs)) <= MOST_MARKED:
        horizontal.ticks = sorted(set(xs))
    vertical = _Axis(0.0, max(ys) or 1.0, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text x="{LEFT}" y="16" class="title">{escape(title)}</text>',
        *_grid(horizontal, vertical),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" class="mid">'
        f"{escape(x_title)}</text>",
        f'<text x="14" y="{(TOP + HEIGHT - BOTTOM) / 2:.0f}" class="mid" '
        f'transform="rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2:.0f})">{escape(y_title)}</text>',
    ]
    for number, line in enumerate(drawn):
        parts += _series(line, COLOURS[number % len(COLOURS)], horizontal, vertical)
    parts += _legend(drawn)
    return "".join([*parts, "</svg>"])


class _Axis:
    """From values to places on the paper."""

    def __init__(
        self, low: float, high: float, start: float, end: float, *, log: bool = False
    ) -> None:
        self._log = log
        if low == high:
            low, high = (low / 2, high * 2) if log else (min(low, 0.0), high + (high == 0.0))
        self.ticks = _log_ticks(low, high) if log else _ticks(low, high)
        if not log:
            high = max(high, self.ticks[-1])
        self._low, self._high = self._scale(low), self._scale(high)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        share = (self._scale(value) - self._low) / ((self._high - self._low) or 1.0)
        return self._start + share * (self._end - self._start)

    def _scale(self, value: float) -> float:
        return math.log10(value) if self._log else value


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, about five of them, the last at or above ``high``."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first < 5 else (1,)
    ticks = [each * 10.0**power for power in range(first, last + 1) for each in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001] or [low, high]


def _grid(horizontal: _Axis, vertical: _Axis) -> list[str]:
    parts = []
    for tick in vertical.ticks:
        y = vertical.at(tick)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{tick:g}</text>'
        )
    for tick in horizontal.ticks:
        x = horizontal.at(tick)
        if LEFT - 1 <= x <= WIDTH - RIGHT + 1:
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" class="mid">{tick:g}</text>'
            )
    return parts


def _series(line: Line, colour: str, horizontal: _Axis, vertical: _Axis) -> list[str]:
    places: list[tuple[float, float]] = []
    for x, y in line.points:
        place = (horizontal.at(x), vertical.at(y))
        if line.steps and places:
            places.append((place[0], places[-1][1]))
        places.append(place)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    if not line.steps:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    if len(lines) == 1 and not lines[0].name:
        return []
    parts, x = [], float(LEFT)
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<rect x="{x:.0f}" y="{TOP - 13}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{x + 14:.0f}" y="{TOP - 4}">{escape(line.name)}</text>'
        )
        x += 26 + 6.5 * len(line.name)
    return parts
