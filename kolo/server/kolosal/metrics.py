"""Metrics: Kolosal's JSON, and Prometheus text at /metrics for whoever does not prefer JSON.

They read what was counted. No model is woken, and none is kept awake.
"""

from __future__ import annotations

import time

import msgspec
from quart import Response, request

from kolo.errors import BadParameter, ModelNotFound
from kolo.server.kolosal.adding import find
from kolo.server.kolosal.counting import (
    all_counted,
    completion_digest,
    completion_metrics,
    counted,
    engine_metrics,
    iso_time,
    ratio,
)
from kolo.server.kolosal.metrics_schemas import (
    Capabilities,
    CombinedMetrics,
    CompletionMetricsReply,
    CpuLoad,
    EngineMetricsReply,
    Memory,
    SystemDigest,
    SystemDigestSummary,
    SystemMetadata,
    SystemMetrics,
    SystemSummary,
)
from kolo.server.route import Route, json_reply
from kolo.server.scrape import MetricsQuery, scrape
from kolo.server.service import Service

TAG = "Metrics"


async def prometheus_or_json(service: Service, query: MetricsQuery) -> Response:
    accepted = request.accept_mimetypes
    if accepted.quality("application/json") > accepted.quality("text/plain"):
        return json_reply(_combined(service))
    return await scrape(service, query)


async def combined_metrics(service: Service) -> Response:
    return json_reply(_combined(service))


async def system_metrics(service: Service) -> Response:
    return json_reply(_system(service, iso_time(time.time())))


async def completions(service: Service) -> Response:
    return json_reply(_completions(service, iso_time(time.time())))


async def engine_completions(service: Service, id: str) -> Response:
    one = counted(service, find(service, id, None, "engine_id"))
    now = iso_time(time.time())
    return json_reply(
        EngineMetricsReply(
            engine_metrics=engine_metrics(one),
            completion_metrics=completion_metrics(one.tally, [one], now),
            timestamp=now,
        )
    )


def _completions(service: Service, now: str) -> CompletionMetricsReply:
    metrics = completion_metrics(service.monitor.completions.overall, all_counted(service), now)
    return CompletionMetricsReply(completion_metrics=metrics, timestamp=now)


def _combined(service: Service) -> CombinedMetrics:
    now = iso_time(time.time())
    system, completions = _system(service, now), _completions(service, now)
    summary = SystemDigestSummary(**msgspec.structs.asdict(system.summary))
    return CombinedMetrics(
        system_metrics=system,
        completion_metrics=completions,
        timestamp=now,
        system=SystemDigest(
            cpu=system.cpu, memory=system.memory, gpus=system.gpus, summary=summary
        ),
        completion=completion_digest(completions.completion_metrics),
    )


def _system(service: Service, now: str) -> SystemMetrics:
    host = service.monitor.host.read()
    total, free = host.memory_total_bytes, host.memory_available_bytes
    used_percent = ratio(100 * (total - free), total)
    return SystemMetrics(
        timestamp=now,
        cpu=CpuLoad(usage_percent=host.cpu_percent),
        memory=Memory(
            total_bytes=total,
            used_bytes=total - free,
            free_bytes=free,
            utilization_percent=used_percent,
            total_formatted=_formatted(total),
            used_formatted=_formatted(total - free),
            free_formatted=_formatted(free),
        ),
        gpus=[],
        gpu_monitoring_available=False,
        summary=SystemSummary(
            cpu_usage_percent=host.cpu_percent,
            ram_utilization_percent=used_percent,
            gpu_count=0,
            average_gpu_utilization_percent=None,
            average_vram_utilization_percent=None,
        ),
        metadata=SystemMetadata(
            monitoring_capabilities=Capabilities(
                cpu=host.cpu_percent is not None, memory=True, gpu=False
            )
        ),
    )


def _formatted(n_bytes: int) -> str:
    """As Kolosal writes it: 1024 bytes to the KB, two decimals."""
    size = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


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
        handler=combined_metrics,
        tag=TAG,
        summary="The host and the answers in one",
        reply=CombinedMetrics,
    ),
    Route(
        method="GET",
        paths=("/metrics/system", "/v1/metrics/system", "/system/metrics"),
        handler=system_metrics,
        tag=TAG,
        summary="Processor and memory of the host",
        reply=SystemMetrics,
    ),
    Route(
        method="GET",
        paths=_COMPLETION_PATHS,
        handler=completions,
        tag=TAG,
        summary="Requests, tokens and times, for all engines and for each",
        reply=CompletionMetricsReply,
    ),
    Route(
        method="GET",
        paths=("/metrics/completion/<path:id>", "/v1/metrics/completion/<path:id>"),
        handler=engine_completions,
        tag=TAG,
        summary="The same for one engine",
        reply=EngineMetricsReply,
        errors=(ModelNotFound, BadParameter),
    ),
]
