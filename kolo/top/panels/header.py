"""The first lines and the last: who is watched, how the line is, all engines together, keys."""

from __future__ import annotations

from kolo.snapshot import Engine, Snapshot
from kolo.top import words
from kolo.top.engine_rows import kv_share
from kolo.top.panels.frame import Painted, Zone
from kolo.top.spans import Line, Span, cells, clean, fit, line_width, spread
from kolo.top.state import PAGES, Scene

_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "dashboard": (
        ("?", "help"), ("q", "quit"), ("/", "filter"), ("s", "sort"), ("space", "pause"),
        ("Enter", "detail"), ("L", "load"), ("u", "unload"), ("x", "cancel"), ("g", "range"),
        ("t", "theme"), (":", "commands"), ("[ ]", "pages"),
    ),
    "models": (
        ("?", "help"), ("q", "quit"), ("/", "filter"), ("L", "load"), ("Enter", "show"),
        ("P", "pull"), ("[ ]", "pages"), ("Esc", "dashboard"),
    ),
    "config": (("?", "help"), ("q", "quit"), ("/", "filter"), ("[ ]", "pages"),
               ("Esc", "dashboard")),
    "logs": (("?", "help"), ("q", "quit"), ("/", "search"), ("n N", "next, previous"),
             ("Tab", "engine"), ("F", "follow"), ("[ ]", "pages"), ("Esc", "dashboard")),
}  # fmt: skip
NEARLY = 0.95
LEAST_FREE = 0.03
ACTING = ("L", "u", "x", "P")
"""Keys that change something at the server."""


def paint_header(scene: Scene, width: int) -> Painted:
    """One line: what is watched at the left, the pages and the state at the right."""
    picture, status = scene.picture, scene.status
    hello, snapshot = picture.hello, picture.snapshot
    sign = "*" if scene.ui.ascii else "●"
    state = [Span(f" {sign} {status.word} ", f"{status.role}-badge")]
    if status.recording:
        state.append(Span(" REC ", "bad-badge"))
    start = [Span("kolo top", "brand"), Span("  ")]
    if snapshot is not None and (host := snapshot.host.name or (hello and hello.server.host)):
        start.append(Span(clean(host), "strong"))
    if snapshot is not None:
        start.append(Span(f"  up {words.span(snapshot.uptime_s)}", "dim"))
        if snapshot.stopping:
            start.append(Span("  stopping", "warn"))
    if hello is not None and width >= 110:
        where = f"  {clean(hello.server.url)}" if hello.server.url else ""
        start.append(Span(f"  v{clean(hello.server.version)}{where}", "dim"))
    if snapshot is not None and (n := alerts(snapshot)):
        start.append(Span(f"  {words.plural(n, 'alert')}", "warn"))
    if status.detail:
        start.append(Span(f"  {clean(status.detail)}", status.role))
    tabs, zones = _tabs(scene, width)
    end = [*tabs, *state]
    x = width - line_width(tuple(end))
    shifted = [zone.moved(x, 0) for zone in zones]
    return Painted([spread(start, end, width)], shifted)


def alerts(snapshot: Snapshot) -> int:
    """What somebody should look at: engines that failed or have hardly any room left, GPUs that
    are slowed down, a disk that is nearly full."""
    n = sum(engine.state == "failed" for engine in snapshot.engines)
    n += sum(_is_full(engine) for engine in snapshot.engines)
    n += sum(bool(gpu.throttle) for gpu in snapshot.gpus)
    disk = snapshot.host.disk
    if disk is not None and disk.total_bytes and disk.free_bytes is not None:
        n += disk.free_bytes < disk.total_bytes * LEAST_FREE
    return n


def _is_full(engine: Engine) -> bool:
    """Its queue, or the KV cache of those it answers."""
    share = kv_share(engine)
    queued = bool(engine.max_queue) and engine.waiting >= NEARLY * engine.max_queue
    return queued or (share is not None and share >= NEARLY)


