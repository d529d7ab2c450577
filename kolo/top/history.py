"""What the server remembers of the time before this program began: graphs of longer ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from kolo.client.http import Http
from kolo.top.session import Past, Picture

ROUTE = "/v1/monitor/history"
AGAIN_S = 60.0
"""History grows by a point a minute at most; asking more often would tell nothing new."""
_ENGINE = "output_tokens,prompt_tokens,cached_tokens,ttft_ms,kv_share"
_HOST = "host_cpu_percent,host_memory_used_bytes"
_GPU = "gpu_utilization_percent"


class Point(Struct, frozen=True):
    at: float
    per_s: float | None = None
    mean: float | None = None
    p50: float | None = None


class Series(Struct, frozen=True):
    metric: str
    points: list[Point]


class Answer(Struct, frozen=True):
    series: list[Series]


def wanted_span(range_name: str) -> float | None:
    """Seconds to ask for, of a range that the screen itself does not hold; else None."""
    return {"15m": 900.0, "1h": 3600.0, "24h": 86_400.0}.get(range_name)


async def fetch(url: str, picture: Picture, span_s: float, engine: str) -> Past:
    """Points of the last ``span_s`` seconds for ``engine``, the host and each GPU, oldest first,
    on the time axis of ``picture``. Raises what the server answers."""
    snapshot = picture.snapshot
    if snapshot is None:
        return {}
    past: Past = {}
    axis_s = picture.at_s - snapshot.at  # from the server's clock to the axis of the tracks

    def put(owner: str, what: str, points: Iterable[tuple[float, float | None]]) -> None:
        past[owner, what] = [(at + axis_s, value) for at, value in points]

    async with Http(url) as http:

        async def ask(metrics: str, **more: str) -> dict[str, list[Point]]:
            query = {"metric": metrics, "from": f"-{span_s:.0f}", **more}
            answer: Answer = await http.get(ROUTE, Answer, query=query)
            return {one.metric: one.points for one in answer.series}

        if engine:
            told = await ask(_ENGINE, engine=engine)
            put(engine, "out", _each(told.get("output_tokens", []), lambda p: p.per_s))
            put(engine, "in", _computed(told))
            put(engine, "ttft", _each(told.get("ttft_ms", []), lambda p: p.p50))
            put(engine, "kv", _each(told.get("kv_share", []), lambda p: _times(p.mean, 100)))
        told = await ask(_HOST)
        put("", "cpu", _each(told.get("host_cpu_percent", []), lambda p: p.mean))
        if total := snapshot.host.memory_total_bytes:
            used = told.get("host_memory_used_bytes", [])
            put("", "memory", _each(used, lambda p: _times(p.mean, 100 / total)))
        for gpu in snapshot.gpus:
            told = await ask(_GPU, gpu=gpu.id)
            put(gpu.id, "gpu", _each(told.get(_GPU, []), lambda p: p.mean))
    return past


def _each(
    points: Iterable[Point], value: Callable[[Point], float | None]
) -> list[tuple[float, float | None]]:
    return [(point.at, value(point)) for point in points]


def _computed(told: dict[str, list[Point]]) -> list[tuple[float, float | None]]:
    """Prompt tokens really computed: those that no cache held."""
    cached = {point.at: point.per_s or 0.0 for point in told.get("cached_tokens", [])}
    return [
        (p.at, None if p.per_s is None else max(p.per_s - cached.get(p.at, 0.0), 0.0))
        for p in told.get("prompt_tokens", [])
    ]


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
