"""Every metric of ``/metrics``: its name, what it means, and where its numbers come from.

``docs/metrics.md`` is made of this table. Counters and distributions are sums since the server
started and outlive the loads of an engine; gauges are of the moment. Names follow vLLM's where the
meaning is the same, and ``vllm`` and ``llamacpp`` say under which names those of vLLM and of
llama-server can be had instead (``exposition.Names``). Times are those of ``snapshot.Window``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from kolo.monitor.completions import Tally
from kolo.monitor.histogram import Histogram
from kolo.monitor.prometheus.text import Distribution, Kind, Sample
from kolo.snapshot import Engine, EngineState, Snapshot

REQUEST_S = (
    0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60,
    120, 240, 480, 960, 1920, 7680,
)  # fmt: skip
"""Bounds of whole requests and of waiting: vLLM's, and finer ones below for small models."""
FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
    80, 160, 640, 2560,
)  # fmt: skip
"""vLLM's."""
TOKEN_S = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15,
    0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip
"""vLLM's, and finer ones below."""
UNLOAD_REASONS = ("requested", "idle", "evicted", "changed", "stopping")
"""See ``completions.unload_kind``."""


@dataclass(frozen=True, slots=True)
class Watched:
    """An engine with what it did."""

    engine: Engine
    tally: Tally


@dataclass(frozen=True, slots=True)
class View:
    """All that is exposed at one moment."""

    snapshot: Snapshot
    engines: list[Watched]
    version: str
    started_at: float
    cpu_s: float
    """Processor time of the server's own process."""


