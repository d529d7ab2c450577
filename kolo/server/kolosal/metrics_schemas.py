"""Kolosal's metrics. Where its code and its documents name a number differently, both are sent.

Times are milliseconds, rates are per second: TPS is all tokens over the time from submit to end,
output TPS those written over the time from the first token to the last, RPS requests over the
same time as TPS, which makes it one over the mean latency.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

SERVER = "kolo"

DESCRIPTIONS = {
    "tps": "Tokens in and out, over the time from submit to end, per second",
    "output_tps": "Tokens written, over the time from the first to the last, per second",
    "ttft": "Time from submit to the first token, in milliseconds",
    "rps": "Completed requests over the sum of their times, per second",
}

# Completions -----------------------------------------------------------------------------


class Summary(Struct, kw_only=True):
    """All engines. ``average_*`` rates are means over engines, weighted by their requests."""

    total_requests: Annotated[int, Meta(description="Those that still run included.")]
    active_requests: int
    completed_requests: int
    failed_requests: int
    cancelled_requests: int
    success_rate_percent: Annotated[
        float, Meta(description="Completed of those that completed or failed.")
    ]
    total_input_tokens: int
    total_cached_tokens: int
    total_output_tokens: int
    total_tokens: int
    average_tps: float
    average_output_tps: float
    average_ttft_ms: float
    average_rps: float
    total_turnaround_time_ms: float
    total_output_generation_time_ms: float
    avg_turnaround_time_ms: float
    avg_tps: float
    avg_output_tps: float
    avg_ttft_ms: float
    avg_rps: float


class EngineRequests(Struct, kw_only=True):
    total: int
    active: int
    completed: int
    failed: int
    cancelled: int
    rejected: Annotated[int, Meta(description="Turned away: the queue was full.")]
    success_rate_percent: float


class EngineTokens(Struct, kw_only=True):
    input_total: int
    cached_total: int
    output_total: int
    total: int
    average_input_per_request: float
    average_output_per_request: float


class EnginePerformance(Struct, kw_only=True):
    tps: float
    output_tps: float
    average_ttft_ms: float
    rps: float
    average_turnaround_time_ms: float
    average_output_generation_time_ms: float


class TimingTotals(Struct, kw_only=True):
    total_turnaround_time_ms: float
    total_time_to_first_token_ms: float
    total_output_generation_time_ms: float


class EngineMetrics(Struct, kw_only=True):
    engine_id: str
    model_name: str
    requests: EngineRequests
    tokens: EngineTokens
    performance: EnginePerformance
    timing_totals: TimingTotals
    last_updated: Annotated[str | None, Meta(description="When its last request ended.")]


class FlatEngineMetrics(Struct, kw_only=True):
    """An engine in the form of Kolosal's documents."""

    model_name: str
    engine_id: str
    total_requests: int
    completed_requests: int
    failed_requests: int
    total_input_tokens: int
    total_output_tokens: int
    tps: float
    output_tps: float
    avg_ttft: float
    rps: float
    last_updated: str | None


class MetricsMetadata(Struct, kw_only=True):
    version: str = "1.0"
    server: str = SERVER
    active_engines: int
    metrics_descriptions: dict[str, str] = field(default_factory=DESCRIPTIONS.copy)


class CompletionMetrics(Struct, kw_only=True):
    summary: Summary
    per_engine_metrics: list[EngineMetrics]
    per_engine: list[FlatEngineMetrics]
    metadata: MetricsMetadata
    timestamp: str


class CompletionMetricsReply(Struct, kw_only=True):
    completion_metrics: CompletionMetrics
    timestamp: str


class EngineMetricsReply(Struct, kw_only=True):
    """One engine by itself, and in the form of the list."""

    engine_metrics: EngineMetrics
    completion_metrics: CompletionMetrics
    timestamp: str


# System ----------------------------------------------------------------------------------


class CpuLoad(Struct, kw_only=True):
    usage_percent: float | None


class Memory(Struct, kw_only=True):
    total_bytes: int
    used_bytes: int
    free_bytes: int
    utilization_percent: float | None
    total_formatted: str
    used_formatted: str
    free_formatted: str


class GpuLoad(Struct, kw_only=True):
    gpu_percent: float | None
    memory_percent: float | None


class GpuMemory(Struct, kw_only=True):
    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    total_formatted: str | None
    used_formatted: str | None
    free_formatted: str | None


class GpuReading(Struct, kw_only=True):
    """Readings that a GPU does not give are null."""

    id: int
    name: str
    vendor: str
    utilization: GpuLoad
    memory: GpuMemory
    temperature_celsius: float | None
    power_usage_watts: float | None
    driver_version: str | None


class SystemSummary(Struct, kw_only=True):
    cpu_usage_percent: float | None
    ram_utilization_percent: float | None
    gpu_count: int
    average_gpu_utilization_percent: float | None
    average_vram_utilization_percent: float | None


class Capabilities(Struct, kw_only=True):
    cpu: bool
    memory: bool
    gpu: bool


class SystemMetadata(Struct, kw_only=True):
    version: str = "1.0"
    server: str = SERVER
    monitoring_capabilities: Capabilities


class SystemMetrics(Struct, kw_only=True):
    timestamp: str
    cpu: CpuLoad
    memory: Memory
    gpus: list[GpuReading]
    gpu_monitoring_available: bool
    summary: SystemSummary
    metadata: SystemMetadata


# Both ------------------------------------------------------------------------------------


class SystemDigestSummary(SystemSummary, kw_only=True):
    total_vram_gb: float | None = None
    used_vram_gb: float | None = None
    vram_utilization_percent: float | None = None


class SystemDigest(Struct, kw_only=True):
    """In the form of Kolosal's documents."""

    cpu: CpuLoad
    memory: Memory
    gpus: list[GpuReading]
    summary: SystemDigestSummary


class EngineDigest(Struct, kw_only=True):
    engine_id: str
    requests: int
    success_rate_percent: float
    tokens_processed: int
    average_tps: float
    average_ttft_ms: float


class CompletionDigest(Struct, kw_only=True):
    """In the form of Kolosal's documents."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    success_rate_percent: float
    total_tokens_processed: int
    average_tokens_per_second: float
    average_time_to_first_token_ms: float
    requests_per_second: float
    active_requests: int
    engines: list[EngineDigest]


class CombinedMetrics(Struct, kw_only=True):
    system_metrics: SystemMetrics
    completion_metrics: CompletionMetricsReply
    timestamp: str
    system: SystemDigest
    completion: CompletionDigest