def _tabs(scene: Scene, width: int) -> tuple[list[Span], list[Zone]]:
    if width < 90:
        if scene.ui.page == "dashboard":
            return [], []
        return [Span(f" {scene.ui.page} ", "tab-on")], []
    spans, zones, x = [], [], 0
    for page in PAGES:
        text = f" {page} "
        spans.append(Span(text, "tab-on" if page == scene.ui.page else "tab"))
        zones.append(Zone(x, 0, len(text), 1, "page", "header", page))
        x += len(text)
    return [*spans, Span(" ")], zones


def paint_summary(scene: Scene, width: int) -> Line:
    """All engines together; what matters most first, so that a narrow screen keeps it."""
    snapshot = scene.picture.snapshot
    if snapshot is None:
        return fit([], width)
    last, minute = snapshot.windows.last_5s, snapshot.windows.last_1m
    parts: list[list[Span]] = [
        [Span("out ", "dim"), Span(f"{words.rate(last.output_tokens_per_s):>5}", "out"),
         Span(" tok/s", "dim")],
        [Span("in ", "dim"), Span(f"{words.rate(last.prompt_tokens_per_s):>5}", "in"),
         Span(" tok/s", "dim")],
        [Span("run ", "dim"), Span(f"{snapshot.running:>2}", "strong")],
        [Span("wait ", "dim"), Span(f"{snapshot.waiting:>2}", "warn" if snapshot.waiting else "")],
        _times("TTFT", minute.ttft_ms.p50, minute.ttft_ms.p95, minute.ttft_ms.n),
        [Span("req ", "dim"), Span(_per_minute(minute.requests_per_s)), Span("/min", "dim")],
        _times("ITL", minute.itl_ms.p50, minute.itl_ms.p95, minute.itl_ms.n),
        [Span("failed ", "dim"),
         Span(words.count(minute.failed) if minute.failed else words.NOTHING,
              "bad" if minute.failed else "dim"), Span(" 1m", "dim")],
        [Span("cached ", "dim"), Span(_share(minute.cached_share))],
        [Span("cpu ", "dim"), Span(_percent(snapshot.host.cpu_percent))],
        [Span("mem ", "dim"), Span(_memory(scene))],
    ]  # fmt: skip
    return joined(parts, width, scene.ui.ascii)


def joined(parts: list[list[Span]], width: int, ascii: bool) -> Line:
    """As many of ``parts`` as have room, with a faint dot between them."""
    gap = Span(" - " if ascii else " · ", "faint")
    spans: list[Span] = []
    room = width
    for part in parts:
        size = line_width(tuple(part)) + (3 if spans else 0)
        if size > room:
            break
        spans += [gap, *part] if spans else part
        room -= size
    return fit(spans, width)


def _times(name: str, p50: float | None, p95: float | None, n: int) -> list[Span]:
    return [
        Span(f"{name} ", "dim"),
        Span(f"{words.ms(p50)}/{words.ms(p95)}" if n else words.NOTHING),
        Span(f" n={words.count(n)}", "faint"),
    ]


def _per_minute(per_s: float | None) -> str:
    return words.NOTHING if per_s is None else words.rate(per_s * 60)


def _share(share: float | None) -> str:
    return words.NOTHING if share is None else words.percent(share)


def _percent(percent: float | None) -> str:
    return words.MISSING if percent is None else words.percent(percent / 100)


def _memory(scene: Scene) -> str:
    assert scene.picture.snapshot is not None
    host = scene.picture.snapshot.host
    if host.memory_total_bytes is None or host.memory_available_bytes is None:
        return words.MISSING
    return words.used(host.memory_total_bytes - host.memory_available_bytes,
                      host.memory_total_bytes)  # fmt: skip


def paint_footer(scene: Scene, width: int) -> Line:
    """The keys, the most useful first, and at the right the pace and the range."""
    ui = scene.ui
    end = [Span(f" {ui.interval_s:g}s  {ui.range} ", "faint")]
    spans: list[Span] = []
    room = width - line_width(tuple(end))
    for key, meaning in _KEYS[ui.page]:
        if ui.readonly and key in ACTING:
            continue
        size = cells(key) + cells(meaning) + 3
        if size > room:
            break
        spans += [Span(f" {key}", "key"), Span(f" {meaning} ", "dim")]
        room -= size
    return spread(spans, end, width)
