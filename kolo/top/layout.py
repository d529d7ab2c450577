"""What fits: which panels are shown on a terminal of some size, and where.

Two columns on a wide and tall one, else one. Panels that have no room fold, the least important
first: events, then the detail, then the machine; engines and requests stay to the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MIN_WIDTH, MIN_HEIGHT = 60, 15
WIDE, TALL = 170, 34
BOXES_WIDTH, BOXES_HEIGHT = 90, 30
"""From this size on there is room for boxes around panels."""
EVENTS_HEIGHT = 24
ZOOM_HEIGHT = 26
"""From here on an engine in full has its requests below it."""


class Place(NamedTuple):
    name: str
    x: int
    y: int
    width: int
    height: int
    boxed: bool


@dataclass(frozen=True, slots=True)
class Need:
    """The lines a panel needs inside, and what it can use."""

    name: str
    least: int
    good: int
    fold: int
    """0 never folds; else the highest folds first."""
    grows: int = 0
    """Its part of what is left over."""


@dataclass(frozen=True, slots=True)
class Content:
    """How much there is to show."""

    engines: int
    requests: int
    machine: tuple[int, int]
    """Lines of the machine's panel: the fewest, and those that look good."""


def arrange(
    width: int, height: int, content: Content, hidden: set[str], *, zoomed: bool
) -> list[Place]:
    """Where each panel goes in ``width`` times ``height``; the lines are used up exactly."""
    boxed = width >= BOXES_WIDTH and height >= BOXES_HEIGHT
    if zoomed:
        below = height // 4 if height >= ZOOM_HEIGHT and "requests" not in hidden else 0
        places = [Place("detail", 0, 0, width, height - below, boxed)]
        if below:
            places.append(Place("requests", 0, height - below, width, below, boxed))
        return places
    needs = [need for need in _needs(content, height) if need.name not in hidden]
    if not needs:
        return []
    if width >= WIDE and height >= TALL:
        right = [need for need in needs if need.name in ("detail", "events")]
        left = [need for need in needs if need not in right]
        if left and right:
            own = max(width * 38 // 100, 64)
            return [
                *_stack(left, 0, width - own, height, boxed),
                *_stack(right, width - own, own, height, boxed),
            ]
    return _stack(needs, 0, width, height, boxed)


def _needs(content: Content, height: int) -> list[Need]:
    roomy = height >= BOXES_HEIGHT
    tall = height >= TALL + 12
    least, good = content.machine
    return [
        Need("gpus", least, good if roomy else least, 2),
        Need("engines", 4, max(content.engines, 3) + 1, 0),
        Need("detail", 4, 12 if tall else 9 if roomy else 4, 3, grows=1),
        Need("requests", 4, max(content.requests, 3) + 1, 0, grows=2),
        *([Need("events", 3, 8 if tall else 3, 4)] if height >= EVENTS_HEIGHT else []),
    ]


def _stack(needs: list[Need], x: int, width: int, height: int, boxed: bool) -> list[Place]:
    edge = 2 if boxed else 1
    kept = list(needs)
    while len(kept) > 1 and sum(need.least + edge for need in kept) > height:
        first = max(kept, key=lambda need: need.fold)
        kept.remove(first if first.fold else kept[-1])
    heights = {need.name: need.least for need in kept}
    spare = height - sum(heights.values()) - edge * len(kept)
    spare = _towards_good(kept, heights, spare, height)
    _grow(kept, heights, spare)
    places, y = [], 0
    for need in kept:
        own = min(heights[need.name] + edge, height - y)
        places.append(Place(need.name, x, y, width, own, boxed))
        y += own
    return places


def _towards_good(kept: list[Need], heights: dict[str, int], spare: int, height: int) -> int:
    """Engines first, then the others in turn, a line each; none takes more than half."""
    most = {need.name: min(need.good, max(height // 2, need.least)) for need in kept}
    for name in ("engines", "gpus"):
        if name in heights:
            limit = min(most[name], max(height * 2 // 5, 3)) if name == "engines" else most[name]
            more = max(min(limit - heights[name], spare), 0)
            heights[name] += more
            spare -= more
    while spare > 0:
        wanting = [n for n in kept if heights[n.name] < most[n.name] and n.name != "engines"]
        if not wanting:
            return spare
        for need in wanting:
            if spare > 0:
                heights[need.name] += 1
                spare -= 1
    return spare


def _grow(kept: list[Need], heights: dict[str, int], spare: int) -> None:
    parts = sum(need.grows for need in kept)
    if not parts:
        heights[kept[-1].name] += max(spare, 0)
        return
    left = max(spare, 0)
    growing = [need for need in kept if need.grows]
    for need in growing[:-1]:
        more = spare * need.grows // parts
        heights[need.name] += more
        left -= more
    heights[growing[-1].name] += left
