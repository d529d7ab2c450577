"""What is around a panel: a box where there is room, else a line with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kolo.top.spans import Block, Line, Span, cut, line_width, tall

_ROUND = "╭─╮│╰─╯"
_PLAIN = "+-+|+-+"


class Zone(NamedTuple):
    """Where a click means something."""

    x: int
    y: int
    width: int
    height: int
    kind: str
    """``row``, ``sort``, ``panel``, ``page``."""
    panel: str
    key: str = ""

    def moved(self, x: int, y: int) -> Zone:
        return self._replace(x=self.x + x, y=self.y + y)

    def holds(self, x: int, y: int) -> bool:
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass
class Painted:
    """Lines, and what can be clicked in them."""

    lines: Block
    zones: list[Zone] = field(default_factory=list)


class Frame(NamedTuple):
    """The room that a panel has. The inside is what its content may use."""

    name: str
    width: int
    height: int
    boxed: bool
    focused: bool = False
    ascii: bool = False

    @property
    def inner_width(self) -> int:
        return self.width - (4 if self.boxed else 0)

    @property
    def inner_height(self) -> int:
        return self.height - (2 if self.boxed else 1)

    def around(
        self,
        content: Painted,
        title: str,
        *,
        number: int,
        note: Sequence[Span] = (),
        end: Sequence[Span] = (),
    ) -> Painted:
        """``content`` in a box or below a line; ``note`` follows the title, ``end`` is right."""
        inside = tall(content.lines, self.inner_width, self.inner_height)
        x, y = (2, 1) if self.boxed else (0, 1)
        zones = [Zone(0, 0, self.width, self.height, "panel", self.name)]
        zones += [zone.moved(x, y) for zone in content.zones]
        top = self._top(title, number, note, end)
        if not self.boxed:
            return Painted([top, *inside], zones)
        role = self._role
        signs = _PLAIN if self.ascii else _ROUND
        side = Span(f"{signs[3]} ", role), Span(f" {signs[3]}", role)
        lines = [(side[0], *line, side[1]) for line in inside]
        bottom = (Span(signs[4] + signs[5] * (self.width - 2) + signs[6], role),)
        return Painted([top, *lines, bottom], zones)

    @property
    def _role(self) -> str:
        return "border-focus" if self.focused else "border"

    def _top(self, title: str, number: int, note: Sequence[Span], end: Sequence[Span]) -> Line:
        role = self._role
        signs = _PLAIN if self.ascii else _ROUND
        flat = signs[1]
        first = f"{signs[0]}{flat} " if self.boxed else f"{flat}{flat} "
        named = Span(title, "title-focus" if self.focused else "title")
        start = [Span(first, role), Span(f"{number} " if number else "", "key"), named]
        if note:
            start += [Span(" ", role), *note]
        last = [Span(f"{flat}{signs[2]}" if self.boxed else flat * 2, role)]
        room = self.width - line_width(tuple(start)) - line_width(tuple(last)) - 2
        if end and line_width(tuple(end)) + 1 < room:
            last = [Span(" ", role), *end, Span(" ", role), *last]
            room -= line_width(tuple(end)) + 2
        if room < 0:
            start = [*start[:2], Span(cut(title, max(len(title) + room, 1)), start[2].role)]
            room = self.width - line_width(tuple(start)) - line_width(tuple(last)) - 2
        return (*start, Span(f" {flat * max(room + 1, 0)}", role), *last)
