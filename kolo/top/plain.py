"""One look as plain text, for a pipe, a log or a terminal that is not ours to draw on."""

from __future__ import annotations

import textwrap

from kolo.top import table, words
from kolo.top.dashboard import plain
from kolo.top.engine_rows import ENGINES, engine_rows
from kolo.top.panels.frame import Painted
from kolo.top.panels.header import paint_summary
from kolo.top.panels.machine import gpu_line
from kolo.top.request_rows import REQUESTS, request_rows
from kolo.top.session import Picture
from kolo.top.spans import Block, Span, clean, text_of
from kolo.top.state import Scene, Status, Ui

MOST_REQUESTS = 50


def table_text(picture: Picture, width: int, *, ascii: bool) -> str:
    """Host, GPUs, engines and requests of the last snapshot."""
    snapshot, hello = picture.snapshot, picture.hello
    assert snapshot is not None
    scene = Scene(picture, Ui(ascii=ascii), Status(word=""))
    name = clean(snapshot.host.name or (hello.server.host if hello is not None else ""))
    version = f"  Kolo {clean(hello.server.version)}" if hello is not None else ""
    head = f"{name}  up {words.span(snapshot.uptime_s)}{version}"
    lines: Block = [*_folded(head, width), paint_summary(scene, width)]
    lines += [gpu_line(gpu, ascii, width) for gpu in snapshot.gpus]
    lines.append(())
    placed = table.choose(ENGINES, width)
    lines.append(table.heading(placed, width, sort="", reverse=False, ascii=ascii))
    lines += [table.line(row, placed, width) for row in engine_rows(snapshot, scene.ui)]
    for engine in snapshot.engines:
        if engine.error is not None:
            lines += _folded(clean(f"{engine.id}: {engine.error.message}"), width)
    rows = request_rows(snapshot, scene.ui)
    if rows:
        placed = table.choose(REQUESTS, width)
        lines += [(), table.heading(placed, width, sort="", reverse=False, ascii=ascii)]
        lines += [table.line(row, placed, width) for row in rows[:MOST_REQUESTS]]
        more = len(rows) - MOST_REQUESTS + snapshot.requests_left_out
        if len(rows) > MOST_REQUESTS:
            lines += _folded(f"and {words.plural(more, 'request')} more", width)
    drawn = plain(Painted(lines), scene).lines
    return "\n".join(text_of(line).rstrip() for line in drawn)


def _folded(text: str, width: int) -> Block:
    return [(Span(line),) for line in textwrap.wrap(text, width)]
