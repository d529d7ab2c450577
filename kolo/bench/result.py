"""The document of a run: everything that reports, comparisons and the history need.

It holds what was measured, not what was made of it: each request with its times, in rounds, in
cells. A cell is one target under one workload at one load. ``summary`` repeats the sums for
programs that read the JSON, and is made anew from the rest by whoever needs it.

Units are in the names: ``*_ms`` milliseconds, ``*_s`` seconds, ``*_bytes`` bytes, ``*_j`` joules.
None means that nobody could tell, and is never 0.

Who measures the layer below HTTP (inside a worker) fills ``EngineCell``; who makes a model of a
known shape to measure it fills ``Shape``. Both are found by the table and the reports by
themselves: an engine cell is set against the cell of the same target, lengths and width.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

FORMAT = 1
"""Of the document. A reader refuses a higher one, and reads a lower one as it was meant."""

ErrorKind = Literal[
    "unreachable",
    "auth",
    "not_found",
    "refused",
    "busy",
    "server_error",
    "cut",
    "timeout",
    "protocol",
    "invalid_output",
]
"""``unreachable`` no connection · ``auth`` 401, 403 · ``not_found`` 404 · ``refused`` another 4xx ·
``busy`` 429, 503 · ``server_error`` another 5xx, or an error inside the stream · ``cut`` the stream
ended before its end · ``timeout`` nothing came for too long · ``protocol`` not HTTP, not SSE, not
JSON · ``invalid_output`` the answer does not fit the schema that was asked for."""

TargetKind = Literal["kolo", "private", "openai"]
"""A running Kolo server · a server of this run's own · any other endpoint."""


