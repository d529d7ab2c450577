"""Shows lines of spans, and draws again only what has changed of them."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from kolo.top.app.palette import Palette
from kolo.top.panels.frame import Painted, Zone
from kolo.top.spans import Block, Line, cells, line_width


class Canvas(Widget, can_focus=True):
    """A page. ``show`` gives it what to show; clicks come back as the zone they hit."""

    DEFAULT_CSS = """
    Canvas { width: 1fr; height: 1fr; }
    """

    class Pressed(Message):
        """A click on something that means something."""

        def __init__(self, zone: Zone) -> None:
            super().__init__()
            self.zone = zone

    class Resized(Message):
        """There is more room, or less."""

    class Wheeled(Message):
        """The wheel was turned over a panel, up (-1) or down (1)."""

        def __init__(self, panel: str, by: int) -> None:
            super().__init__()
            self.panel = panel
            self.by = by

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._lines: Block = []
        self._zones: list[Zone] = []
        self._width = 0
        """Of every line; less or more than the widget's for a moment after it was resized."""

    @property
    def shown(self) -> Block:
        return self._lines

    @property
    def zones(self) -> list[Zone]:
        return self._zones

    def paint_with(self, palette: Palette) -> None:
        """The same lines in other colours."""
        self._palette = palette
        self.refresh()

    def show(self, painted: Painted) -> None:
        before, self._lines = self._lines, painted.lines
        self._width = line_width(painted.lines[0]) if painted.lines else 0
        self._zones = painted.zones
        if len(before) != len(self._lines):
            self.refresh()
            return
        changed = [
            Region(x, y, width, 1)
            for y, (old, new) in enumerate(zip(before, self._lines, strict=True))
            if old != new
            for x, width in [difference(old, new)]
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self._palette.base
        if y >= len(self._lines):
            return Strip.blank(width, base)
        style = self._palette.style
        segments = [Segment(span.text, style(span.role)) for span in self._lines[y]]
        return Strip(segments, self._width).adjust_cell_length(width, base)

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        for zone in reversed(self._zones):
            if zone.kind != "panel" and zone.holds(event.x, event.y):
                self.post_message(self.Pressed(zone))
                return

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, by: int) -> None:
        for zone in self._zones:
            if zone.kind == "panel" and zone.holds(event.x, event.y):
                self.post_message(self.Wheeled(zone.panel, by))
                event.stop()
                return


def difference(old: Line, new: Line) -> tuple[int, int]:
    """Where two lines of one width differ: the first column, and how many."""
    start = 0
    for one, two in zip(old, new, strict=False):
        if one != two:
            break
        start += cells(two.text)
    end = total = sum(cells(span.text) for span in new)
    if total != sum(cells(span.text) for span in old):
        return 0, max(total, 1)
    for one, two in zip(reversed(old), reversed(new), strict=False):
        if one != two or end <= start:
            break
        end -= cells(two.text)
    return start, max(end - start, 1)
