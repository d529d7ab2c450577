"""Kolosal's metrics and health: both sets of names, and numbers that are right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving import ENDLESS, House, fake, house, served

import kolo
from kolo.snapshot import Gpu
from kolo.types import Generate, Prompt

COMPLETION_PATHS = (
    "/metrics/completion",
    "/v1/metrics/completion",
    "/completion-metrics",
    "/v1/completion-metrics",
    "/completion/metrics",
)
SYSTEM_PATHS = ("/metrics/system", "/v1/metrics/system", "/system/metrics")


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[House]:
    specs = [fake("a"), fake("b"), fake("idle")]
    async with house(tmp_path, specs=specs, gpus=list) as made:
        yield made


async def counted(place: House, path: str = "/metrics/completion") -> Any:
    return (await place.get(path)).json["completion_metrics"]


# Numbers ---------------------------------------------------------------------------------


async def test_numbers_are_those_of_the_answers_per_engine_and_in_all(two: House) -> None:
    usages = [
        (await two.complete(model=model, prompt=prompt, max_tokens=n)).json["usage"]
        for model, prompt, n in (("a", "hello", 4), ("a", "hello there", 6), ("b", "x", 3))
    ]
    metrics = await counted(two)
    summary = metrics["summary"]
    assert summary["total_requests"] == summary["completed_requests"] == 3
    assert summary["active_requests"] == summary["failed_requests"] == 0
    assert summary["success_rate_percent"] == 100.0
    assert summary["total_input_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert summary["total_output_tokens"] == 4 + 6 + 3
    assert summary["total_tokens"] == sum(usage["total_tokens"] for usage in usages)
    engines = {one["engine_id"]: one for one in metrics["per_engine_metrics"]}
    assert set(engines) == {"a", "b"}
    assert engines["a"]["requests"]["completed"] == 2
    assert engines["a"]["tokens"]["output_total"] == 10
    assert engines["a"]["tokens"]["average_output_per_request"] == 5.0
    assert engines["b"]["tokens"]["input_total"] == 1
    assert engines["b"]["last_updated"].endswith("Z")
    assert metrics["metadata"]["active_engines"] == 2


async def test_rates_follow_from_the_times(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("a", {"row_ms": 2})]) as place:
        await place.complete(model="a", max_tokens=8)
        (one,) = (await counted(place))["per_engine_metrics"]
    totals, performance, tokens = one["timing_totals"], one["performance"], one["tokens"]
    turnaround_s = totals["total_turnaround_time_ms"] / 1000
    assert performance["tps"] == pytest.approx(tokens["total"] / turnaround_s, rel=1e-3)
    assert performance["rps"] == pytest.approx(1 / turnaround_s, rel=1e-3)
    decode_s = totals["total_output_generation_time_ms"] / 1000
    assert performance["output_tps"] == pytest.approx(8 / decode_s, rel=1e-2)
    assert performance["average_ttft_ms"] == pytest.approx(
        totals["total_time_to_first_token_ms"], rel=1e-3
    )


async def test_averages_are_weighted_by_completed_requests(two: House) -> None:
    for _ in range(3):
        await two.complete(model="a", max_tokens=2)
    await two.complete(model="b", max_tokens=9)
    metrics = await counted(two)
    rates = {one["engine_id"]: one["performance"] for one in metrics["per_engine_metrics"]}
    wanted = (3 * rates["a"]["tps"] + rates["b"]["tps"]) / 4
    assert metrics["summary"]["average_tps"] == pytest.approx(wanted, rel=1e-3)


async def test_failures_count_and_answers_that_were_given_up_do_not_as_such(
    tmp_path: Path,
) -> None:
    ask = Generate(input=Prompt(text="hello"))
    async with house(tmp_path, specs=[fake("a", ENDLESS, ctx=512)]) as place:
        await place.complete(model="a", prompt="x" * 2000)
        async with place.manager.lease("a") as engine, engine.submit(ask) as stream:
            await anext(stream)
            running = (await counted(place))["summary"]
            assert running["active_requests"] == 1
            assert running["total_requests"] == 2
        await place.sink.until(lambda: len(place.sink.requests) == 2)
        summary = (await counted(place))["summary"]
        assert summary["failed_requests"] == summary["cancelled_requests"] == 1
        assert summary["completed_requests"] == summary["active_requests"] == 0
        assert summary["success_rate_percent"] == 0.0
        assert summary["total_output_tokens"] >= 1


async def test_both_sets_of_names_say_the_same(two: House) -> None:
    await two.complete(model="a", max_tokens=4)
    metrics = await counted(two)
    summary = metrics["summary"]
    for name in ("tps", "output_tps", "ttft_ms", "rps"):
        assert summary[f"avg_{name}"] == summary[f"average_{name}"]
    (nested,), (flat,) = metrics["per_engine_metrics"], metrics["per_engine"]
    assert flat["engine_id"] == nested["engine_id"]
    assert flat["total_requests"] == nested["requests"]["total"]
    assert flat["total_input_tokens"] == nested["tokens"]["input_total"]
    assert flat["avg_ttft"] == nested["performance"]["average_ttft_ms"]
    assert flat["rps"] == nested["performance"]["rps"]


# Paths -----------------------------------------------------------------------------------


async def test_completion_metrics_have_many_paths(two: House) -> None:
    for path in COMPLETION_PATHS:
        reply = (await two.get(path)).json
        assert set(reply) == {"completion_metrics", "timestamp"}, path
        described = reply["completion_metrics"]["metadata"]["metrics_descriptions"]
        assert set(described) == {"tps", "output_tps", "ttft", "rps"}


async def test_one_engine_by_itself(two: House) -> None:
    await two.complete(model="a", max_tokens=4)
    for path in ("/metrics/completion/a", "/v1/metrics/completion/a"):
        reply = (await two.get(path)).json
        assert reply["engine_metrics"]["engine_id"] == "a"
        assert reply["engine_metrics"]["tokens"]["output_total"] == 4
        (only,) = reply["completion_metrics"]["per_engine_metrics"]
        assert only == reply["engine_metrics"]
    untouched = (await two.get("/metrics/completion/idle")).json
    assert untouched["engine_metrics"]["requests"]["total"] == 0
    missing = await two.get("/metrics/completion/none")
    assert (missing.status, missing.error["param"]) == (404, "engine_id")


async def test_system_metrics_add_up(two: House) -> None:
    (reply, *others) = [(await two.get(path)).json for path in SYSTEM_PATHS]
    assert all(set(other) == set(reply) for other in others)
    memory = reply["memory"]
    assert memory["used_bytes"] + memory["free_bytes"] == memory["total_bytes"] > 0
    assert memory["total_formatted"].endswith(("MB", "GB", "TB"))
    assert reply["summary"]["ram_utilization_percent"] == memory["utilization_percent"]
    assert reply["gpus"] == []
    assert reply["gpu_monitoring_available"] is False
    assert reply["summary"]["gpu_count"] == 0
    assert reply["summary"]["average_gpu_utilization_percent"] is None
    assert reply["metadata"]["monitoring_capabilities"]["gpu"] is False


async def test_gpus_are_told_with_what_is_known_of_them(tmp_path: Path) -> None:
    gpus = [
        Gpu(
            id="nvidia:0",
            vendor="nvidia",
            index=0,
            name="H200",
            driver="575",
            utilization_percent=80,
            memory_used_bytes=1 << 30,
            memory_total_bytes=4 << 30,
            power_w=500,
            temperature_c=60,
        ),
        Gpu(id="amd:0", vendor="amd", index=0, name="silent"),
    ]
    async with house(tmp_path, gpus=lambda: gpus) as place:
        reply = (await place.get("/metrics/system")).json
        both = (await place.get("/v1/metrics")).json
    first, second = reply["gpus"]
    assert (first["id"], first["name"], first["vendor"]) == (0, "H200", "NVIDIA")
    assert first["utilization"] == {"gpu_percent": 80, "memory_percent": 25}
    assert first["memory"]["free_bytes"] == 3 << 30
    assert first["memory"]["used_formatted"] == "1.00 GB"
    assert (first["temperature_celsius"], first["power_usage_watts"]) == (60, 500)
    assert second["utilization"] == {"gpu_percent": None, "memory_percent": None}
    assert second["memory"]["free_formatted"] is None
    assert reply["gpu_monitoring_available"] is True
    assert reply["summary"]["gpu_count"] == 2
    assert reply["summary"]["average_gpu_utilization_percent"] == 80
    assert both["system"]["summary"]["total_vram_gb"] == 4
    assert both["system"]["summary"]["vram_utilization_percent"] == 25


async def test_combined_metrics_have_the_shape_of_the_code_and_of_the_documents(
    two: House,
) -> None:
    await two.complete(model="a", max_tokens=4)
    reply = (await two.get("/v1/metrics")).json
    assert set(reply) == {
        "system_metrics",
        "completion_metrics",
        "timestamp",
        "system",
        "completion",
    }
    inner = reply["completion_metrics"]["completion_metrics"]
    assert inner["summary"]["completed_requests"] == reply["completion"]["successful_requests"] == 1
    assert reply["completion"]["total_tokens_processed"] == inner["summary"]["total_tokens"]
    (engine,) = reply["completion"]["engines"]
    assert (engine["engine_id"], engine["requests"]) == ("a", 1)
    assert reply["system"]["memory"] == reply["system_metrics"]["memory"]
    assert reply["system"]["summary"]["total_vram_gb"] is None


async def test_metrics_are_text_unless_json_is_preferred(two: House) -> None:
    await two.complete(model="a", max_tokens=4)
    for accept in (
        "",
        "*/*",
        "text/plain",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.2",
        "application/json;q=0.2, text/plain",
    ):
        reply = await two.get("/metrics", **({"Accept": accept} if accept else {}))
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = reply.body.decode().splitlines()
        done = 'kolo_requests_total{engine="a",model="{}",outcome="completed"} 1'
        assert done in lines, accept
        assert 'kolo_generation_tokens_total{engine="a",model="{}"} 4' in lines
    for accept in ("application/json", "application/json, text/plain;q=0.5, */*;q=0.1"):
        reply = await two.get("/metrics", Accept=accept)
        assert reply.json["completion"]["successful_requests"] == 1, accept


async def test_metrics_and_health_load_nothing_and_keep_nothing_awake(two: House) -> None:
    for path in (*COMPLETION_PATHS, *SYSTEM_PATHS, "/metrics", "/v1/metrics", "/health"):
        assert (await two.get(path)).status == 200
    assert {engine.state for engine in two.manager.list()} == {"unloaded"}


# Health ----------------------------------------------------------------------------------


async def test_health_has_llama_servers_word_and_kolosals_objects(two: House) -> None:
    await two.complete(model="a", max_tokens=1)
    reply = (await two.get("/health")).json
    assert reply["status"] == "ok"
    assert reply["server"]["name"] == "kolo"
    assert reply["server"]["version"] == kolo.__version__
    assert reply["node_manager"] == {
        "total_engines": 4,
        "loaded_engines": 1,
        "unloaded_engines": 3,
        "autoscaling": "enabled",
    }
    assert {"engine_id": "a", "status": "loaded"} in reply["engines"]
    assert reply["timestamp"] > 1_600_000_000_000


async def test_kolosals_health_is_healthy(two: House) -> None:
    for path in ("/v1/health", "/status"):
        reply = (await two.get(path)).json
        assert reply["status"] == "healthy"
        assert set(reply) == {"status", "timestamp", "server", "node_manager", "engines"}


async def test_probes_are_short(two: House) -> None:
    for path in ("/health/live", "/health/ready", "/health/startup"):
        reply = await two.get(path)
        assert (reply.status, reply.json) == (200, {"status": "ok"})


async def test_a_server_that_stops_is_alive_and_not_ready(two: House) -> None:
    two.app.drain.stopping = True
    assert (await two.get("/health/live")).status == 200
    for path in ("/health/ready", "/health", "/v1/health"):
        reply = await two.get(path)
        assert (reply.status, reply.error["code"]) == (503, "engine_stopped")
        assert reply.headers["Retry-After"] == "5"


async def test_health_answers_head_without_a_body(two: House) -> None:
    async with served(two) as server:
        for path in ("/health", "/v1/health", "/status", "/health/ready", "/health/live"):
            response = await server.client.head(path)
            assert (response.status_code, response.content) == (200, b""), path
