"""The chosen engine: what it is, its slots, its memory for context, its times, its graphs."""

from __future__ import annotations

from collections.abc import Sequence

from kolo.snapshot import Engine, Summary
from kolo.top import words
from kolo.top.engine_rows import engine_state, kv_share, short_quant
from kolo.top.graph import graph
from kolo.top.panels.frame import Frame, Painted
from kolo.top.panels.header import joined
from kolo.top.panels.machine import meter
from kolo.top.panels.slots import slot_grid
from kolo.top.spans import Block, Line, Span, beside, clean, fit, right, spread, tall
from kolo.top.state import Scene

WIDE = 96
"""From here on, the graphs stand beside the numbers."""
_GRAPHS = (
    ("out", "written tok/s", "graph-out", None),
    ("in", "prompt tok/s", "graph-in", None),
    ("ttft", "TTFT ms", "graph-ttft", None),
    ("kv", "KV %", "graph-kv", 100.0),
)


def chosen_engine(scene: Scene) -> Engine | None:
    """The one under the cursor; without one, the first that is loaded."""
    snapshot = scene.picture.snapshot
    if snapshot is None or not snapshot.engines:
        return None
    wanted = scene.ui.cursor.get("engines", "")
    by_id = {engine.id: engine for engine in snapshot.engines}
    loaded = [engine for engine in snapshot.engines if engine.state == "loaded"]
    return by_id.get(wanted) or (loaded or snapshot.engines)[0]


