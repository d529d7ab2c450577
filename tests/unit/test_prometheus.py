"""``/metrics``: valid to Prometheus' own parser, right, and the same as what is documented."""

from __future__ import annotations

import json
import math
import re
import runpy
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kolo.manager.meter import Emission
from kolo.manager.sink import Finished
from kolo.monitor.completions import Completions, Tally, unload_kind
from kolo.monitor.histogram import Histogram
from kolo.monitor.prometheus import FAMILIES, View, Watched, exposition
from kolo.monitor.prometheus.families import FIRST_TOKEN_S, REQUEST_S, TOKEN_S, UNLOAD_REASONS
from kolo.snapshot import (
    Engine,
    Gpu,
    GpuProcess,
    Host,
    Kv,
    Model,
    Process,
    Slot,
    Snapshot,
)
from kolo.types import Generated, ModelInfo, Timings, Usage

ROOT = Path(__file__).parents[2]
FULL = Engine(
    id="qwen",
    path="/models/qwen2.5-0.5b.Q4_K_M.gguf",
    source="config",
    state="loaded",
    model=Model(quant="Q4_K - Medium", architecture="qwen2"),
    running=2,
    waiting=1,
    slots=[Slot(id=0, state="decode"), Slot(id=1, state="prefill"), Slot(id=2), Slot(id=3)],
    kv=Kv(total_tokens=1000, used_tokens=250, cached_tokens=100, store_bytes=77),
    process=Process(pid=9, cpu_percent=350.0, rss_bytes=123_456),
    device_bytes=5000,
)
GPU = Gpu(
    id="nvidia:0", vendor="nvidia", index=0, name="H200", utilization_percent=40.0,
    memory_used_bytes=10, memory_total_bytes=20, power_w=300.5, temperature_c=61.0,
    processes=[GpuProcess(pid=9, memory_bytes=8, engine="qwen"), GpuProcess(pid=1)],
)  # fmt: skip


def view(*watched: Watched, gpus: list[Gpu] | None = None) -> View:
    snapshot = Snapshot(
        at=1.0,
        host=Host(cpu_percent=25.0, memory_total_bytes=100, memory_available_bytes=60),
        server_process=Process(pid=1, rss_bytes=42),
        gpus=gpus or [],
        engines=[one.engine for one in watched],
    )
    return View(snapshot, list(watched), version="1.2.3", started_at=1000.5, cpu_s=3.25)


def emission(**how: Any) -> Emission:
    given = {"tokens": 1, "ttft_ms": [], "itl_ms": [], "shared_itl_ms": []}
    return Emission(**{"at_s": time.monotonic(), **given, **how})


