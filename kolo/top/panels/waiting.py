"""What is shown while nothing was heard yet: why, what to do, and that it goes on trying."""

from __future__ import annotations

from kolo.top.panels.detail import wrapped
from kolo.top.spans import Block, Span, cells, tall
from kolo.top.state import Scene


def paint_waiting(scene: Scene, width: int, height: int) -> Block:
    """In the middle of ``width`` times ``height``."""
    status = scene.status
    text: list[tuple[str, str]] = [(status.word, status.role), ("", "")]
    text += [(part, "") for part in wrapped(status.detail, min(width - 4, 72))]
    if status.hint:
        text.append(("", ""))
        text += [(part, "strong") for part in status.hint.splitlines()]
    if status.waiting:
        text += [("", ""), (status.waiting, "dim")]
    above = max((height - len(text)) // 2, 0)
    lines: Block = [()] * above
    for part, role in text:
        lines.append((Span(" " * max((width - cells(part)) // 2, 0)), Span(part, role)))
    return tall(lines, width, height)
