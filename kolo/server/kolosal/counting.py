"""From tallies to Kolosal's completion metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kolo.monitor.completions import Tally, Work
from kolo.server.kolosal.metrics_schemas import (
    CompletionDigest,
    CompletionMetrics,
    EngineDigest,
    EngineMetrics,
    EnginePerformance,
    EngineRequests,
    EngineTokens,
    FlatEngineMetrics,
    MetricsMetadata,
    Summary,
    TimingTotals,
)
from kolo.server.served import Served, served
from kolo.server.service import Service


@dataclass(frozen=True, slots=True)
class Rates:
    """Means over some completed requests; 0 where there is nothing to divide by."""

    tps: float
    output_tps: float
    ttft_ms: float
    rps: float
    turnaround_ms: float
    output_generation_ms: float

    @classmethod
    def of(cls, work: Work) -> Rates:
        tokens = work.prompt_tokens + work.completion_tokens
        return cls(
            tps=ratio(tokens * 1000, work.wall_ms),
            output_tps=ratio(work.completion_tokens * 1000, work.decode_ms),
            ttft_ms=ratio(work.ttft_ms, work.generated),
            rps=ratio(work.requests * 1000, work.wall_ms),
            turnaround_ms=ratio(work.wall_ms, work.requests),
            output_generation_ms=ratio(work.decode_ms, work.generated),
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """One engine with its numbers."""

    id: str
    name: str
    tally: Tally
    active: int
    loaded: bool
    rates: Rates


def counted(service: Service, one: Served) -> Counted:
    tally = service.monitor.completions.of(one.id)
    return Counted(
        id=one.id,
        name=Path(one.path).stem,
        tally=tally,
        active=one.engine.in_flight if one.engine is not None else 0,
        loaded=one.engine is not None and one.engine.state == "loaded",
        rates=Rates.of(tally.completed),
    )


async def all_counted(service: Service) -> list[Counted]:
    """Every engine that is loaded or ever did anything."""
    engines = [counted(service, one) for one in await served(service)]
    return [one for one in engines if one.loaded or one.active or one.tally != Tally()]


def completion_metrics(overall: Tally, engines: Sequence[Counted], now: str) -> CompletionMetrics:
    """``overall`` may hold more than ``engines``: those that were removed since."""
    return CompletionMetrics(
        summary=_summary(overall, engines),
        per_engine_metrics=[engine_metrics(one) for one in engines],
        per_engine=[_flat(one) for one in engines],
        metadata=MetricsMetadata(active_engines=sum(one.loaded for one in engines)),
        timestamp=now,
    )


def engine_metrics(one: Counted) -> EngineMetrics:
    tally, rates, work = one.tally, one.rates, one.tally.completed
    return EngineMetrics(
        engine_id=one.id,
        model_name=one.name,
        requests=EngineRequests(
            total=tally.finished + one.active,
            active=one.active,
            completed=work.requests,
            failed=tally.failed,
            cancelled=tally.cancelled.requests,
            rejected=tally.rejected,
            success_rate_percent=_success(tally),
        ),
        tokens=EngineTokens(
            input_total=tally.prompt_tokens,
            cached_total=tally.cached_tokens,
            output_total=tally.completion_tokens,
            total=tally.prompt_tokens + tally.completion_tokens,
            average_input_per_request=ratio(work.prompt_tokens, work.requests),
            average_output_per_request=ratio(work.completion_tokens, work.requests),
        ),
        performance=EnginePerformance(
            tps=rates.tps,
            output_tps=rates.output_tps,
            average_ttft_ms=rates.ttft_ms,
            rps=rates.rps,
            average_turnaround_time_ms=rates.turnaround_ms,
            average_output_generation_time_ms=rates.output_generation_ms,
        ),
        timing_totals=TimingTotals(
            total_turnaround_time_ms=round(work.wall_ms, 3),
            total_time_to_first_token_ms=round(work.ttft_ms, 3),
            total_output_generation_time_ms=round(work.decode_ms, 3),
        ),
        last_updated=iso_time(tally.updated_at) if tally.updated_at else None,
    )


def completion_digest(metrics: CompletionMetrics) -> CompletionDigest:
    summary = metrics.summary
    return CompletionDigest(
        total_requests=summary.total_requests,
        successful_requests=summary.completed_requests,
        failed_requests=summary.failed_requests,
        success_rate_percent=summary.success_rate_percent,
        total_tokens_processed=summary.total_tokens,
        average_tokens_per_second=summary.average_tps,
        average_time_to_first_token_ms=summary.average_ttft_ms,
        requests_per_second=summary.average_rps,
        active_requests=summary.active_requests,
        engines=[
            EngineDigest(
                engine_id=one.engine_id,
                requests=one.requests.total,
                success_rate_percent=one.requests.success_rate_percent,
                tokens_processed=one.tokens.total,
                average_tps=one.performance.tps,
                average_ttft_ms=one.performance.average_ttft_ms,
            )
            for one in metrics.per_engine_metrics
        ],
    )


def ratio(value: float, by: float) -> float:
    return round(value / by, 3) if by else 0.0


def iso_time(at: float) -> str:
    """Unix time as Kolosal writes it: UTC, milliseconds, Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _summary(overall: Tally, engines: Sequence[Counted]) -> Summary:
    active = sum(one.active for one in engines)
    work = overall.completed
    completed = [one.tally.completed.requests for one in engines]
    generated = [one.tally.completed.generated for one in engines]
    tps = _mean([one.rates.tps for one in engines], completed)
    output_tps = _mean([one.rates.output_tps for one in engines], generated)
    ttft_ms = _mean([one.rates.ttft_ms for one in engines], generated)
    rps = _mean([one.rates.rps for one in engines], completed)
    return Summary(
        total_requests=overall.finished + active,
        active_requests=active,
        completed_requests=work.requests,
        failed_requests=overall.failed,
        cancelled_requests=overall.cancelled.requests,
        success_rate_percent=_success(overall),
        total_input_tokens=overall.prompt_tokens,
        total_cached_tokens=overall.cached_tokens,
        total_output_tokens=overall.completion_tokens,
        total_tokens=overall.prompt_tokens + overall.completion_tokens,
        average_tps=tps,
        average_output_tps=output_tps,
        average_ttft_ms=ttft_ms,
        average_rps=rps,
        total_turnaround_time_ms=round(work.wall_ms, 3),
        total_output_generation_time_ms=round(work.decode_ms, 3),
        avg_turnaround_time_ms=ratio(work.wall_ms, work.requests),
        avg_tps=tps,
        avg_output_tps=output_tps,
        avg_ttft_ms=ttft_ms,
        avg_rps=rps,
    )


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    weighted = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return ratio(weighted, sum(weights))


def _success(tally: Tally) -> float:
    completed = tally.completed.requests
    return round(ratio(100 * completed, completed + tally.failed), 2)


def _flat(one: Counted) -> FlatEngineMetrics:
    tally, rates = one.tally, one.rates
    return FlatEngineMetrics(
        model_name=one.name,
        engine_id=one.id,
        total_requests=tally.finished + one.active,
        completed_requests=tally.completed.requests,
        failed_requests=tally.failed,
        total_input_tokens=tally.prompt_tokens,
        total_output_tokens=tally.completion_tokens,
        tps=rates.tps,
        output_tps=rates.output_tps,
        avg_ttft=rates.ttft_ms,
        rps=rates.rps,
        last_updated=iso_time(tally.updated_at) if tally.updated_at else None,
    )
