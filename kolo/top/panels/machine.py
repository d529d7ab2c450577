"""The GPUs with their graphs; where there is none, processor and memory."""

from __future__ import annotations

from collections.abc import Callable

from kolo.snapshot import Gpu, Host, Snapshot
from kolo.top import words
from kolo.top.graph import bar, graph
from kolo.top.panels.frame import Frame, Painted
from kolo.top.spans import Block, Line, Span, clean, cut, fit, right
from kolo.top.state import Scene

_HOT_C = 84.0
_NUMBERS_WIDTH = {1: 62, 2: 36, 3: 33}
"""Of the numbers of a GPU by its lines, so that the graphs of all begin in one column."""


def paint_machine(scene: Scene, frame: Frame) -> Painted:
    """A line or more for each GPU, then the host in one; as many as there is room for."""
    snapshot = scene.picture.snapshot
    if snapshot is None:
        return frame.around(Painted([]), "Machine", number=2)
    width, height = frame.inner_width, frame.inner_height
    gpus = snapshot.gpus
    lines: Block = []
    with_host = height > len(gpus)
    room = height - with_host
    if gpus:
        each = max(room // len(gpus), 1)
        shown = gpus if len(gpus) * each <= room else gpus[: max(room, 0)]
        for gpu in shown:
            lines += _gpu(scene, gpu, width, each)
    if with_host:
        spare = height - len(lines)
        lines += _host(scene, snapshot, width, spare)
    title = "GPUs" if gpus else "Machine"
    hidden = len(gpus) - height if len(gpus) > height else 0
    note = [Span(f"{hidden} more", "dim")] if hidden > 0 else []
    if not note and gpus and frame.boxed:
        note = [Span(_names(gpus), "dim")]
    return frame.around(Painted(lines), title, number=2, note=note)


def wanted_height(scene: Scene, width: int, height: int) -> tuple[int, int]:
    """Lines inside: the fewest, and as many as look good."""
    snapshot = scene.picture.snapshot
    n = len(snapshot.gpus) if snapshot is not None else 0
    if not n:
        return 1, 4
    each = 1 if n > 2 or width < 80 else 3 if height >= 46 else 2
    return min(n, 2) if height >= 20 else 1, min(n * each, 12) + 1


def _names(gpus: list[Gpu]) -> str:
    names: dict[str, int] = {}
    for gpu in gpus:
        name = clean(gpu.name.removeprefix("NVIDIA "))
        names[name] = names.get(name, 0) + 1
    return ", ".join(f"{n}x {name}" if n > 1 else name for name, n in names.items())


def _gpu(scene: Scene, gpu: Gpu, width: int, height: int) -> Block:
    """Numbers at the left, the graph of its use at the right, as high as there are lines."""
    numbers = _gpu_numbers(gpu, scene.ui.ascii, width, height)
    taken = _NUMBERS_WIDTH[min(height, 3)] if width >= 70 else 40
    room = width - taken - 2
    if room < 12:
        return [fit(line, width) for line in numbers[:height]]
    values = scene.picture.series(gpu.id, "gpu", *_span(scene, room))
    drawn = graph(values, room, height, top=100.0, ascii=scene.ui.ascii)
    role = load_role(gpu.utilization_percent, "graph-gpu")
    numbers = (numbers + [()] * height)[:height]
    return [
        (*fit(line, taken + 2), Span(rising, role))
        for line, rising in zip(numbers, drawn, strict=True)
    ]


def _span(scene: Scene, width: int) -> tuple[float, int]:
    return scene.ui.span_s, width if scene.ui.ascii else width * 2


def _gpu_numbers(gpu: Gpu, ascii: bool, width: int, height: int) -> list[Line]:
    share = None if gpu.utilization_percent is None else gpu.utilization_percent / 100
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    memory = used / total if used is not None and total else None
    bar_width = 10 if width >= 70 else 6
    load = [Span(f"{gpu.index:>2} ", "strong"), *meter(share, bar_width, ascii),
            Span(right(words.percent(share), 5), load_role(gpu.utilization_percent))]  # fmt: skip
    mem = [*meter(memory, bar_width, ascii), Span(f" {words.used(used, total):>14}")]
    power = Span(right(_power(gpu), 11), "dim")
    heat = Span(right(_heat(gpu), 7), "warn" if (gpu.temperature_c or 0) >= _HOT_C else "dim")
    why = ", ".join(map(clean, gpu.throttle or ()))
    slowed = [Span(f"  {cut(why, 24)}", "warn")] if why else []
    if height >= 3:
        clocks = words.MISSING if gpu.clock_mhz is None else f"{gpu.clock_mhz:.0f} MHz"
        facts = (Span("   "), Span(f"{_power(gpu)}  {_heat(gpu)}  {clocks}", "dim"))
        return [(*load, Span("  use", "dim"), *slowed), (Span("   "), *mem), facts]
    if height == 2:
        return [(*load, power, heat), (Span("   "), *mem, *slowed)]
    return [(*load, Span("  "), *mem, *((power, heat) if width >= 70 else ()), *slowed)]


def gpu_line(gpu: Gpu, ascii: bool, width: int) -> Line:
    """One GPU without its graph."""
    return fit(_gpu_numbers(gpu, ascii, width, 1)[0], width)


def meter(share: float | None, width: int, ascii: bool) -> list[Span]:
    """A bar; of an unknown share, dots."""
    full, empty = bar(share, width, ascii=ascii)
    return [Span(full, load_role(None if share is None else 100 * share, "bar")),
            Span(empty, "bar-empty")]  # fmt: skip


def load_role(percent: float | None, calm: str = "") -> str:
    if percent is None:
        return "dim"
    return "bad" if percent >= 98 else "warn" if percent >= 90 else calm


def _power(gpu: Gpu) -> str:
    if gpu.power_w is None:
        return words.MISSING
    limit = "" if gpu.power_limit_w is None else f"/{gpu.power_limit_w:.0f}"
    return f"{gpu.power_w:.0f}{limit} W"


def _heat(gpu: Gpu) -> str:
    return words.MISSING if gpu.temperature_c is None else f"{gpu.temperature_c:.0f} °C"


def _host(scene: Scene, snapshot: Snapshot, width: int, height: int) -> Block:
    host = snapshot.host
    if height >= 3:
        return _host_graphs(scene, host, width, height)
    total, free = host.memory_total_bytes, host.memory_available_bytes
    used = total - free if total is not None and free is not None else None
    share = used / total if used is not None and total else None
    cpu = None if host.cpu_percent is None else host.cpu_percent / 100
    size = 10 if width >= 70 else 6
    ascii = scene.ui.ascii
    spans = [Span("cpu ", "dim"), *meter(cpu, size, ascii), Span(right(words.percent(cpu), 5)),
             Span("   mem ", "dim"), *meter(share, size, ascii),
             Span(f" {words.used(used, total)}")]  # fmt: skip
    if width >= 90:
        spans += [Span(f"   load {_number(host.load_1m)} / {_cores(host)}", "dim")]
        if host.disk is not None:
            spans += [Span(f"   disk {words.size(host.disk.free_bytes)} free", "dim")]
    return [fit(spans, width)]


def _host_graphs(scene: Scene, host: Host, width: int, height: int) -> Block:
    half = (width - 2) // 2
    total, free = host.memory_total_bytes, host.memory_available_bytes
    used = total - free if total is not None and free is not None else None
    cpu = None if host.cpu_percent is None else host.cpu_percent / 100
    cores = f"{_cores(host)}, load {_number(host.load_1m)}"
    disk = ""
    if host.disk is not None:
        disk = f"disk {words.size(host.disk.free_bytes)} free"
    heads = (
        [Span("cpu ", "dim"), Span(words.percent(cpu), "strong"), Span(f"  {cores}", "dim")],
        [Span("mem ", "dim"), Span(words.used(used, total), "strong"), Span(f"  {disk}", "dim")],
    )
    columns: list[Block] = []
    for head, what, role, own in zip(
        heads, ("cpu", "memory"), ("graph-gpu", "graph-in"), (half, width - 2 - half), strict=True
    ):
        values = scene.picture.series("", what, *_span(scene, own))
        drawn = graph(values, own, height - 1, top=100.0, ascii=scene.ui.ascii)
        columns.append([fit(head, own), *((Span(line, role),) for line in drawn)])
    gap: Callable[[Line, Line], Line] = lambda one, two: (*one, Span("  "), *two)  # noqa: E731
    return [gap(one, two) for one, two in zip(*columns, strict=True)]


def _number(value: float | None) -> str:
    return words.MISSING if value is None else f"{value:.1f}"


def _cores(host: Host) -> str:
    return words.MISSING if host.cores is None else words.plural(host.cores, "core")