def worked() -> Tally:
    """An engine that did a bit of everything."""
    counts = Completions()
    counts.loaded("a", ModelInfo(), 1500.0)
    counts.computed("a", 600, 2)
    counts.emitted(
        "a", emission(tokens=5, ttft_ms=[30.0], itl_ms=[8.0, 12.0], shared_itl_ms=[(4.0, 2)])
    )
    result = Generated(
        usage=Usage(prompt_tokens=700, cached_tokens=100, completion_tokens=5),
        timings=Timings(queue_ms=4, prefill_ms=26, draft_tokens=10, draft_accepted=7),
    )
    counts.finished("a", Finished(1, "generate", result, None, False, 62.0, "", "", 30.0, 32.0))
    counts.unloaded("a", "idle")
    counts.crashed("a", "signal 9")
    return counts.of("a")


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Value by labels by name of the sample."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            values = found.setdefault(sample.name, {})
            assert labels not in values, "one value under one name"
            values[labels] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of ``name`` that has these labels, whatever others."""
    (found,) = [
        number
        for have, number in parsed(text)[name].items()
        if labels.items() <= dict(have).items()
    ]
    return found


# Form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["kolo", "vllm", "llamacpp"])
def test_it_parses_and_no_metric_is_told_twice(names: Any) -> None:
    watched = [Watched(FULL, worked()), Watched(Engine(id="empty"), Tally())]
    text = exposition(view(*watched, gpus=[GPU]), names)
    families = list(text_string_to_metric_families(text))
    assert families
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
    parsed(text)
    assert text.endswith("\n")


def test_a_server_without_engines_has_its_own_metrics_alone() -> None:
    names = set(parsed(exposition(view())))
    assert "process_start_time_seconds" in names
    assert not [name for name in names if "engine" in name or "request" in name]


def test_any_name_of_an_engine_survives() -> None:
    hostile = 'a"b\\c\nd} 1\n# HELP é'
    text = exposition(view(Watched(Engine(id=hostile, path=f"/x/{hostile}.gguf"), Tally())))
    for labels in parsed(text)["kolo_num_requests_running"]:
        assert dict(labels) == {"engine": hostile, "model": hostile}


def test_every_metric_has_the_labels_that_the_table_says() -> None:
    text = exposition(view(Watched(FULL, worked()), gpus=[GPU]))
    found = parsed(text)
    for family in FAMILIES:
        name = family.name + ("_count" if family.kind == "histogram" else "")
        for labels in found[name]:
            assert set(dict(labels)) == set(family.labels), family.name


def test_names_follow_prometheus_rules() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"(kolo|process)_[a-z0-9_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        for alias in (*family.vllm, *family.llamacpp):
            assert alias.endswith("_total") == (family.kind == "counter")
    aliases = [alias for family in FAMILIES for alias in (*family.vllm, *family.llamacpp)]
    assert len(set(aliases)) == len(aliases)


def test_bounds_rise() -> None:
    for bounds in (REQUEST_S, FIRST_TOKEN_S, TOKEN_S):
        assert list(bounds) == sorted(set(bounds))


# Numbers ---------------------------------------------------------------------------------


def test_numbers_are_those_of_the_tally_and_the_snapshot() -> None:
    text = exposition(view(Watched(FULL, worked()), gpus=[GPU]))
    wanted = {
        "kolo_num_requests_running": 2,
        "kolo_num_requests_waiting": 1,
        "kolo_prompt_tokens_total": 700,
        "kolo_prompt_tokens_cached_total": 100,
        "kolo_prompt_tokens_computed_total": 600,
        "kolo_generation_tokens_total": 5,
        "kolo_num_preemptions_total": 2,
        "kolo_spec_decode_num_draft_tokens_total": 10,
        "kolo_spec_decode_num_accepted_tokens_total": 7,
        "kolo_model_loads_total": 1,
        "kolo_model_load_seconds_total": 1.5,
        "kolo_kv_cache_usage_ratio": 0.25,
        "kolo_prefix_store_bytes": 77,
        "kolo_engine_memory_bytes": 123_456,
        "kolo_engine_cpu_ratio": 3.5,
        "kolo_gpu_utilization_ratio": 0.4,
        "kolo_gpu_power_watts": 300.5,
        "kolo_gpu_engine_memory_bytes": 8,
        "kolo_host_cpu_ratio": 0.25,
        "process_cpu_seconds_total": 3.25,
    }
    assert {name: value(text, name) for name in wanted} == wanted
    assert value(text, "kolo_requests_total", outcome="completed") == 1
    assert value(text, "kolo_model_unloads_total", reason="idle") == 1
    assert value(text, "kolo_model_unloads_total", reason="crashed") == 1
    assert value(text, "kolo_slots", state="idle") == 2
    assert value(text, "kolo_kv_cache_tokens", state="free") == 650
    assert value(text, "kolo_engine_state", state="loaded") == 1
    assert value(text, "kolo_engine_state", state="failed") == 0
    assert value(text, "kolo_engine_info", quant="Q4_K - Medium", source="config") == 1
    assert value(text, "kolo_build_info", version="1.2.3") == 1


def test_what_is_not_known_is_left_out() -> None:
    text = exposition(
        view(Watched(Engine(id="a"), Tally()), gpus=[Gpu(id="amd:0", vendor="amd", index=0)])
    )
    names = set(parsed(text))
    for name in (
        "kolo_kv_cache_usage_ratio",
        "kolo_slots",
        "kolo_engine_memory_bytes",
        "kolo_gpu_power_watts",
    ):
        assert name not in names
    assert value(text, "kolo_requests_total", outcome="failed") == 0


def test_every_reason_of_an_unload_has_its_series_from_the_start() -> None:
    text = exposition(view(Watched(Engine(id="a"), Tally())))
    reasons = {dict(labels)["reason"] for labels in parsed(text)["kolo_model_unloads_total"]}
    assert reasons == {*UNLOAD_REASONS, "crashed"}
    told = ("requested", "idle", "evicted for 'b'", "the server is stopping", "else")
    assert {unload_kind(reason) for reason in told} == set(UNLOAD_REASONS)


def test_histograms_are_cumulative_and_right_to_within_a_bucket() -> None:
    tally = Tally()
    values = [float(n) for n in range(1, 1001)]
    tally.ttft_ms.merge(Histogram(values))
    text = exposition(view(Watched(FULL, tally)))
    name = "kolo_time_to_first_token_seconds"
    buckets = {dict(labels)["le"]: n for labels, n in parsed(text)[f"{name}_bucket"].items()}
    counts = list(buckets.values())
    assert counts == sorted(counts)
    assert buckets["+Inf"] == value(text, f"{name}_count") == 1000
    assert value(text, f"{name}_sum") == pytest.approx(sum(values) / 1000)
    for le, count in buckets.items():
        exact = sum(ms <= float(le) * 1000 for ms in values)
        assert count == pytest.approx(exact, rel=0.02, abs=1)


def test_histograms_only_ever_rise_whatever_comes() -> None:
    tally = Tally()
    before: dict[Any, float] = {}
    for number in range(300):
        tally.itl_ms.add(math.exp(number % 17 - 8.5), 1 + number % 3)
        now = parsed(exposition(view(Watched(FULL, tally))))[
            "kolo_inter_token_latency_seconds_bucket"
        ]
        assert all(now[labels] >= count for labels, count in before.items())
        before = now


def test_counters_outlive_the_loads_of_an_engine() -> None:
    counts = Completions()
    for _ in range(3):
        counts.loaded("a", ModelInfo(), 10.0)
        counts.emitted("a", emission(tokens=2, ttft_ms=[5.0], itl_ms=[7.0]))
        counts.unloaded("a", "idle")
    text = exposition(view(Watched(Engine(id="a"), counts.of("a"))))
    assert value(text, "kolo_model_loads_total") == 3
    assert value(text, "kolo_generation_tokens_total") == 6
    assert value(text, "kolo_time_to_first_token_seconds_count") == 3


# Other names -----------------------------------------------------------------------------


def test_vllms_names_mean_the_same_numbers() -> None:
    shown = view(Watched(FULL, worked()))
    own, theirs = exposition(shown), exposition(shown, "vllm")
    assert value(theirs, "vllm:num_requests_running", model_name="qwen") == 2
    assert value(theirs, "vllm:kv_cache_usage_perc", model_name="qwen") == 0.25
    assert value(theirs, "vllm:prefix_cache_queries_total") == 700
    assert value(theirs, "vllm:prefix_cache_hits_total") == 100
    name = "time_to_first_token_seconds_bucket"
    assert [*parsed(own)[f"kolo_{name}"].values()] == [*parsed(theirs)[f"vllm:{name}"].values()]
    assert not [name for name in parsed(theirs) if not name.startswith("vllm:")]


def test_llama_servers_names_mean_the_same_numbers() -> None:
    text = exposition(view(Watched(FULL, worked())), "llamacpp")
    assert value(text, "llamacpp:prompt_tokens_total", model="qwen") == 600
    assert value(text, "llamacpp:prompt_tokens_cached_total", model="qwen") == 100
    assert value(text, "llamacpp:tokens_predicted_total", model="qwen") == 5
    assert value(text, "llamacpp:requests_deferred", model="qwen") == 1
    assert not [name for name in parsed(text) if not name.startswith("llamacpp:")]


# What is said of it ----------------------------------------------------------------------


def test_the_document_is_that_of_the_table() -> None:
    page = runpy.run_path(str(ROOT / "tools/metrics_page.py"))["page"]
    assert (ROOT / "docs/metrics.md").read_text() == page(), "run: ./dev generate"


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    dashboard = json.loads((ROOT / "contrib/grafana/kolo.json").read_text())
    families = {family.name: family for family in FAMILIES}
    panels = [panel for panel in dashboard["panels"] if "targets" in panel]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) > 15
    for expression in [*expressions, *queries_of(dashboard)]:
        asked = re.findall(r"\b((?:kolo|process)_[a-z0-9_]+)(?:\{([^}]*)\})?", expression)
        assert asked, expression
        for name, selector in asked:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            family = families.get(name) or families[base]
            assert (family.kind == "histogram") == (name != family.name), expression
            labels = {*family.labels, "instance", "job", "le"}
            assert set(re.findall(r"(\w+)\s*[=!]~?\"", selector)) <= labels, expression
    assert all(panel["fieldConfig"]["defaults"].get("unit") for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def queries_of(dashboard: Any) -> list[str]:
    """Of its variables."""
    variables = dashboard["templating"]["list"]
    return [v["query"]["query"] for v in variables if v["type"] == "query"]