Samples = Callable[[View], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: Kind
    text: str
    samples: Samples
    labels: tuple[str, ...] = ("engine", "model")
    vllm: tuple[str, ...] = ()
    llamacpp: tuple[str, ...] = ()


def _each(value: Callable[[Tally], float]) -> Samples:
    """A number of each engine's tally."""
    return lambda view: [(_labels(one.engine), value(one.tally)) for one in view.engines]


def _spread(measure: Callable[[Tally], Histogram], bounds_s: tuple[float, ...]) -> Samples:
    return lambda view: [
        (_labels(one.engine), Distribution(measure(one.tally), bounds_s)) for one in view.engines
    ]


def _now(value: Callable[[Engine], float | None]) -> Samples:
    """A number of each engine as it is now; left out where it is not known."""
    return lambda view: [
        (_labels(one.engine), found)
        for one in view.engines
        if (found := value(one.engine)) is not None
    ]


def _labels(engine: Engine) -> dict[str, str]:
    return {"engine": engine.id, "model": _model(engine)}


def _model(engine: Engine) -> str:
    """The name of the model's file, without its ending."""
    return engine.path.rpartition("/")[2].removesuffix(".gguf")


# Samples with labels of their own ------------------------------------------------------------


def _info(view: View) -> Iterator[Sample]:
    for engine in (one.engine for one in view.engines):
        model = engine.model
        more = {
            "source": engine.source,
            "quant": model.quant if model is not None else "",
            "architecture": model.architecture if model is not None else "",
        }
        yield {**_labels(engine), **more}, 1


def _states(view: View) -> Iterator[Sample]:
    for engine in (one.engine for one in view.engines):
        for state in get_args(EngineState):
            yield {**_labels(engine), "state": state}, engine.state == state


def _requests(view: View) -> Iterator[Sample]:
    for one in view.engines:
        counts = {
            "completed": one.tally.completed.requests,
            "failed": one.tally.failed,
            "cancelled": one.tally.cancelled.requests,
            "rejected": one.tally.rejected,
        }
        for outcome, count in counts.items():
            yield {**_labels(one.engine), "outcome": outcome}, count


def _unloads(view: View) -> Iterator[Sample]:
    for one in view.engines:
        for reason in UNLOAD_REASONS:
            yield {**_labels(one.engine), "reason": reason}, one.tally.unloads[reason]
        yield {**_labels(one.engine), "reason": "crashed"}, one.tally.crashes


def _slots(view: View) -> Iterator[Sample]:
    for engine in (one.engine for one in view.engines):
        if engine.slots is not None:
            for state in ("idle", "prefill", "decode"):
                count = sum(slot.state == state for slot in engine.slots)
                yield {**_labels(engine), "state": state}, count


def _cells(view: View) -> Iterator[Sample]:
    for engine in (one.engine for one in view.engines):
        if (kv := engine.kv) is not None:
            free = max(kv.total_tokens - kv.used_tokens - kv.cached_tokens, 0)
            for state, count in (
                ("used", kv.used_tokens),
                ("cached", kv.cached_tokens),
                ("free", free),
            ):
                yield {**_labels(engine), "state": state}, count


def _kv_share(engine: Engine) -> float | None:
    kv = engine.kv
    return (
        min(kv.used_tokens / kv.total_tokens, 1.0) if kv is not None and kv.total_tokens else None
    )


def _store_bytes(engine: Engine) -> float | None:
    return engine.kv.store_bytes if engine.kv is not None else None


def _resident(engine: Engine) -> float | None:
    return engine.process.rss_bytes if engine.process is not None else None


def _cpu(engine: Engine) -> float | None:
    process = engine.process
    return (
        process.cpu_percent / 100
        if process is not None and process.cpu_percent is not None
        else None
    )


def _gpu(value: Callable[..., float | None], scale: float = 1.0) -> Samples:
    return lambda view: [
        ({"gpu": gpu.id, "name": gpu.name}, found * scale)
        for gpu in view.snapshot.gpus
        if (found := value(gpu)) is not None
    ]


def _gpu_engines(view: View) -> Iterator[Sample]:
    for gpu in view.snapshot.gpus:
        for process in gpu.processes or ():
            if process.engine is not None and process.memory_bytes is not None:
                yield {"gpu": gpu.id, "engine": process.engine}, process.memory_bytes


def _one(value: Callable[[View], float | None]) -> Samples:
    """A number of the server or the host."""
    return lambda view: [({}, found)] if (found := value(view)) is not None else []


def _host_cpu(view: View) -> float | None:
    percent = view.snapshot.host.cpu_percent
    return None if percent is None else percent / 100


def _server_memory(view: View) -> float | None:
    process = view.snapshot.server_process
    return process.rss_bytes if process is not None else None


# The table -----------------------------------------------------------------------------------

FAMILIES: tuple[Family, ...] = (
    Family("kolo_build_info", "gauge", "1; the version is a label.",
           lambda view: [({"version": view.version}, 1)], ("version",)),
    Family("process_start_time_seconds", "gauge", "When the server started, in unix time.",
           _one(lambda view: view.started_at), ()),
    Family("process_cpu_seconds_total", "counter", "Processor time of the server's own process.",
           _one(lambda view: view.cpu_s), ()),
    Family("process_resident_memory_bytes", "gauge", "Memory of the server's own process.",
           _one(_server_memory), ()),
    Family("kolo_host_cpu_ratio", "gauge", "Processor of the host, 0 to 1, all cores together.",
           _one(_host_cpu), ()),
    Family("kolo_host_memory_total_bytes", "gauge", "Memory of the host, or of its control group.",
           _one(lambda view: view.snapshot.host.memory_total_bytes), ()),
    Family("kolo_host_memory_available_bytes", "gauge", "Of that, what can still be had.",
           _one(lambda view: view.snapshot.host.memory_available_bytes), ()),
    Family("kolo_engine_info", "gauge", "1; what the engine is are labels.", _info,
           ("engine", "model", "source", "quant", "architecture")),
    Family("kolo_engine_state", "gauge", "1 for the state the engine is in, 0 for the others.",
           _states, ("engine", "model", "state")),
    Family("kolo_num_requests_running", "gauge", "Requests that hold a slot.",
           _now(lambda engine: engine.running),
           vllm=("vllm:num_requests_running",), llamacpp=("llamacpp:requests_processing",)),
    Family("kolo_num_requests_waiting", "gauge", "Requests in the queue.",
           _now(lambda engine: engine.waiting),
           vllm=("vllm:num_requests_waiting",), llamacpp=("llamacpp:requests_deferred",)),
    Family("kolo_requests_total", "counter",
           "Requests that have ended, by how; rejected ones never began, the queue being full.",
           _requests, ("engine", "model", "outcome")),
    Family("kolo_prompt_tokens_total", "counter",
           "Prompt tokens of requests that have ended, cached ones included.",
           _each(lambda tally: tally.prompt_tokens),
           vllm=("vllm:prompt_tokens_total", "vllm:prefix_cache_queries_total")),
    Family("kolo_prompt_tokens_cached_total", "counter", "Of those, the ones taken from a cache.",
           _each(lambda tally: tally.cached_tokens),
           vllm=("vllm:prefix_cache_hits_total",),
           llamacpp=("llamacpp:prompt_tokens_cached_total",)),
    Family("kolo_prompt_tokens_computed_total", "counter",
           "Prompt tokens really computed, as they are computed.",
           _each(lambda tally: tally.computed_tokens), llamacpp=("llamacpp:prompt_tokens_total",)),
    Family("kolo_generation_tokens_total", "counter", "Tokens written, as they are written.",
           _each(lambda tally: tally.emitted_tokens),
           vllm=("vllm:generation_tokens_total",), llamacpp=("llamacpp:tokens_predicted_total",)),
    Family("kolo_time_to_first_token_seconds", "histogram", "Submit to the first token.",
           _spread(lambda tally: tally.ttft_ms, FIRST_TOKEN_S),
           vllm=("vllm:time_to_first_token_seconds",)),
    Family("kolo_inter_token_latency_seconds", "histogram",
           "Time since the token before, one value per token.",
           _spread(lambda tally: tally.itl_ms, TOKEN_S),
           vllm=("vllm:inter_token_latency_seconds",)),
    Family("kolo_e2e_request_latency_seconds", "histogram",
           "Submit to end, of requests that ended well.",
           _spread(lambda tally: tally.e2e_ms, REQUEST_S),
           vllm=("vllm:e2e_request_latency_seconds",)),
    Family("kolo_request_queue_time_seconds", "histogram", "Submit to the start of prefill.",
           _spread(lambda tally: tally.queue_ms, REQUEST_S),
           vllm=("vllm:request_queue_time_seconds",)),
    Family("kolo_request_prefill_time_seconds", "histogram",
           "Start of prefill to the first token.",
           _spread(lambda tally: tally.prefill_ms, REQUEST_S),
           vllm=("vllm:request_prefill_time_seconds",)),
    Family("kolo_kv_cache_usage_ratio", "gauge", "KV cells of requests under way, 0 to 1.",
           _now(_kv_share), vllm=("vllm:kv_cache_usage_perc",)),
    Family("kolo_kv_cache_tokens", "gauge",
           "KV cells in tokens: used by requests under way, cached to be used again, free.",
           _cells, ("engine", "model", "state")),
    Family("kolo_prefix_store_bytes", "gauge", "Prefixes kept outside the KV cache.",
           _now(_store_bytes)),
    Family("kolo_slots", "gauge", "Slots by what they do.", _slots, ("engine", "model", "state")),
    Family("kolo_num_preemptions_total", "counter", "Requests put back for want of KV cells.",
           _each(lambda tally: tally.preemptions), vllm=("vllm:num_preemptions_total",)),
    Family("kolo_spec_decode_num_draft_tokens_total", "counter", "Tokens drafted by speculation.",
           _each(lambda tally: tally.draft_tokens),
           vllm=("vllm:spec_decode_num_draft_tokens_total",),
           llamacpp=("llamacpp:spec_decode_num_draft_tokens_total",)),
    Family("kolo_spec_decode_num_accepted_tokens_total", "counter", "Of those, the ones that held.",
           _each(lambda tally: tally.draft_accepted),
           vllm=("vllm:spec_decode_num_accepted_tokens_total",),
           llamacpp=("llamacpp:spec_decode_num_accepted_tokens_total",)),
    Family("kolo_model_loads_total", "counter", "Loads that went well.",
           _each(lambda tally: tally.loads)),
    Family("kolo_model_load_seconds_total", "counter", "Time of those.",
           _each(lambda tally: tally.load_ms / 1000)),
    Family("kolo_model_load_failures_total", "counter", "Loads that failed.",
           _each(lambda tally: tally.failed_loads)),
    Family("kolo_model_unloads_total", "counter",
           "Ends of loaded models by reason: requested, idle, evicted, changed, stopping, crashed.",
           _unloads, ("engine", "model", "reason")),
    Family("kolo_engine_memory_bytes", "gauge", "Resident memory of the worker.", _now(_resident)),
    Family("kolo_engine_device_memory_bytes", "gauge", "Memory on GPUs, as estimated.",
           _now(lambda engine: engine.device_bytes)),
    Family("kolo_engine_cpu_ratio", "gauge", "Processor of the worker; 1 is one core.", _now(_cpu)),
    Family("kolo_gpu_utilization_ratio", "gauge", "Share of time the GPU was busy, 0 to 1.",
           _gpu(lambda gpu: gpu.utilization_percent, 0.01), ("gpu", "name")),
    Family("kolo_gpu_memory_used_bytes", "gauge", "Memory in use on the GPU.",
           _gpu(lambda gpu: gpu.memory_used_bytes), ("gpu", "name")),
    Family("kolo_gpu_memory_total_bytes", "gauge", "Memory of the GPU.",
           _gpu(lambda gpu: gpu.memory_total_bytes), ("gpu", "name")),
    Family("kolo_gpu_power_watts", "gauge", "Power drawn.", _gpu(lambda gpu: gpu.power_w),
           ("gpu", "name")),
    Family("kolo_gpu_temperature_celsius", "gauge", "Temperature.",
           _gpu(lambda gpu: gpu.temperature_c), ("gpu", "name")),
    Family("kolo_gpu_engine_memory_bytes", "gauge", "Memory of an engine's worker on the GPU.",
           _gpu_engines, ("gpu", "engine")),
)  # fmt: skip
