"""What a collector of OpenTelemetry gets of a server, over OTLP/HTTP on loopback."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from serving import ENDLESS, House, fake, house, served

from kolo.config import OtelSettings
from kolo.errors import ConfigError
from kolo.types import Generate, Prompt

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECRET = "xyzzy-never-to-be-told"


@dataclass
class Collector:
    """Keeps what is sent to it."""

    url: str = ""
    status: int = 200
    spans: list[Any] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        self.bodies.append(body)
        self.headers.append(headers)
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(resource.resource))
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            return ExportTraceServiceResponse().SerializeToString()
        assert path == "/v1/metrics"
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}
        return ExportMetricsServiceResponse().SerializeToString()


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            reply = kept.take(self.path, dict(self.headers), body)
            self.send_response(kept.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


@asynccontextmanager
async def exporting(place: House, **settings: Any) -> AsyncIterator[None]:
    """Everything is sent by the time the block is left."""
    monitor = place.app.service.monitor
    monitor.url = "http://127.0.0.1:8123"
    async with monitor.exporting(OtelSettings(enabled=True, **settings)):
        yield


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, specs=[fake("a"), fake("long", ENDLESS, ctx=512)]) as made:
        yield made


def attributes(of: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(one) for one in value.array_value.values]
        return getattr(value, kind)

    return {one.key: plain(one.value) for one in of.attributes}


def points(collector: Collector, name: str) -> list[Any]:
    return list(collector.metrics[name].histogram.data_points)


# Spans -----------------------------------------------------------------------------------


async def test_a_request_is_a_span_with_the_conventions_names(
    place: House, collector: Collector
) -> None:
    async with exporting(place, endpoint=collector.url):
        reply = await place.chat(
            model="a", max_tokens=7, temperature=0.5, top_p=0.9, seed=3, stop=["never"]
        )
    usage = reply.json["usage"]
    (span,) = collector.spans
    found = attributes(span)
    assert span.name == "chat a"
    assert span.kind == span.SPAN_KIND_SERVER
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "kolo",
        "gen_ai.request.model": "a",
        "gen_ai.response.model": "a",
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.seed": 3,
        "gen_ai.output.type": "text",
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": [reply.json["choices"][0]["finish_reason"]],
        "server.address": "127.0.0.1",
        "server.port": 8123,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    wall_ms = place.sink.requests[0].wall_ms
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 == pytest.approx(wall_ms)
    assert 0 < found["kolo.time_to_first_token_ms"] <= wall_ms
    assert collector.resources[0]["service.name"] == "kolo"


async def test_each_kind_of_request_has_its_operation(tmp_path: Path, collector: Collector) -> None:
    specs = [fake("a"), fake("e", pooling="mean")]
    async with house(tmp_path, specs=specs) as place, exporting(place, endpoint=collector.url):
        assert (await place.complete(model="a", max_tokens=2)).status == 200
        body = {"model": "e", "input": "hello"}
        embedded = await place.post("/v1/embeddings", body)
        assert embedded.status == 200, embedded.body
    names = [span.name for span in collector.spans]
    assert names == ["text_completion a", "embeddings e"]
    tokens = embedded.json["usage"]["prompt_tokens"]
    assert attributes(collector.spans[1])["gen_ai.usage.input_tokens"] == tokens


async def test_a_traceparent_makes_the_span_part_of_the_clients_trace(
    place: House, collector: Collector
) -> None:
    async with exporting(place, endpoint=collector.url), served(place) as server:
        body = {"model": "a", "prompt": "x", "max_tokens": 3}
        for headers in (
            {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "kolo=1"},
            {},
            {"traceparent": "nonsense"},
        ):
            streamed = {**body, "stream": True}
            for sent in (body, streamed):
                reply = await server.client.post("/v1/completions", json=sent, headers=headers)
                assert reply.status_code == 200
    one, two, *others = collector.spans
    for span in (one, two):
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id.hex() == PARENT
        assert span.trace_state == "kolo=1"
    assert len({span.trace_id for span in others}) == 4
    assert not any(span.parent_span_id for span in others)


async def test_a_client_that_asks_not_to_be_sampled_is_not(
    place: House, collector: Collector
) -> None:
    async with exporting(place, endpoint=collector.url), served(place) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
        body = {"model": "a", "prompt": "x", "max_tokens": 3}
        await server.client.post("/v1/completions", json=body, headers=headers)
    assert collector.spans == []
    assert points(collector, "gen_ai.server.request.duration")[0].count == 1


async def test_failures_and_clients_that_leave_are_told_apart(
    place: House, collector: Collector
) -> None:
    async with exporting(place, endpoint=collector.url):
        too_long = await place.complete(model="long", prompt="x" * 2000)
        assert too_long.status == 400
        ask = Generate(input=Prompt(text="hello"))
        async with place.manager.lease("long") as engine, engine.submit(ask) as stream:
            await anext(stream)
        await place.sink.until(lambda: len(place.sink.requests) == 2)
    failed, left = collector.spans
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == failed.status.message == "context_length_exceeded"
    assert left.status.code == left.status.STATUS_CODE_UNSET
    assert attributes(left)["kolo.cancelled"] is True
    assert "error.type" not in attributes(left)


async def test_no_text_of_anybody_is_ever_sent(place: House, collector: Collector) -> None:
    async with exporting(place, endpoint=collector.url):
        tool = {"type": "function", "function": {"name": "f", "description": SECRET}}
        schema = {"type": "object", "properties": {SECRET: {"type": "string"}}}
        for more in (
            {"stop": [SECRET], "user": SECRET},
            {"tools": [tool]},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": schema},
                }
            },
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": {"type": SECRET}},
                }
            },
        ):
            await place.chat(SECRET, model="a", max_tokens=40, **more)
        answers = [await place.complete(SECRET * 3, model="a", max_tokens=40, echo=True)]
    assert len(collector.spans) >= 4
    sent = b"".join(collector.bodies)
    assert SECRET.encode() not in sent
    for answer in answers:
        assert answer.json["choices"][0]["text"][-20:].encode() not in sent


# Metrics ---------------------------------------------------------------------------------


async def test_metrics_have_the_conventions_names_units_and_numbers(
    place: House, collector: Collector
) -> None:
    async with exporting(place, endpoint=collector.url):
        for _ in range(3):
            await place.complete(model="a", max_tokens=5)
    assert {name: metric.unit for name, metric in collector.metrics.items()} == {
        "gen_ai.server.request.duration": "s",
        "gen_ai.server.time_to_first_token": "s",
        "gen_ai.server.time_per_output_token": "s",
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.token.usage": "{token}",
    }
    requests = place.sink.requests
    (duration,) = points(collector, "gen_ai.server.request.duration")
    assert duration.count == 3
    assert duration.sum == pytest.approx(sum(one.wall_ms for one in requests) / 1000)
    assert duration.explicit_bounds[0] == 0.01
    (first,) = points(collector, "gen_ai.server.time_to_first_token")
    assert first.sum == pytest.approx(sum(one.ttft_ms or 0 for one in requests) / 1000)
    (per_token,) = points(collector, "gen_ai.server.time_per_output_token")
    assert per_token.sum == pytest.approx(sum(one.decode_ms / 4 for one in requests) / 1000)
    assert attributes(per_token)["gen_ai.request.model"] == "a"
    tokens = {
        attributes(p)["gen_ai.token.type"]: p
        for p in points(collector, "gen_ai.client.token.usage")
    }
    assert tokens["output"].sum == 15
    assert tokens["input"].count == 3


# Settings and trouble --------------------------------------------------------------------


async def test_the_standard_variables_hold(
    place: House, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chatter")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    async with exporting(place):
        await place.complete(model="a", max_tokens=2)
    assert len(collector.spans) == 1
    assert collector.resources[0]["service.name"] == "chatter"
    assert collector.resources[0]["deployment.environment.name"] == "test"
    assert all(headers.get("x-tenant") == "blue" for headers in collector.headers)


async def test_a_collector_that_is_away_costs_no_request_and_no_stop(
    place: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kolo.monitor import otel

    monkeypatch.setattr(otel, "CLOSE_S", 1.0)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    async with asyncio.timeout(30), exporting(place, endpoint="http://127.0.0.1:9"):
        for _ in range(5):
            assert (await place.complete(model="a", max_tokens=2)).status == 200
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("OpenTelemetry: ")
    assert "127.0.0.1" in told


async def test_without_the_packages_it_says_what_to_install(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kolo.monitor

    monkeypatch.delitem(sys.modules, "kolo.monitor.otel", raising=False)
    monkeypatch.delattr(kolo.monitor, "otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match="cannot be imported") as caught:
        async with exporting(place):
            pass
    assert "kolo-llm[otel]" in caught.value.hint
    assert caught.value.param == "otel.enabled"


async def test_off_nobody_is_told(place: House, collector: Collector) -> None:
    async with place.app.service.monitor.exporting(OtelSettings(endpoint=collector.url)):
        assert (await place.complete(model="a", max_tokens=2)).status == 200
    assert collector.bodies == []


def test_off_it_is_not_imported() -> None:
    code = "import kolo.server.app, kolo.cli.serving, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in done.stdout
