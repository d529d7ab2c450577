"""Engines as rows: what each cell says, how they sort, what a filter keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kolo.snapshot import Engine, Snapshot
from kolo.top import words
from kolo.top.choosing import in_order, matches
from kolo.top.spans import Span, clean
from kolo.top.state import Ui
from kolo.top.table import Column, Rows
from kolo.top.words import MISSING, NOTHING

ENGINES = (
    Column("name", "ENGINE", 14, grows=True, most=34, help="its name; * is pinned"),
    Column("quant", "QUANT", 7, 11, help="how its weights are stored"),
    Column("state", "STATE", 12, help="what it does; of a load, the stage and how far it is"),
    Column("slots", "SLOTS", 7, number=True, help="requests in slots, of slots"),
    Column("waiting", "WAIT", 4, 2, number=True, help="requests in its queue"),
    Column("out", "OUT/s", 6, number=True, help="tokens written a second, last 5 s"),
    Column("in", "IN/s", 6, 4, number=True, help="prompt tokens computed a second, last 5 s"),
    Column("ttft", "TTFT 50/95", 13, 3, number=True, help="time to first token, last minute"),
    Column("kv", "KV%", 4, 5, number=True, help="cells of the KV cache in use by requests"),
    Column("hit", "HIT%", 4, 7, number=True, help="prompt tokens from a cache, last minute"),
    Column("vram", "VRAM", 7, 6, number=True, help="memory on GPUs: measured, or ~ estimated"),
    Column("ram", "RAM", 7, 8, number=True, help="host memory of its worker"),
    Column("rpm", "REQ/m", 5, 9, number=True, help="requests that ended in the last minute"),
    Column("errors", "ERR", 4, 10, number=True, help="failed requests and crashes, since start"),
    Column("idle", "IDLE", 6, 12, number=True, help="unloaded after so much more idle time"),
    Column("uptime", "UP", 6, 13, number=True, help="since it was loaded"),
)


def engine_rows(snapshot: Snapshot, ui: Ui) -> Rows:
    """Those that the filter keeps, in order."""
    vram = _measured(snapshot)
    kept: Sequence[Engine] = [engine for engine in snapshot.engines if _keeps(engine, ui)]
    kept = in_order(
        kept, _values(vram), ui.sort.get("engines", ""), reverse=ui.reverse.get("engines", False)
    )
    return Rows([engine.id for engine in kept], lambda at: _cells(kept[at], vram, snapshot.at))


def _measured(snapshot: Snapshot) -> dict[str, int]:
    """Memory on GPUs by engine, where the GPU tells whose it is."""
    found: dict[str, int] = {}
    for gpu in snapshot.gpus:
        for process in gpu.processes or ():
            if process.engine is not None and process.memory_bytes is not None:
                found[process.engine] = found.get(process.engine, 0) + process.memory_bytes
    return found


def _keeps(engine: Engine, ui: Ui) -> bool:
    wanted = ui.state.get("engines", "")
    if wanted == "busy" and not (engine.running or engine.waiting):
        return False
    if wanted in ("loaded", "failed") and engine.state != wanted:
        return False
    quant = engine.model.quant if engine.model is not None else ""
    return matches(ui.filter.get("engines", ""), engine.id, engine.state, quant, *engine.aliases)


def _cells(engine: Engine, vram: dict[str, int], now_at: float) -> tuple[Span, ...]:
    alive = engine.state == "loaded"
    faint = "" if alive else "dim"
    short, minute = engine.windows.last_5s, engine.windows.last_1m
    pin = "*" if engine.pinned else ""
    errors = engine.totals.failed + engine.totals.crashes
    kv = kv_share(engine)
    return (
        Span(clean(engine.id) + pin, "strong" if alive else "dim"),
        Span(short_quant(engine), "dim"),
        engine_state(engine),
        Span(_slots(engine), faint),
        Span(str(engine.waiting) if alive else "", "warn" if engine.waiting else "dim"),
        _rate(short.output_tokens_per_s, alive, "out"),
        _rate(short.prompt_tokens_per_s, alive, "in"),
        Span(_pair(engine), faint),
        Span(_percent(kv) if alive else "", _load_role(kv)),
        Span(_of_window(minute.cached_share) if alive else "", faint),
        Span(_vram(engine, vram), faint),
        Span(_ram(engine), faint),
        Span(_per_minute(engine), faint),
        Span(str(errors) if errors else NOTHING, "bad" if errors else "dim"),
        Span(_expires(engine), "dim"),
        Span(_uptime(engine, now_at), "dim"),
    )


def _values(vram: dict[str, int]) -> dict[str, Callable[[Engine], Any]]:
    """What each column sorts by; None goes last in either direction."""
    return {
        "name": lambda e: e.id.casefold(),
        "quant": lambda e: short_quant(e) or None,
        "state": lambda e: engine_state(e).text,
        "slots": lambda e: e.running,
        "waiting": lambda e: e.waiting,
        "out": lambda e: e.windows.last_5s.output_tokens_per_s,
        "in": lambda e: e.windows.last_5s.prompt_tokens_per_s,
        "ttft": lambda e: e.windows.last_1m.ttft_ms.p50,
        "kv": kv_share,
        "hit": lambda e: e.windows.last_1m.cached_share,
        "vram": lambda e: vram.get(e.id, e.device_bytes),
        "ram": lambda e: e.process.rss_bytes if e.process else None,
        "rpm": lambda e: e.windows.last_1m.requests_per_s,
        "errors": lambda e: e.totals.failed + e.totals.crashes,
        "idle": lambda e: e.expires_s,
        "uptime": lambda e: None if e.loaded_at is None else -e.loaded_at,
    }


def engine_state(engine: Engine) -> Span:
    """One word, and of a load how far it is."""
    if engine.state == "loading":
        share = "" if engine.progress is None else f" {words.percent(engine.progress)}"
        return Span(f"{clean(engine.stage) or 'loading'}{share}", "warn")
    if engine.state == "failed":
        return Span("crashed" if engine.totals.crashes else "failed", "bad")
    if engine.state != "loaded":
        return Span(engine.state, "dim")
    states = {slot.state for slot in engine.slots or ()}
    if "decode" in states:
        return Span("decode", "good")
    if "prefill" in states:
        return Span("prefill", "in")
    if engine.running or engine.waiting:
        return Span("busy", "good")
    return Span("idle", "dim")


def kv_share(engine: Engine) -> float | None:
    kv = engine.kv
    return kv.used_tokens / kv.total_tokens if kv is not None and kv.total_tokens else None


def short_quant(engine: Engine) -> str:
    """GGUF's ``Q4_K - Medium`` as people write it: ``Q4_K_M``."""
    quant = engine.model.quant if engine.model is not None else ""
    base, _, grade = quant.partition(" - ")
    return clean(f"{base}_{grade[0]}" if grade else base)