class Sample(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One request. Times count from ``sent_s``, the moment its last byte was handed over."""

    sent_s: float
    """Since the start of its round."""
    late_ms: float = 0.0
    """How much later than its arrival time it was sent (loads with a rate); the client's fault."""
    ttft_ms: float | None = None
    """First piece of text."""
    e2e_ms: float | None = None
    """Last piece of text, or the piece that says how the answer ended."""
    gaps_ms: list[float] = []
    """Between arrivals of text; pieces that one read brings are one arrival."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int = 0
    counted: Literal["usage", "pieces"] = "usage"
    """``pieces``: the server tells no usage; its pieces were counted instead."""
    finish: str | None = None
    queue_ms: float | None = None
    """As the server tells."""
    prefill_ms: float | None = None
    """As the server tells."""
    group: str = ""
    """Which part of a workload, where it has parts: ``stream`` and ``long``."""
    turn: int = 0
    """Of a conversation, from 0."""
    error: ErrorKind | None = None
    detail: str = ""
    """What the error said."""


class Round(Struct, kw_only=True):
    """One go at a cell. Rounds of the same index ran next to each other on all targets."""

    index: int
    elapsed_s: float = 0.0
    """From the first request sent to the last one ended."""
    samples: list[Sample] = []
    memory_bytes: int | None = None
    """Highest resident memory of the target's processes seen in the round, where it runs on this
    machine."""
    device_bytes: int | None = None
    """Highest memory of all GPUs of this machine seen in the round."""
    energy_j: float | None = None
    """Taken by all GPUs of this machine in the round."""
    client_cpu: float = 0.0
    """Share of one core that the measuring process itself took."""


class Load(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """When requests are sent. Exactly one of the two is set."""

    concurrency: int | None = None
    """So many users, each sending as soon as the answer before has ended."""
    rate: float | None = None
    """Requests per second, whether answers have ended or not."""
    arrival: Literal["poisson", "constant"] = "poisson"

    @property
    def name(self) -> str:
        """``8 users`` or ``5/s``."""
        if self.rate is not None:
            constant = " constant" if self.arrival == "constant" else ""
            return f"{self.rate:g}/s{constant}"
        return f"{self.concurrency} user" + "s" * (self.concurrency != 1)


class WorkloadInfo(Struct, frozen=True, kw_only=True):
    """What was asked, in a form that two runs can be told apart by."""

    name: str
    """Names the workload with its sizes; runs with the same name can be compared."""
    kind: str
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    about: str = ""
    """One sentence."""


class Cell(Struct, kw_only=True):
    """One target, one workload, one load."""

    target: str
    workload: str
    load: Load
    rounds: list[Round] = []


class EngineCell(Struct, kw_only=True):
    """What the engine alone does, inside a worker, as llama-bench measures it.

    ``prefill``: ``width`` prompts of ``prompt_tokens`` each read at once, ``tokens_per_s`` counts
    prompt tokens. ``decode``: ``width`` sequences of ``depth`` tokens each grown by
    ``output_tokens``, ``tokens_per_s`` counts the new tokens of all of them together.
    """

    target: str
    kind: Literal["prefill", "decode"]
    width: int = 1
    depth: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    tokens_per_s: list[float] = []
    """One for each repetition."""
    threads: int | None = None
    memory_bytes: int | None = None


class Shape(Struct, frozen=True, kw_only=True):
    """A model with random weights, made to be measured in place of the real one."""

    name: str
    architecture: str
    quant: str
    n_params: int
    size_bytes: int
    dimensions: dict[str, int] = {}


class Target(Struct, kw_only=True):
    """Who was measured."""

    name: str
    kind: TargetKind
    url: str
    model: str
    api: Literal["completions", "chat"] = "completions"
    build: str = ""
    """What the server says it is."""
    model_path: str = ""
    model_sha256: str = ""
    model_bytes: int | None = None
    n_ctx: int | None = None
    """Tokens for each request."""
    slots: int | None = None
    settings: dict[str, Any] = {}
    """Threads, GPU layers and the like, as far as they are known."""
    exact_prompts: bool = False
    """Lengths of prompts were counted by the target's own tokenizer."""
    fixed_outputs: bool = False
    """It takes ``ignore_eos``."""


class Gpu(Struct, frozen=True, kw_only=True):
    name: str
    memory_bytes: int | None = None
    driver: str = ""


class Host(Struct, kw_only=True):
    """The machine that measured, and what state it was in."""

    system: str
    python: str
    cpu: str
    cores: int | None
    """Physical ones of the machine."""
    usable_cpus: int
    """Logical ones that this process may use."""
    memory_bytes: int
    gpus: list[Gpu] = []
    load_before: float | None = None
    """Share of all processors in use before the run, 0 to 1."""
    load_average: float | None = None
    """Over the minute before the run."""
    governor: str = ""
    throttled: int | None = None
    """Thermal throttling events of the processor during the run."""
    quota_throttled_s: float | None = None
    """How long the control group's processor quota held this process up during the run."""
    steal: float | None = None
    """Share of processor time that the hypervisor took during the run, 0 to 1."""


class Figure(Struct, frozen=True, kw_only=True):
    """A metric of a row, over requests. A percentile that so few samples cannot carry is None."""

    n: int
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Ratio(Struct, frozen=True, kw_only=True):
    """A figure of this target over the first target's, and the 95 % interval of it."""

    value: float
    low: float | None = None
    high: float | None = None


class Row(Struct, kw_only=True):
    """The sums of one cell, or of one group of its requests."""

    target: str
    workload: str
    load: str
    concurrency: int | None
    rate: float | None
    group: str
    requests: int
    """That were answered."""
    errors: dict[str, int]
    figures: dict[str, Figure]
    """By metric; ``kolo bench --formulas`` says what each is."""
    ratios: dict[str, Ratio] = {}
    """By metric and statistic: ``ttft.p95``."""
    engine_tok_s: float | None = None
    """What the engine alone would do with the same work."""
    overhead_percent: float | None = None
    goals_met: bool | None = None


class Run(Struct, kw_only=True):
    """A whole run."""

    format: int = FORMAT
    kolo: str
    started: float
    """Unix time in seconds."""
    elapsed_s: float = 0.0
    partial: bool = False
    """It was stopped before its end."""
    seed: int = 0
    planned_rounds: int = 1
    cached: bool = False
    """Prompts repeat, so that prefix caches may help."""
    goals: list[str] = []
    sweep: bool = False
    """The load was doubled until the output grew no more."""
    body: dict[str, Any] = {}
    """Fields that were put into every request."""
    host: Host
    targets: list[Target] = []
    workloads: list[WorkloadInfo] = []
    cells: list[Cell] = []
    engine: list[EngineCell] = []
    shape: Shape | None = None
    notes: list[str] = []
    """What a reader must know before believing the numbers."""
    summary: list[Row] = []

    def cell(self, target: str, workload: str, load: Load) -> Cell:
        """The cell of that name, made if it is not there yet."""
        for cell in self.cells:
            if (cell.target, cell.workload, cell.load) == (target, workload, load):
                return cell
        self.cells.append(Cell(target=target, workload=workload, load=load))
        return self.cells[-1]


def encode(run: Run) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(run)


def decode(data: bytes) -> Run:
    """The document that ``encode`` wrote. ValueError says why it cannot be read."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).format
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is no document of a run: {error}") from None
    if version > FORMAT:
        raise ValueError(f"was written by a newer Kolo (format {version}, this one reads {FORMAT})")
    try:
        return msgspec.json.decode(data, type=Run)
    except msgspec.DecodeError as error:
        raise ValueError(f"is no whole document of a run: {error}") from None


class _Versioned(Struct):
    format: int
