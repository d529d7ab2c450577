"""The figures that are kept, and how two of the same kind become one.

A counter is what happened in a span of time and adds up. A gauge is sampled: its number of
samples, their sum and the largest. A distribution is a histogram, kept whole, so that percentiles
over hours or over several engines are those of all values together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

Scope = Literal["engine", "gpu", "host"]
Kind = Literal["counter", "gauge", "distribution"]
Cell = float | bytes
"""A number, or a packed histogram."""


class Figure(NamedTuple):
    """One metric of the history. Its columns are in the table of its ``scope``."""

    scope: Scope
    name: str
    kind: Kind
    unit: str
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        if self.kind == "gauge":
            return (f"{self.name}_n", f"{self.name}_sum", f"{self.name}_max")
        return (self.name,)


FIGURES: tuple[Figure, ...] = (
    Figure("engine", "done", "counter", "requests", "Requests that ended well"),
    Figure("engine", "failed", "counter", "requests", "Requests that failed"),
    Figure("engine", "cancelled", "counter", "requests", "Requests whose client went away"),
    Figure("engine", "rejected", "counter", "requests", "Requests turned away: the queue was full"),
    Figure("engine", "prompt_tokens", "counter", "tokens", "Prompt tokens, cached ones included"),
    Figure("engine", "cached_tokens", "counter", "tokens", "Prompt tokens taken from a cache"),
    Figure("engine", "output_tokens", "counter", "tokens", "Tokens emitted"),
    Figure("engine", "draft_tokens", "counter", "tokens", "Tokens drafted by speculation"),
    Figure("engine", "draft_accepted", "counter", "tokens", "Of those, the ones that held"),
    Figure("engine", "preemptions", "counter", "requests", "Requests put back for want of KV"),
    Figure("engine", "running", "gauge", "requests", "Requests that hold a slot"),
    Figure("engine", "waiting", "gauge", "requests", "Requests in the queue"),
    Figure("engine", "kv_share", "gauge", "share", "KV cells of requests under way, 0 to 1"),
    Figure("engine", "memory_bytes", "gauge", "bytes", "Resident memory of the worker"),
    Figure("engine", "device_bytes", "gauge", "bytes", "Memory on GPUs, as estimated"),
    Figure("engine", "cpu_percent", "gauge", "percent", "Processor of the worker, of one core"),
    Figure("engine", "queue_ms", "distribution", "ms", "Submit to the start of prefill"),
    Figure("engine", "ttft_ms", "distribution", "ms", "Submit to the first token"),
    Figure("engine", "itl_ms", "distribution", "ms", "Between tokens, one value per token"),
    Figure("engine", "e2e_ms", "distribution", "ms", "Submit to end, of requests that ended well"),
    Figure("gpu", "gpu_utilization_percent", "gauge", "percent", "Share of time the GPU was busy"),
    Figure("gpu", "gpu_memory_used_bytes", "gauge", "bytes", "Memory in use on the GPU"),
    Figure("gpu", "gpu_power_w", "gauge", "watts", "Power drawn"),
    Figure("gpu", "gpu_temperature_c", "gauge", "degrees Celsius", "Temperature"),
    Figure("host", "covered_s", "counter", "seconds", "Time in which the server was up"),
    Figure("host", "host_cpu_percent", "gauge", "percent", "Processor, of all cores together"),
    Figure("host", "host_memory_used_bytes", "gauge", "bytes", "Memory in use"),
    Figure("host", "server_memory_bytes", "gauge", "bytes", "Resident memory of the server"),
    Figure("host", "server_cpu_percent", "gauge", "percent", "Processor of the server, of a core"),
)


def figures_of(scope: Scope) -> tuple[Figure, ...]:
    return tuple(figure for figure in FIGURES if figure.scope == scope)


def columns_of(scope: Scope) -> Iterator[tuple[str, str]]:
    """Each column of a scope's table with how two values of it are merged in SQL."""
    for figure in figures_of(scope):
        for column in figure.columns:
            if figure.kind == "distribution":
                yield column, f"merged({column}, excluded.{column})"
            elif column.endswith("_max"):
                yield column, f"max({column}, excluded.{column})"
            else:
                yield column, f"{column} + excluded.{column}"


EVERY = ""
"""In the place of a name: all engines together, those that are no more included; and the host."""


class Row(Struct, frozen=True):
    """Figures of one engine, GPU or host for a minute; what is left out is none."""

    scope: Scope
    name: str
    at: int
    """Unix time in seconds at which the minute began."""
    cells: Mapping[str, Cell]
    """Value by column."""


class EventRow(Struct, frozen=True, kw_only=True):
    at: float
    kind: str
    level: str
    engine: str | None
    text: str
    reason: str = ""


class RunRow(Struct, frozen=True, kw_only=True):
    """One engine from load to unload; written again whole when it ends."""

    engine: str
    path: str
    loaded_at: float
    load_ms: float
    ended_at: float | None = None
    reason: str = ""
    """Why it ended."""
    done: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


class Batch(Struct, frozen=True):
    """What is written at once."""

    rows: list[Row] = []
    events: list[EventRow] = []
    runs: list[RunRow] = []
