"""The other pages: models, configuration, logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kolo.snapshot import Download
from kolo.top import table, words
from kolo.top.actions import ModelView
from kolo.top.choosing import matches
from kolo.top.panels.frame import Frame, Painted, Zone
from kolo.top.panels.machine import meter
from kolo.top.spans import Block, Line, Span, clean, cut, fit
from kolo.top.state import Scene
from kolo.top.table import Column, Row

MODELS = (
    Column("name", "MODEL", 18, grows=True, most=50),
    Column("state", "STATE", 10),
    Column("size", "SIZE", 8, 2, number=True),
    Column("params", "PARAMS", 6, 3, number=True),
    Column("quant", "QUANT", 14, 4),
    Column("source", "FROM", 8, 1),
    Column("aliases", "ALSO", 10, 5, grows=True, most=50),
)
SETTINGS = (
    Column("key", "KEY", 24, grows=True, most=44),
    Column("value", "VALUE", 12, grows=True, most=60),
    Column("origin", "FROM", 10, 1, grows=True, most=80),
)


@dataclass
class ModelsPage:
    models: list[ModelView] | None = None
    """None until the server has told."""
    trouble: str = ""
    can_pull: bool = False


@dataclass
class LogsPage:
    engines: list[str] = field(default_factory=list)
    engine: str = ""
    lines: list[str] = field(default_factory=list)
    trouble: str = ""
    wanted: str = ""
    found: list[int] = field(default_factory=list)
    match: int = -1
    """Which of ``found`` is in the middle; -1 for none."""
    follows: bool = True
    end: int = 0
    """The line after the last that is shown, where it does not follow."""


def model_rows(page: ModelsPage, scene: Scene) -> list[Row]:
    wanted = scene.ui.filter.get("models", "")
    return [
        Row(model.id, _model_cells(model))
        for model in page.models or ()
        if matches(wanted, model.id, *model.aliases, model.source, *model.tags)
    ]


def setting_rows(settings: Sequence[tuple[str, str, str]], scene: Scene) -> list[Row]:
    """``settings`` are (key, value, origin); those at their default are fainter."""
    wanted = scene.ui.filter.get("config", "")
    rows = []
    for key, value, origin in settings:
        if matches(wanted, key, value, origin):
            role = "dim" if origin == "default" else ""
            cells = (Span(key, role or "strong"), Span(clean(value), role), Span(origin, "dim"))
            rows.append(Row(key, cells))
    return rows


def paint_models(page: ModelsPage, scene: Scene, width: int, height: int) -> Painted:
    snapshot = scene.picture.snapshot
    downloads = [] if snapshot is None else snapshot.downloads
    below = _downloads(downloads, width - 4, scene.ui.ascii)
    rows = model_rows(page, scene)
    empty = page.trouble or ("the server has no models" if page.models is not None else "asking…")
    if rows or not page.models:
        empty = empty if not rows else ""
    else:
        empty = "nothing matches: Esc shows all"
    listed = _table(
        "models", MODELS, rows, scene, width, max(height - len(below), 4), empty, "Models"
    )
    return Painted([*listed.lines, *below], listed.zones)


def paint_settings(
    settings: Sequence[tuple[str, str, str]], scene: Scene, width: int, height: int
) -> Painted:
    rows = setting_rows(settings, scene)
    return _table("config", SETTINGS, rows, scene, width, height, "nothing matches", "Config")


def _table(
    panel: str,
    columns: tuple[Column, ...],
    rows: list[Row],
    scene: Scene,
    width: int,
    height: int,
    empty: str,
    title: str,
) -> Painted:
    ui = scene.ui
    frame = Frame(panel, width, height, boxed=True, focused=True, ascii=ui.ascii)
    inner = frame.inner_width
    placed = table.choose(columns, inner)
    room = frame.inner_height - 1
    keys = [row.key for row in rows]
    cursor = keys.index(ui.cursor[panel]) if ui.cursor.get(panel) in keys else -1
    top = ui.top[panel] = table.scrolled(ui.top.get(panel, 0), cursor, len(rows), room)
    lines: Block = [table.heading(placed, inner, sort="", reverse=False, ascii=ui.ascii)]
    lines += table.body(rows, placed, inner, room, top=top, cursor=cursor, focused=True)
    zones = [
        Zone(0, at + 1, inner, 1, "row", panel, row.key)
        for at, row in enumerate(rows[top : top + room])
    ]
    if empty and not rows:
        lines.append((Span(clean(empty), "dim"),))
    note = [Span(f"[{clean(ui.filter[panel])}]", "accent")] if ui.filter.get(panel) else []
    end = [Span(f"{len(rows)}", "dim")]
    return frame.around(Painted(lines, zones), title, number=0, note=note, end=end)


def _model_cells(model: ModelView) -> tuple[Span, ...]:
    file = model.file
    state = "failed" if model.status.failed else model.status.value
    role = {"loaded": "good", "loading": "warn", "failed": "bad"}.get(state, "dim")
    return (
        Span(clean(model.id), "strong"),
        Span(state, role),
        Span(words.size(file.size_bytes) if file and file.size_bytes else words.NOTHING, "dim"),
        Span(words.parameters(file.n_params) if file and file.n_params else words.NOTHING, "dim"),
        Span(clean(file.quant) if file is not None else words.NOTHING, "dim"),
        Span(clean(model.source), "dim"),
        Span(clean(", ".join(model.aliases)), "dim"),
    )


def _downloads(downloads: Sequence[Download], width: int, ascii: bool) -> Block:
    lines: Block = []
    for one in downloads:
        share = one.done_bytes / one.total_bytes if one.total_bytes else None
        speed = "" if one.bytes_per_s is None else f"{words.size(one.bytes_per_s)}/s"
        name = cut(clean(one.model), max(width - 66, 12))
        spans = [
            Span("  "),
            Span(name, "strong"),
            Span(f"  {clean(one.state)}  ", "warn" if one.state == "failed" else "dim"),
            *meter(share, 20, ascii),
            Span(f" {words.percent(share)}  {words.used(one.done_bytes, one.total_bytes)}  "),
            Span(speed, "dim"),
        ]
        lines.append(fit(spans, width + 4))
    return lines


def paint_logs(page: LogsPage, scene: Scene, width: int, height: int) -> Painted:
    """The end of the log, or the place that was searched for."""
    frame = Frame("logs", width, height, boxed=True, focused=True, ascii=scene.ui.ascii)
    inner, room = frame.inner_width, frame.inner_height
    end = log_end(page, room)
    first = max(end - room, 0)
    shown = page.lines[first:end]
    now = page.found[page.match] if 0 <= page.match < len(page.found) else -1
    lines: Block = [
        _log_line(line, page.wanted, inner, on=first + at == now) for at, line in enumerate(shown)
    ]
    if not page.lines:
        nothing = "the log is empty" if page.engine else "no engine of this machine has a log yet"
        why = page.trouble or nothing
        lines = [(Span(clean(why), "dim"),)]
    note = []
    if page.wanted:
        place = f"{page.match + 1} of " if page.match >= 0 else ""
        note = [Span(f"[{clean(page.wanted)}] {place}{len(page.found)}", "accent")]
    if page.follows:
        note.append(Span(" following", "good"))
    at = f"{first + 1}-{end} of {len(page.lines)}" if page.lines else ""
    others = f"{page.engines.index(page.engine) + 1}/{len(page.engines)}" if page.engines else ""
    return frame.around(
        Painted(lines),
        f"Log {clean(page.engine)}".rstrip(),
        number=0,
        note=note,
        end=[Span(f"{others}  {at}".strip(), "dim")],
    )


def log_end(page: LogsPage, room: int) -> int:
    """The line after the last one that is shown in ``room`` lines."""
    last = len(page.lines)
    if page.follows:
        return last
    return max(min(page.end, last), min(room, last))


def _log_line(line: str, wanted: str, width: int, *, on: bool) -> Line:
    text = clean(line.replace("\t", "    "))
    if not wanted or (at := text.casefold().find(wanted.casefold())) < 0:
        return fit([Span(text)], width)
    if at + len(wanted) > width:  # what was searched for must be seen
        skip = at + len(wanted) - width // 2
        text, at = "…" + text[skip:], at - skip + 1
    until = at + len(wanted)
    role = "match-on" if on else "match"
    return fit([Span(text[:at]), Span(text[at:until], role), Span(text[until:])], width)
