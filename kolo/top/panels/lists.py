"""The panels that are tables with a cursor: engines, requests, events."""

from __future__ import annotations

from kolo.top import table, words
from kolo.top.engine_rows import ENGINES, engine_rows
from kolo.top.panels.detail import chosen_engine
from kolo.top.panels.frame import Frame, Painted, Zone
from kolo.top.request_rows import EVENTS, REQUESTS, event_rows, request_rows
from kolo.top.spans import Span, clean
from kolo.top.state import Scene
from kolo.top.table import Column, Rows

COLUMNS: dict[str, tuple[Column, ...]] = {
    "engines": ENGINES,
    "requests": REQUESTS,
    "events": EVENTS,
}
_EMPTY = {
    "engines": "no engine is known yet: L loads a model",
    "requests": "no request is under way",
    "events": "nothing has happened yet",
}
_NUMBERS = {"engines": 3, "requests": 5, "events": 6}


def rows_of(panel: str, scene: Scene) -> Rows:
    """The rows of a list as the person wants to see them."""
    snapshot = scene.picture.snapshot
    if panel == "events":
        return event_rows(scene.picture.events, scene.ui)
    if snapshot is None:
        return Rows([], lambda at: ())
    if panel == "engines":
        return engine_rows(snapshot, scene.ui)
    shown = chosen_engine(scene) if scene.ui.zoomed else None
    return request_rows(snapshot, scene.ui, shown.id if shown is not None else None)


def paint_list(scene: Scene, frame: Frame) -> Painted:
    """The panel ``frame.name``. Where it scrolls to is kept in ``scene.ui.top``."""
    panel, ui = frame.name, scene.ui
    rows = rows_of(panel, scene)
    width, height = frame.inner_width, frame.inner_height
    columns = COLUMNS[panel]
    placed = table.choose(columns, width)
    with_heading = panel != "events" and height > 1
    room = height - with_heading
    cursor = _cursor(panel, rows, scene)
    follow = cursor if panel != "events" or frame.focused else -1
    top = table.scrolled(ui.top.get(panel, 0), follow, len(rows), room)
    ui.top[panel] = top
    lines = table.body(rows, placed, width, room, top=top, cursor=cursor, focused=frame.focused)
    zones = [
        Zone(0, at + with_heading, width, 1, "row", panel, key)
        for at, key in enumerate(rows.keys[top : top + room])
    ]
    if with_heading:
        sort, reverse = ui.sort.get(panel, ""), ui.reverse.get(panel, False)
        lines.insert(0, table.heading(placed, width, sort=sort, reverse=reverse, ascii=ui.ascii))
        zones += [Zone(p.x, 0, p.width, 1, "sort", panel, p.column.key) for p in placed]
    if not rows:
        lines.append((Span(_why_empty(panel, scene), "dim"),))
    return frame.around(
        Painted(lines, zones),
        panel.capitalize(),
        number=_NUMBERS[panel],
        note=_note(panel, rows, scene),
        end=_position(rows, top, room),
    )


def _cursor(panel: str, rows: Rows, scene: Scene) -> int:
    chosen = scene.ui.cursor.get(panel, "")
    return rows.keys.index(chosen) if chosen in rows.keys else -1


def _why_empty(panel: str, scene: Scene) -> str:
    if scene.ui.filter.get(panel) or scene.ui.state.get(panel):
        return "nothing matches: Esc shows all"
    if scene.picture.snapshot is None and panel != "events":
        return "nothing has been heard yet"
    return _EMPTY[panel]


def _note(panel: str, rows: Rows, scene: Scene) -> list[Span]:
    snapshot, ui = scene.picture.snapshot, scene.ui
    spans: list[Span] = []
    if snapshot is not None and panel == "engines":
        loaded = sum(engine.state == "loaded" for engine in snapshot.engines)
        spans = [Span(f"{loaded} loaded of {len(snapshot.engines)}", "dim")]
    elif snapshot is not None and panel == "requests":
        spans = [Span(f"{snapshot.running} running", "dim")]
        if snapshot.waiting:
            spans.append(Span(f" {snapshot.waiting} waiting", "warn"))
        if snapshot.requests_left_out:
            spans.append(Span(f" {words.count(snapshot.requests_left_out)} not shown", "warn"))
    wanted = [clean(ui.filter.get(panel, "")), ui.state.get(panel, "")]
    if any(wanted):
        spans.append(Span(f" [{' '.join(filter(None, wanted))}] {len(rows)}", "accent"))
    return spans


def _position(rows: Rows, top: int, room: int) -> list[Span]:
    if len(rows) <= room or room <= 0:
        return []
    return [Span(f"{top + 1}-{min(top + room, len(rows))} of {len(rows)}", "dim")]
