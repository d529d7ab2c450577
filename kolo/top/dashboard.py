"""The whole dashboard as lines: header, panels where they fit, keys."""

from __future__ import annotations

from kolo.top.layout import MIN_HEIGHT, MIN_WIDTH, Content, Place, arrange
from kolo.top.panels.detail import paint_detail
from kolo.top.panels.frame import Frame, Painted, Zone
from kolo.top.panels.header import paint_footer, paint_header, paint_summary
from kolo.top.panels.lists import paint_list
from kolo.top.panels.machine import paint_machine, wanted_height
from kolo.top.panels.waiting import paint_waiting
from kolo.top.spans import Block, Line, Span, beside, cells, padded, recoloured, tall
from kolo.top.state import LISTS, Scene

_PAINTERS = {"gpus": paint_machine, "detail": paint_detail}
_ASCII = str.maketrans(
    {
        "…": "~",
        "\u2013": "-",
        "·": ".",
        "\u00d7": "x",
        "°": " ",
        "●": "*",
        "━": "=",
        "─": "-",
        "▾": "v",
        "▴": "^",
    }
)


def paint_dashboard(scene: Scene, width: int, height: int) -> Painted:
    """Exactly ``height`` lines of ``width`` columns, whatever there is to show."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return plain(too_small(width, height), scene)
    header = paint_header(scene, width)
    top: Block = list(header.lines)
    if "summary" not in scene.ui.hidden:
        top.append(paint_summary(scene, width))
    room = height - len(top) - 1
    if scene.picture.snapshot is None:
        middle = Painted(paint_waiting(scene, width, room))
    else:
        middle = _panels(scene, width, room)
    lines = [*top, *middle.lines, paint_footer(scene, width)]
    if scene.status.stale:
        lines[1:-1] = [recoloured(line, "stale") for line in lines[1:-1]]
    zones = [*header.zones, *(zone.moved(0, len(top)) for zone in middle.zones)]
    return plain(Painted(lines, zones), scene)


def page_around(scene: Scene, content: Painted, width: int, height: int) -> Painted:
    """Another page: ``content`` between the header and the keys."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return plain(too_small(width, height), scene)
    header = paint_header(scene, width)
    room = height - 2
    lines = [*header.lines, *tall(content.lines, width, room), paint_footer(scene, width)]
    zones = [*header.zones, *(zone.moved(0, 1) for zone in content.zones)]
    return plain(Painted(lines, zones), scene)


def too_small(width: int, height: int) -> Painted:
    said = [
        "kolo top needs",
        f"{MIN_WIDTH}x{MIN_HEIGHT}, and this",
        f"is {width}x{height}.",
        "q quits.",
    ]
    lines: Block = [(Span(text, "warn"),) for text in said]
    return Painted(tall(lines, width, height))


def visible_lists(scene: Scene, width: int, height: int) -> list[str]:
    """The lists that the cursor can be in on a screen of this size."""
    names = {place.name for place in _places(scene, width, height - 3)}
    return [name for name in LISTS if name in names]


def _places(scene: Scene, width: int, height: int) -> list[Place]:
    snapshot = scene.picture.snapshot
    content = Content(
        engines=len(snapshot.engines) if snapshot is not None else 0,
        requests=len(snapshot.requests) if snapshot is not None else 0,
        machine=wanted_height(scene, width, height),
    )
    ui = scene.ui
    return arrange(width, height, content, ui.hidden, zoomed=ui.zoomed)


def _panels(scene: Scene, width: int, height: int) -> Painted:
    places = _places(scene, width, height)
    columns: dict[int, list[Line]] = {}
    widths: dict[int, int] = {}
    zones: list[Zone] = []
    for place in places:
        focused = place.name == scene.ui.focus and place.name in LISTS
        frame = Frame(place.name, place.width, place.height, place.boxed, focused, scene.ui.ascii)
        painted = _PAINTERS.get(place.name, paint_list)(scene, frame)
        columns.setdefault(place.x, []).extend(painted.lines)
        widths[place.x] = place.width
        zones += [zone.moved(place.x, place.y) for zone in painted.zones]
    if not columns:
        return Painted(padded([], width, height), zones)
    lines = beside(*(padded(columns[x], widths[x], height) for x in sorted(columns)))
    return Painted(lines, zones)


def plain(painted: Painted, scene: Scene) -> Painted:
    """Without a sign outside ASCII, where the terminal has none."""
    if scene.ui.ascii:
        painted.lines = [tuple(_plain(span) for span in line) for line in painted.lines]
    return painted


def _plain(span: Span) -> Span:
    text = span.text
    if text.isascii():
        return span
    text = text.translate(_ASCII)
    return Span("".join(c if c.isascii() else "?" * cells(c) for c in text), span.role)
