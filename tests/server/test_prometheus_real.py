"""A real Prometheus scrapes a real server, and its queries are right."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Served, fake, house, served

from kolo.monitor.prometheus.families import FIRST_TOKEN_S

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


@asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[httpx2.AsyncClient]:
    """One that scrapes port ``target``, and a client of its API."""
    assert PROMETHEUS is not None
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "kolo", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]},
            {
                "job_name": "as-vllm",
                "params": {"names": ["vllm"]},
                "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
            },
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.kill()
        await process.wait()


async def ask(client: httpx2.AsyncClient, query: str) -> list[Any]:
    reply = await client.get("/api/v1/query", params={"query": query})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]["result"]


async def until(client: httpx2.AsyncClient, query: str, *wanted: float) -> None:
    """Wait until the answer to ``query`` is ``wanted``, or, without one, until there is any: a
    scrape that fails on a busy machine leaves a moment without."""
    async with asyncio.timeout(60):
        while True:
            try:
                reply = await client.get("/api/v1/query", params={"query": query})
            except httpx2.TransportError:
                reply = None  # it is not up yet
            if reply is not None and reply.status_code != 503:  # nor ready
                assert reply.status_code == 200, reply.text
                found = [float(one["value"][1]) for one in reply.json()["data"]["result"]]
                if found and (not wanted or found == [*wanted]):
                    return
            await asyncio.sleep(0.1)


def dashboard() -> list[str]:
    """What the Grafana dashboard asks, of everybody."""
    text = (Path(__file__).parents[2] / "contrib/grafana/kolo.json").read_text()
    for variable, value in (("instance", ".*"), ("engine", ".*"), ("__rate_interval", "10m")):
        text = text.replace(f"${variable}", value)
    panels = json.loads(text)["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


async def load(server: Served, model: str, requests: int) -> None:
    bodies = [{"model": model, "prompt": f"{n} hello", "max_tokens": 5} for n in range(requests)]
    replies = await asyncio.gather(
        *(server.client.post("/v1/completions", json=body) for body in bodies)
    )
    assert {reply.status_code for reply in replies} == {200}


async def test_a_percentile_over_two_engines_is_that_of_all_their_requests(
    tmp_path: Path,
) -> None:
    specs = [fake("quick", {"row_ms": 1}), fake("slow", {"row_ms": 40})]
    async with house(tmp_path, specs=specs) as place, served(place) as server:
        await load(server, "quick", 60)
        await load(server, "slow", 12)
        times = [request.ttft_ms / 1000 for request in place.sink.requests if request.ttft_ms]
        (tmp_path / "prometheus").mkdir()
        async with prometheus(tmp_path / "prometheus", server.port) as client:
            name = "kolo_time_to_first_token_seconds"
            await until(client, f"sum({name}_count)", 72)
            assert {one["metric"]["engine"] for one in await ask(client, f"{name}_count")} == {
                "quick",
                "slow",
            }
            for by, theirs in (
                ("", times),
                ('{engine="quick"}', times[:60]),
                ('{engine="slow"}', times[60:]),
            ):
                query = f"histogram_quantile(0.95, sum by (le) ({name}_bucket{by}))"
                (found,) = await ask(client, query)
                exact = sorted(theirs)[ceil(0.95 * len(theirs)) - 1]
                # Prometheus knows the bucket; a value within 1 % of a bound may be on either side.
                low = FIRST_TOKEN_S[bisect_left(FIRST_TOKEN_S, exact * 0.98) - 1]
                high = FIRST_TOKEN_S[bisect_left(FIRST_TOKEN_S, exact * 1.02)]
                assert low <= float(found["value"][1]) <= high, by
            await until(client, 'sum(vllm:time_to_first_token_seconds_count{job="as-vllm"})', 72)
            (done,) = await ask(client, 'sum(kolo_requests_total{outcome="completed"})')
            assert float(done["value"][1]) == 72
            seen = 'min(count_over_time(kolo_build_info{job="kolo"}[10m])) > bool 2'
            await until(client, seen, 1)  # a rate is of two samples
            for expression in dashboard():
                if any(word in expression for word in ("gpu", "> 0")):
                    await ask(client, expression)  # there may be none, but it must be readable
                else:
                    await until(client, expression)


async def test_being_scraped_loads_nothing_and_keeps_nothing_awake(tmp_path: Path) -> None:
    specs = [fake("idle"), fake("never")]
    async with (
        house(tmp_path, specs=specs, limits={"idle_unload_s": 1.0}) as place,
        served(place) as server,
    ):
        await load(server, "idle", 1)
        (tmp_path / "prometheus").mkdir()
        async with prometheus(tmp_path / "prometheus", server.port) as client:
            await until(client, 'kolo_engine_state{engine="idle",state="unloaded"}', 1)
            await until(client, 'kolo_model_unloads_total{engine="idle",reason="idle"}', 1)
            await until(client, "sum(kolo_model_loads_total)", 1)
        states = {engine.id: engine.state for engine in place.manager.list()}
        assert (states["idle"], states["never"]) == ("unloaded", "unloaded")
