"""``GET /metrics`` as Prometheus reads it. It looks at what is known: no model is asked, woken,
loaded or kept awake by it."""

from __future__ import annotations

import time

from msgspec import Struct
from quart import Response

import kolo
from kolo.monitor import prometheus
from kolo.monitor.prometheus import Names, View, Watched
from kolo.server.served import find_served
from kolo.server.service import Service
from kolo.snapshot import Snapshot


class MetricsQuery(Struct, frozen=True):
    names: Names = "kolo"
    """Kolo's own metrics, or those that vLLM or llama-server have too, under their names."""
    model: str | None = None
    """Only the metrics of this one, as with llama-server's router."""


async def scrape(service: Service, query: MetricsQuery) -> Response:
    """Raises ModelNotFound for a ``model`` that there is not."""
    only = (await find_served(service, query.model)).id if query.model is not None else None
    collector = service.monitor.collector
    snapshot = await collector.take() if collector is not None else Snapshot(at=time.time())
    view = View(
        snapshot=snapshot,
        engines=[
            Watched(engine, service.monitor.completions.of(engine.id))
            for engine in snapshot.engines
            if only is None or engine.id == only
        ],
        version=kolo.__version__,
        started_at=service.started_at,
        cpu_s=time.process_time(),
    )
    text = prometheus.exposition(view, query.names)
    return Response(text, content_type=prometheus.CONTENT_TYPE)
