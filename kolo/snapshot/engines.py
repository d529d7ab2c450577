"""What a snapshot says of engines, and of the requests and downloads under way."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kolo.snapshot.machine import Process
from kolo.snapshot.numbers import Totals, Windows

EngineState = Literal["unloaded", "loading", "loaded", "unloading", "failed"]
RequestState = Literal["queued", "prefill", "decode"]


class Model(Struct, frozen=True, kw_only=True):
    """What an engine has loaded."""

    architecture: str = ""
    description: str = ""
    quant: str = ""
    """GGUF's file type, such as ``Q4_K - Medium``."""
    n_params: int = 0
    size_bytes: int = 0
    n_ctx: int = 0
    """Tokens for each request."""
    n_ctx_train: int = 0
    parallel: int = 0
    n_layer: int = 0
    gpu_layers: int = 0
    devices: list[str] = []
    threads: int = 0
    kv_bytes: int = 0
    can_chat: bool = False
    can_embed: bool = False
    can_rerank: bool = False


class Slot(Struct, frozen=True, kw_only=True):
    """One sequence of an engine's context."""

    id: int
    state: Literal["idle", "prefill", "decode"] = "idle"
    request: int | None = None
    """The ``id`` of one of the engine's requests."""
    held_tokens: int = 0
    """Tokens whose KV it holds; those of an idle slot wait to be used again."""
    prompt_tokens: int = 0
    prompt_done: int = 0
    """Of them, those in the KV."""
    cached_tokens: int = 0
    """Of them, those that were taken from a cache."""
    output_tokens: int = 0


class Kv(Struct, frozen=True, kw_only=True):
    """Cells of an engine's KV cache, in tokens. A cell that two slots share counts for both."""

    total_tokens: int
    used_tokens: int = 0
    """Of requests under way."""
    cached_tokens: int = 0
    """Held by idle slots, to be used again or given up."""
    bytes: int | None = None
    store_bytes: int = 0
    """Prefixes kept outside of it, in host memory."""
    store_entries: int = 0


class Failure(Struct, frozen=True, kw_only=True):
    message: str
    hint: str = ""


class Engine(Struct, frozen=True, kw_only=True):
    id: str
    aliases: list[str] = []
    state: EngineState = "unloaded"
    stage: str = ""
    """What a load is doing, such as ``memory`` or ``weights``."""
    progress: float | None = None
    """Of the stage, 0 to 1; null unless loading."""
    error: Failure | None = None
    """Why it failed."""
    source: str = ""
    """``builtin``, ``config`` or ``path``."""
    path: str = ""
    model: Model | None = None
    """Null unless loaded."""
    loaded_at: float | None = None
    load_ms: float | None = None
    pinned: bool = False
    ttl_s: float | None = None
    """Idle time after which it is unloaded; null for never."""
    expires_s: float | None = None
    """Time until then; null while it is not counting."""
    idle_s: float | None = None
    """Since it was last used; null if it never was, 0 while it is in use."""
    process: Process | None = None
    """Its worker."""
    memory_bytes: int | None = None
    """Host memory that the manager counts for it: estimated while it loads, then measured."""
    device_bytes: int | None = None
    """Memory on GPUs as estimated."""
    running: int = 0
    """Requests that hold a slot."""
    waiting: int = 0
    """Requests in its queue."""
    max_queue: int = 0
    slots: list[Slot] | None = None
    """Null while it is not loaded or has not told yet; so is ``kv``."""
    kv: Kv | None = None
    stats_age_s: float | None = None
    """How old ``slots`` and ``kv`` are: a worker answers between two steps."""
    preemptions: int | None = None
    """Requests put back in the queue for want of KV cells, since its load."""
    windows: Windows = Windows()
    totals: Totals = Totals()


class Request(Struct, frozen=True, kw_only=True):
    """A request under way."""

    id: int
    """Unique for the engine while it is loaded."""
    engine: str
    kind: Literal["generate", "embed", "rerank"] = "generate"
    state: RequestState = "queued"
    cancelled: bool = False
    """Its client has gone; it ends within a step."""
    age_s: float = 0.0
    slot: int | None = None
    prompt_tokens: int | None = None
    """Null until it holds a slot."""
    prompt_done: int | None = None
    cached_tokens: int | None = None
    output_tokens: int = 0
    tokens_per_s: float | None = None
    """Emitted over the last 5 seconds, or since its first token; null before that."""
    ttft_ms: float | None = None
    user: str = ""
    """As the request says."""
    client: str = ""
    """Address it came from."""


class Download(Struct, frozen=True, kw_only=True):
    """A model that is being fetched."""

    id: str
    model: str
    state: str
    done_bytes: int = 0
    total_bytes: int | None = None
    bytes_per_s: float | None = None
