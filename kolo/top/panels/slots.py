"""Slots of an engine as a grid: a bar each where there is room, else a sign each."""

from __future__ import annotations

from kolo.snapshot import Engine, Slot
from kolo.top import words
from kolo.top.graph import bar
from kolo.top.spans import Block, Span, left, right

_ROLES = {"idle": "dim", "prefill": "in", "decode": "out"}
_SIGNS = {"decode": "█", "prefill": "▓", "held": "░", "free": "·"}
_ASCII_SIGNS = {"decode": "#", "prefill": "+", "held": "o", "free": "."}
CELL = 22
_LABEL = "slots "


def slot_grid(engine: Engine, width: int, height: int, ascii: bool) -> Block:
    """At most ``height`` lines; the finest form that has room for every slot."""
    slots = engine.slots or []
    if not slots or height <= 0:
        return []
    per_line = max((width + 2) // (CELL + 2), 1)
    if -(-len(slots) // per_line) <= height and width >= CELL:
        return _bars(engine, slots, width, per_line, ascii)
    signs = _ASCII_SIGNS if ascii else _SIGNS
    cells = [Span(signs[_kind(slot)] + " ", _ROLES[slot.state]) for slot in slots]
    if len(cells) * 2 + len(_LABEL) <= width:
        return [(Span(_LABEL, "dim"), *cells)]
    per_line = max(width // 2, 1)
    lines = [tuple(cells[at : at + per_line]) for at in range(0, len(cells), per_line)]
    if len(lines) > height:  # more slots than places: count them
        counts = {kind: sum(_kind(slot) == kind for slot in slots) for kind in signs}
        text = "  ".join(f"{signs[kind]} {n} {kind}" for kind, n in counts.items() if n)
        return [(Span(text),)]
    return list(lines)


def _kind(slot: Slot) -> str:
    if slot.state != "idle":
        return slot.state
    return "held" if slot.held_tokens else "free"


def _bars(engine: Engine, slots: list[Slot], width: int, per_line: int, ascii: bool) -> Block:
    columns = min(per_line, len(slots))
    own = min((width + 2) // columns - 2, 34)
    lines: Block = []
    for first in range(0, len(slots), columns):
        spans: list[Span] = []
        for slot in slots[first : first + columns]:
            spans += [*_bar(engine, slot, own, ascii), Span("  ")]
        lines.append(tuple(spans[:-1]))
    return lines


def _bar(engine: Engine, slot: Slot, width: int, ascii: bool) -> list[Span]:
    """``3 ━━━━━━──── dec 1.2k``: how much of its context it holds, what it does, how far."""
    n_ctx = engine.model.n_ctx if engine.model is not None else 0
    doing = {"idle": "idle", "prefill": "pre", "decode": "dec"}[slot.state]
    tokens = slot.output_tokens if slot.state == "decode" else slot.held_tokens
    if slot.state == "prefill" and slot.prompt_tokens:
        amount = words.percent(slot.prompt_done / slot.prompt_tokens)
    else:
        amount = words.count(tokens) if tokens or slot.state != "idle" else words.NOTHING
    size = width - 14
    full, empty = bar(slot.held_tokens / n_ctx if n_ctx else None, size, ascii=ascii)
    role = _ROLES[slot.state]
    return [
        Span(right(str(slot.id), 3) + " ", "strong" if slot.state != "idle" else "dim"),
        Span(full, "bar-held" if slot.state == "idle" else role),
        Span(empty, "bar-empty"),
        Span(" " + left(doing, 4), role),
        Span(right(amount, 5), role),
    ]
