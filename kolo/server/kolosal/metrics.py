"""Metrics: Kolosal's JSON, and Prometheus text at /metrics for whoever does not prefer JSON.

They read what was counted. No model is woken, and none is kept awake.
"""

from __future__ import annotations

import time

from quart import Response, request

from kolo.errors import BadParameter, ModelNotFound
from kolo.server.kolosal import system
from kolo.server.kolosal.adding import find
from kolo.server.kolosal.counting import (
    all_counted,
    completion_digest,
    completion_metrics,
    counted,
    engine_metrics,
    iso_time,
)
from kolo.server.kolosal.metrics_schemas import (
    CombinedMetrics,
    CompletionMetricsReply,
    EngineMetricsReply,
    SystemMetrics,
)
from kolo.server.route import READ, Route, json_reply
from kolo.server.scrape import MetricsQuery, scrape
from kolo.server.service import Service

TAG = "Metrics"


async def prometheus_or_json(service: Service, query: MetricsQuery) -> Response:
    accepted = request.accept_mimetypes
    if accepted.quality("application/json") > accepted.quality("text/plain"):
        return json_reply(await _combined(service))
    return await scrape(service, query)


async def combined_metrics(service: Service) -> Response:
    return json_reply(await _combined(service))


async def system_metrics(service: Service) -> Response:
    return json_reply(await system.system_metrics(service, iso_time(time.time())))


async def completions(service: Service) -> Response:
    return json_reply(await _completions(service, iso_time(time.time())))


async def engine_completions(service: Service, id: str) -> Response:
    one = counted(service, await find(service, id, None, "engine_id"))
    now = iso_time(time.time())
    return json_reply(
        EngineMetricsReply(
            engine_metrics=engine_metrics(one),
            completion_metrics=completion_metrics(one.tally, [one], now),
            timestamp=now,
        )
    )


async def _completions(service: Service, now: str) -> CompletionMetricsReply:
    engines = await all_counted(service)
    metrics = completion_metrics(service.monitor.completions.overall, engines, now)
    return CompletionMetricsReply(completion_metrics=metrics, timestamp=now)


async def _combined(service: Service) -> CombinedMetrics:
    now = iso_time(time.time())
    measured = await system.system_metrics(service, now)
    completions = await _completions(service, now)
    return CombinedMetrics(
        system_metrics=measured,
        completion_metrics=completions,
        timestamp=now,
        system=system.system_digest(measured),
        completion=completion_digest(completions.completion_metrics),
    )


_COMPLETION_PATHS = (
    "/metrics/completion",
    "/v1/metrics/completion",
    "/completion-metrics",
    "/v1/completion-metrics",
    "/completion/metrics",
)

ROUTES = [
    Route(
        method="GET",
        paths=("/metrics",),
        scopes=READ,
        handler=prometheus_or_json,
        tag=TAG,
        summary="Counters as Prometheus text, or as /v1/metrics where Accept prefers JSON",
        query=MetricsQuery,
        content_type="text/plain",
        json=CombinedMetrics,
        errors=(ModelNotFound,),
    ),
    Route(
        method="GET",
        paths=("/v1/metrics",),
        scopes=READ,
        handler=combined_metrics,
        tag=TAG,
        summary="The host and the answers in one",
        reply=CombinedMetrics,
    ),
    Route(
        method="GET",
        paths=("/metrics/system", "/v1/metrics/system", "/system/metrics"),
        scopes=READ,
        handler=system_metrics,
        tag=TAG,
        summary="Processor, memory and GPUs of the host",
        reply=SystemMetrics,
    ),
    Route(
        method="GET",
        paths=_COMPLETION_PATHS,
        scopes=READ,
        handler=completions,
        tag=TAG,
        summary="Requests, tokens and times, for all engines and for each",
        reply=CompletionMetricsReply,
    ),
    Route(
        method="GET",
        paths=("/metrics/completion/<path:id>", "/v1/metrics/completion/<path:id>"),
        scopes=READ,
        handler=engine_completions,
        tag=TAG,
        summary="The same for one engine",
        reply=EngineMetricsReply,
        errors=(ModelNotFound, BadParameter),
    ),
]