def _slots(engine: Engine) -> str:
    if engine.state != "loaded":
        return ""
    total = engine.model.parallel if engine.model is not None else len(engine.slots or ())
    return f"{engine.running}/{total}" if total else str(engine.running)


def _pair(engine: Engine) -> str:
    if engine.state != "loaded":
        return ""
    ttft = engine.windows.last_1m.ttft_ms
    return f"{words.ms(ttft.p50)}/{words.ms(ttft.p95)}" if ttft.n else NOTHING


def _rate(per_s: float | None, alive: bool, role: str) -> Span:
    text = words.rate(per_s)
    return Span(text if alive else "", "dim" if text == NOTHING else role)


def _percent(share: float | None) -> str:
    return MISSING if share is None else words.percent(share)


def _of_window(share: float | None) -> str:
    return NOTHING if share is None else words.percent(share)


def _load_role(share: float | None) -> str:
    if share is None:
        return "dim"
    return "bad" if share >= 0.95 else "warn" if share >= 0.8 else ""


def _vram(engine: Engine, measured: dict[str, int]) -> str:
    if engine.id in measured:
        return words.size(measured[engine.id])
    if not engine.device_bytes:
        return "" if engine.state != "loaded" else NOTHING
    return "~" + words.size(engine.device_bytes).replace(" ", "")


def _ram(engine: Engine) -> str:
    if engine.process is None:
        return ""
    return words.size(engine.process.rss_bytes)


def _per_minute(engine: Engine) -> str:
    per_s = engine.windows.last_1m.requests_per_s
    if engine.state != "loaded" and per_s is None:
        return ""
    return NOTHING if per_s is None else words.rate(per_s * 60)


def _expires(engine: Engine) -> str:
    return "" if engine.expires_s is None else words.span(engine.expires_s)


def _uptime(engine: Engine, now_at: float) -> str:
    return "" if engine.loaded_at is None else words.span(now_at - engine.loaded_at)