def paint_detail(scene: Scene, frame: Frame) -> Painted:
    engine = chosen_engine(scene)
    if engine is None:
        nothing = Painted([(Span("no engine to show", "dim"),)])
        return frame.around(nothing, "Engine", number=4)
    width, height = frame.inner_width, frame.inner_height
    ascii = scene.ui.ascii
    if engine.state != "loaded":
        lines = _asleep(engine, width)
    elif width >= WIDE:
        graph_width = max(width * 2 // 5, 34)
        numbers = _numbers(engine, width - graph_width - 3, height, ascii)
        graphs = _graphs(scene, engine.id, graph_width, height)
        gap: Block = [(Span("   "),)] * height
        lines = beside(tall(numbers, width - graph_width - 3, height), gap, graphs)
    else:
        lines = _numbers(engine, width, height, ascii)
        room = height - len(lines)
        if room >= 3:
            lines += _graphs(scene, engine.id, width, room)
    state = engine_state(engine)
    title = clean(engine.id)
    return frame.around(
        Painted(lines), title, number=4, note=[state], end=[Span(scene.ui.range, "dim")]
    )


def _asleep(engine: Engine, width: int) -> Block:
    """What there is to say of an engine that is not loaded."""
    lines: list[Sequence[Span]] = []
    if engine.state == "loading":
        stage = clean(engine.stage) or "loading"
        share = words.percent(engine.progress)
        bar = meter(engine.progress, min(width - 24, 40), False)
        lines.append([Span(f"{stage:<8} ", "warn"), *bar, Span(f" {share}")])
    if engine.error is not None:
        lines += [[Span(part, "bad")] for part in wrapped(engine.error.message, width)]
        lines += [[Span(part, "dim")] for part in wrapped(engine.error.hint, width)]
    if engine.path:
        lines.append([Span(clean(engine.path), "dim")])
    totals = engine.totals
    if totals.done or totals.loads:
        said = f"{words.count(totals.done)} requests done, {words.plural(totals.loads, 'load')}"
        lines.append([Span(said, "dim")])
    if engine.state == "unloaded":
        lines.append([Span("a request loads it, or the key L", "dim")])
    return [fit(line, width) for line in lines]


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns."""
    import textwrap

    return textwrap.wrap(clean(text.replace("\n", " ")), max(width, 10))


def _numbers(engine: Engine, width: int, height: int, ascii: bool) -> Block:
    """What fits: first the slots and the cache, then times, then what the model is."""
    kv, queue = _kv(engine, width, ascii), _queue(engine, width, ascii)
    times = _times(engine, width)
    if height < 8:
        grid = slot_grid(engine, width, max(height - 3, 1), ascii)
        return [*grid, kv, _short_times(engine, width, ascii), queue][:height]
    blank: Line = (Span(" " * width),)
    about = _about(engine, width, ascii)
    room = height - len(about) - len(times) - 2
    airy = room >= len(engine.slots or ()) // max(width // 24, 1) + 4
    grid = slot_grid(engine, width, max(room - (3 if airy else 0), 1), ascii)
    space = [blank] if airy else []
    return [*about, *space, *grid, *space, kv, queue, *space, *times][:height]


def _about(engine: Engine, width: int, ascii: bool) -> Block:
    model = engine.model
    if model is None:
        return []
    layers = f"{min(model.gpu_layers, model.n_layer + 1)}/{model.n_layer + 1} layers on GPU"
    parts = [
        [Span(f"{clean(model.architecture)} {short_quant(engine)}".strip(), "strong")],
        [Span(f"{words.parameters(model.n_params)} parameters" if model.n_params else "", "dim")],
        [Span(words.size(model.size_bytes), "dim")],
        [Span(f"{words.count(model.n_ctx)} ctx \u00d7 {model.parallel}", "dim")],
        [Span(layers if model.gpu_layers else "on the CPU", "dim")],
    ]
    process = engine.process
    worker = []
    if process is not None:
        cpu = words.MISSING if process.cpu_percent is None else f"{process.cpu_percent:.0f}%"
        worker = [
            [Span(f"pid {process.pid}", "dim")],
            [Span(f"cpu {cpu}", "dim")],
            [Span(f"ram {words.size(process.rss_bytes)}", "dim")],
        ]
    worker.append([Span(_stays(engine), "dim")])
    kept = [part for part in parts if part[0].text]
    return [joined(kept, width, ascii), joined(worker, width, ascii)]


def _stays(engine: Engine) -> str:
    if engine.pinned:
        return "pinned"
    if engine.ttl_s is None:
        return "stays loaded"
    if engine.expires_s is None:
        return f"unloads after {words.span(engine.ttl_s)} idle"
    return f"unloads in {words.span(engine.expires_s)}"


def _kv(engine: Engine, width: int, ascii: bool) -> Line:
    kv, share = engine.kv, kv_share(engine)
    if kv is None:
        return fit([Span("KV    ", "dim"), Span(words.MISSING, "dim")], width)
    held = f"{words.count(kv.used_tokens)}/{words.count(kv.total_tokens)} tok"
    idle = f", {words.count(kv.cached_tokens)} cached" if kv.cached_tokens else ""
    bar_width = max(min(width - len(held) - len(idle) - 13, 40), 6)
    spans = [
        Span("KV    ", "dim"),
        *meter(share, bar_width, ascii),
        Span(right(words.percent(share), 5)),
        Span(f"  {held}{idle}", "dim"),
    ]
    return fit(spans, width)


def _queue(engine: Engine, width: int, ascii: bool) -> Line:
    waits = engine.windows.last_1m.queue_ms
    parts = [
        [Span("queue ", "dim"), Span(str(engine.waiting), "warn" if engine.waiting else "strong"),
         Span(f"/{engine.max_queue}", "dim")],
        [Span("waited ", "dim"), *_percentiles(waits)],
    ]  # fmt: skip
    if engine.preemptions:
        parts.append([Span(f"{engine.preemptions} preempted", "warn")])
    if engine.totals.rejected:
        parts.append([Span(f"{engine.totals.rejected} turned away", "warn")])
    return joined(parts, width, ascii)


def _percentiles(summary: Summary) -> list[Span]:
    if not summary.n:
        return [Span(words.NOTHING, "dim")]
    return [
        Span(f"{words.ms(summary.p50)}/{words.ms(summary.p95)}"),
        Span(f" n={words.count(summary.n)}", "faint"),
    ]


def _short_times(engine: Engine, width: int, ascii: bool) -> Line:
    minute = engine.windows.last_1m
    parts = [
        [Span("TTFT  ", "dim"), *_percentiles(minute.ttft_ms)],
        [Span("ITL ", "dim"), *_percentiles(minute.itl_ms)],
        [Span("total ", "dim"), *_percentiles(minute.e2e_ms)],
    ]
    return joined(parts, width, ascii)


def _times(engine: Engine, width: int) -> Block:
    """Percentiles of the last minute, and rates of each window beside them."""
    minute = engine.windows.last_1m
    head = f"{'last 1m':<8}" + "".join(f"{name:>7}" for name in ("p50", "p95", "p99", "n"))
    lines: list[list[Span]] = [[Span(head, "heading")]]
    for name, summary in (
        ("TTFT", minute.ttft_ms),
        ("ITL", minute.itl_ms),
        ("queued", minute.queue_ms),
        ("total", minute.e2e_ms),
    ):
        lines.append([Span(f"{name:<8}", "dim"), *_row(summary)])
    rates = _rates(engine)
    if width >= 36 + 2 + 31:
        lines = [[*line, Span("  "), *more] for line, more in zip(lines, rates, strict=True)]
    return [fit(line, width) for line in lines]


def _row(summary: Summary) -> list[Span]:
    """A percentile that too few values stand behind is none: p95 from 20 on, p99 from 100."""
    n = summary.n
    values = (summary.p50, summary.p95 if n >= 20 else None, summary.p99 if n >= 100 else None)
    spans = [Span(f"{words.ms(value):>7}", "" if value is not None else "dim") for value in values]
    return [*spans, Span(f"{words.count(n) if n else words.NOTHING:>7}", "faint")]


def _rates(engine: Engine) -> list[list[Span]]:
    each = (engine.windows.last_5s, engine.windows.last_1m, engine.windows.last_15m)
    head = f"{'rates':<10}" + "".join(f"{name:>7}" for name in ("5s", "1m", "15m"))

    def line(name: str, values: Sequence[str], role: str) -> list[Span]:
        cells = "".join(f"{value:>7}" for value in values)
        return [Span(f"{name:<10}", "dim"), Span(cells, role)]

    shares = [words.NOTHING if w.cached_share is None else words.percent(w.cached_share)
              for w in each]  # fmt: skip
    return [
        [Span(head, "heading")],
        line("out tok/s", [words.rate(w.output_tokens_per_s) for w in each], "out"),
        line("in tok/s", [words.rate(w.prompt_tokens_per_s) for w in each], "in"),
        line("one tok/s", [words.rate(w.decode_tokens_per_s) for w in each], ""),
        line("cached", shares, ""),
    ]


def _graphs(scene: Scene, owner: str, width: int, height: int) -> Block:
    """As many graphs, one above the other, as are at least three lines high."""
    n = max(min(height // 3, len(_GRAPHS)), 1)
    lines: Block = []
    for at in range(n):
        own = -(-(height - len(lines)) // (n - at))
        if n == len(_GRAPHS) and at < n - 1:  # the last one, a share, says as much in little room
            own = (height - max(height // 8, 3) - len(lines)) // (n - 1 - at)
        what, title, role, top = _GRAPHS[at]
        lines += _graph(scene, owner, what, title, role, width, own, top)
    return lines


def _graph(
    scene: Scene,
    owner: str,
    what: str,
    title: str,
    role: str,
    width: int,
    height: int,
    top: float | None,
) -> Block:
    ascii = scene.ui.ascii
    values = scene.picture.series(owner, what, scene.ui.span_s, width if ascii else width * 2)
    known = [value for value in values if value is not None]
    peak = words.count(max(known)) if known else words.NOTHING
    head = spread([Span(title, "dim")], [Span(f"peak {peak}", "faint")], width)
    drawn = graph(values, width, height - 1, top=top, ascii=ascii)
    return [head, *((Span(line, role),) for line in drawn)]
