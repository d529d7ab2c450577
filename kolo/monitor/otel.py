"""OpenTelemetry: a span for each request and metrics, sent to a collector over OTLP/HTTP.

Names are those of the semantic conventions for generative AI
(https://github.com/open-telemetry/semantic-conventions-genai). No prompt, answer, stop string or
error text is ever in them. What the SDK reads from OTEL_ variables holds: headers, sampler, batch
sizes, intervals, resource. The SDK has a thread for spans and one for metrics; a collector that is
slow or away costs what it was to be sent, and no request waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from os import environ
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import kolo
from kolo.config import OtelSettings
from kolo.manager.sink import Finished, NullSink
from kolo.types import Chat, Embed, Embedded, Generate, Generated, Reranked, Sampling

PROVIDER = "kolo"
CLOSE_S = 3.0
"""For what was not sent yet, when the server stops."""
TROUBLE_EVERY_S = 600.0

log = logging.getLogger(__name__)

_DURATION_S = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**exponent) for exponent in range(14))
"""These four as the conventions say."""

METRICS: tuple[tuple[str, str, str, tuple[float, ...]], ...] = (
    ("gen_ai.server.request.duration", "s", "Submit to end.", _DURATION_S),
    ("gen_ai.server.time_to_first_token", "s", "Submit to the first token, of requests that ended"
     " well.", _FIRST_TOKEN_S),
    ("gen_ai.server.time_per_output_token", "s", "First token to last over the tokens after the"
     " first, likewise.", _PER_TOKEN_S),
    ("gen_ai.client.operation.duration", "s", "The same as gen_ai.server.request.duration, for"
     " dashboards made for clients.", _DURATION_S),
    ("gen_ai.client.token.usage", "{token}", "Tokens of a request, by gen_ai.token.type.", _TOKENS),
)  # fmt: skip
"""Name, unit, meaning, bounds."""

Value = str | int | float | bool | tuple[str, ...]
Attributes = dict[str, Value]


@asynccontextmanager
async def exporting(settings: OtelSettings, url: Callable[[], str]) -> AsyncIterator[Telemetry]:
    """A sink whose telling is exported for as long as the block runs, and at its end what is left,
    in ``CLOSE_S`` at most. ``url`` is where the server answers."""
    telemetry, trouble = Telemetry(settings, url), _Trouble(logging.WARNING)
    sdk = logging.getLogger("opentelemetry")
    sdk.addHandler(trouble)
    sdk.propagate = False
    try:
        yield telemetry
    finally:
        await _close(telemetry)
        sdk.removeHandler(trouble)
        sdk.propagate = True


class _Trouble(logging.Handler):
    """What the SDK says, a line now and then: it repeats itself with each try."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._quiet_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + TROUBLE_EVERY_S
            log.warning("OpenTelemetry: %s", textwrap.shorten(record.getMessage(), 300))


async def _close(telemetry: Telemetry) -> None:
    """On a thread that neither the event loop nor the end of the process waits for: a collector
    may hang."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def close() -> None:
        telemetry.close()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="kolo otel close", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await closed.wait()


class Telemetry(NullSink):
    """A sink of the manager."""

    def __init__(self, settings: OtelSettings, url: Callable[[], str]) -> None:
        resource = _resource()
        base = settings.endpoint.rstrip("/")
        spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces" if base else None)
        points = OTLPMetricExporter(endpoint=f"{base}/v1/metrics" if base else None)
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(BatchSpanProcessor(spans))
        self._metrics = MeterProvider(
            [PeriodicExportingMetricReader(points)], resource, shutdown_on_exit=False
        )
        self._tracer = self._traces.get_tracer("kolo", kolo.__version__)
        meter = self._metrics.get_meter("kolo", kolo.__version__)
        self._instruments: dict[str, Histogram] = {
            name: meter.create_histogram(
                name, unit=unit, description=text, explicit_bucket_boundaries_advisory=bounds
            )
            for name, unit, text, bounds in METRICS
        }
        self._propagator = TraceContextTextMapPropagator()
        self._url = url

    def close(self) -> None:
        """Send what is left. Blocks until the exporters give up."""
        self._traces.shutdown()
        self._metrics.shutdown()

    def finished(self, id: str, request: Finished) -> None:
        ended_ns = time.time_ns()
        common = self._common(id, request)
        context = self._span(id, request, common, ended_ns)
        self._measure(request, common, context)

    def _span(
        self, id: str, request: Finished, common: Mapping[str, Value], ended_ns: int
    ) -> Context:
        span = self._tracer.start_span(
            f"{common['gen_ai.operation.name']} {id}",
            context=self._parent(request),
            kind=SpanKind.SERVER,
            start_time=ended_ns - int(request.wall_ms * 1e6),
            attributes={**common, **_asked(request), **_answered(request)},
        )
        if request.error is not None and not request.cancelled:
            span.set_status(Status(StatusCode.ERROR, request.error.code))
        span.end(end_time=ended_ns)
        return set_span_in_context(span)

    def _parent(self, request: Finished) -> Context:
        """Of the client's trace, if its headers name one; never of anything else."""
        carrier = {name: value for name, value in request.trace._asdict().items() if value}
        return self._propagator.extract(carrier, context=Context())

    def _measure(self, request: Finished, common: Mapping[str, Value], context: Context) -> None:
        def record(name: str, value: float, **more: Value) -> None:
            attributes = {**common, **{f"gen_ai.token.{key}": of for key, of in more.items()}}
            self._instruments[name].record(value, attributes, context)

        record("gen_ai.server.request.duration", request.wall_ms / 1000)
        record("gen_ai.client.operation.duration", request.wall_ms / 1000)
        if request.error is not None or request.cancelled:
            return
        match request.result:
            case Generated(usage=usage):
                record("gen_ai.client.token.usage", usage.prompt_tokens, type="input")
                record("gen_ai.client.token.usage", usage.completion_tokens, type="output")
                if request.ttft_ms is not None:
                    record("gen_ai.server.time_to_first_token", request.ttft_ms / 1000)
                if usage.completion_tokens > 1:
                    per_token_ms = request.decode_ms / (usage.completion_tokens - 1)
                    record("gen_ai.server.time_per_output_token", per_token_ms / 1000)
            case Embedded(prompt_tokens=tokens) | Reranked(prompt_tokens=tokens):
                record("gen_ai.client.token.usage", tokens, type="input")

    def _common(self, id: str, request: Finished) -> Attributes:
        """What spans and metrics have alike."""
        attributes: Attributes = {
            "gen_ai.operation.name": _operation(request),
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": id,
            "gen_ai.response.model": id,
        }
        address = urlsplit(self._url())
        if address.hostname:
            attributes["server.address"] = address.hostname
            attributes["server.port"] = address.port or 80
        if request.error is not None and not request.cancelled:
            attributes["error.type"] = request.error.code
        return attributes


def _operation(request: Finished) -> str:
    match request.asked:
        case Generate(input=Chat()):
            return "chat"
        case Generate():
            return "text_completion"
        case Embed():
            return "embeddings"
        case _:
            return request.kind


def _asked(request: Finished) -> Attributes:
    """The parameters that the request gave; no text of it."""
    asked = request.asked
    if not isinstance(asked, Generate):
        return {}
    json = asked.constraint is not None and (
        asked.constraint.json_object or asked.constraint.json_schema is not None
    )
    found: Attributes = {"gen_ai.output.type": "json" if json else "text"}
    if asked.max_tokens is not None:
        found["gen_ai.request.max_tokens"] = asked.max_tokens
    if asked.n != 1:
        found["gen_ai.request.choice.count"] = asked.n
    for name, value in _sampling(asked.sampling):
        found[f"gen_ai.request.{name}"] = value
    return found


def _sampling(sampling: Sampling) -> Iterator[tuple[str, float]]:
    names = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
    for name in names:
        value = getattr(sampling, name)
        if value is not None:
            yield name, value


def _answered(request: Finished) -> Attributes:
    found: Attributes = {"kolo.request.id": request.request}
    if request.cancelled:
        found["kolo.cancelled"] = True
    if request.finish_reasons:
        found["gen_ai.response.finish_reasons"] = request.finish_reasons
    if request.ttft_ms is not None:
        found["kolo.time_to_first_token_ms"] = round(request.ttft_ms, 3)
    match request.result:
        case Generated(usage=usage, timings=timings):
            found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
            found["gen_ai.usage.output_tokens"] = usage.completion_tokens
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
            if usage.reasoning_tokens:
                found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
            found["kolo.queue_ms"] = round(timings.queue_ms, 3)
            found["kolo.prefill_ms"] = round(timings.prefill_ms, 3)
            found["kolo.decode_ms"] = round(request.decode_ms, 3)
        case Embedded(prompt_tokens=tokens) | Reranked(prompt_tokens=tokens):
            found["gen_ai.usage.input_tokens"] = tokens
    return found


def _resource() -> Resource:
    """Who speaks; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes first."""
    given = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own: dict[str, str] = {"service.version": kolo.__version__}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in given:
        own["service.name"] = "kolo"
    return Resource.create(own)
