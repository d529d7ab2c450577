"""What is asked of an engine and what comes back: plain data, no behaviour.

The same structs are decoded from HTTP bodies' inner parts, sent to the worker as frames,
and read by the command line. A field that is ``None`` means "as the model or the engine
decides"; everything else is honoured or refused, never ignored.

Units: token counts are counts, ``*_ms`` are milliseconds, ``*_bytes`` are bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from kolo.stats import EngineStats
from kolo.timing import Measure, Measured

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
Role = Literal["system", "developer", "user", "assistant", "tool"]
Pooling = Literal["none", "mean", "cls", "last", "rank"]

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Seed = Annotated[int, Meta(ge=-1, le=2**63 - 1)]


# What is asked -------------------------------------------------------------------------


class Sampling(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Sampling parameters, llama.cpp's names and meanings (its ``llama_sampler_init_*``).

    ``temperature`` 0 is greedy. ``seed`` -1 or None draws one, which the answer reports.
    ``samplers`` is the order of the chain, of ``SAMPLER_NAMES``; those left out are off.
    ``logit_bias`` maps a token id (as decimal text) or a string to a bias; a string biases
    each of its tokens; -100 or below forbids.
    """

    temperature: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    dynatemp_range: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    dynatemp_exponent: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    top_p: Unit | None = None
    min_p: Unit | None = None
    typical_p: Unit | None = None
    top_n_sigma: Annotated[float, Meta(ge=-1.0, le=1000.0)] | None = None
    xtc_probability: Unit | None = None
    xtc_threshold: Unit | None = None
    dry_multiplier: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    dry_base: Annotated[float, Meta(ge=1.0, le=100.0)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=0, le=2**20)] | None = None
    dry_penalty_last_n: Annotated[int, Meta(ge=-1, le=2**20)] | None = None
    dry_sequence_breakers: Annotated[list[str], Meta(max_length=64)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0.0, le=100.0)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1, le=2**20)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-100.0, le=100.0)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-100.0, le=100.0)] | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(gt=0.0, le=100.0)] | None = None
    mirostat_eta: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    min_keep: Annotated[int, Meta(ge=0, le=2**20)] | None = None
    samplers: Annotated[list[str], Meta(max_length=32)] | None = None
    seed: Seed | None = None
    logit_bias: dict[str, float] | None = None
    ignore_eos: bool = False


SAMPLER_NAMES = (
    "penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc",
    "temperature",
)  # fmt: skip


class Constraint(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the answer must look like; exactly one field is set."""

    grammar: str | None = None
    """GBNF, llama.cpp's notation, root rule ``root``."""
    json_schema: dict[str, Any] | bool | None = None
    json_object: bool = False
    choices: list[str] | None = None


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    name: str
    arguments: str
    """JSON text, as OpenAI sends it."""


class ToolCall(Struct, frozen=True, kw_only=True):
    id: str = ""
    type: str = "function"
    function: FunctionCall


class Message(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One turn of a conversation in OpenAI's shape, its content already joined to text."""

    role: str
    content: str | None = None
    reasoning_content: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, kw_only=True):
    type: str = "function"
    function: Function


class Reasoning(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How much the model may think: off, an effort its template knows, or a token budget."""

    enabled: bool | None = None
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    budget_tokens: Count | None = None


class Chat(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="chat"):
    """A conversation to be rendered by the model's own template."""

    messages: list[Message]
    tools: list[Tool] | None = None
    tool_choice: str = "auto"
    """``none``, ``auto``, ``required``, or ``function:NAME``."""
    parallel_tool_calls: bool = True
    reasoning: Reasoning | None = None
    template_kwargs: dict[str, Any] | None = None
    continue_last: bool = False
    """Carry on the last assistant message instead of opening a new one."""
    parse: bool = True
    """Split reasoning and tool calls from the answer; off gives the raw text."""


class Prompt(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="prompt"):
    """Text or token ids taken as they are; with ``suffix``, the middle is to be filled in."""

    text: str | None = None
    tokens: list[int] | None = None
    suffix: str | None = None
    prefix_context: list[tuple[str, str]] | None = None
    """Further files (name, text) for infill where the model knows repositories."""
    add_special: bool = True
    parse_special: bool = True


class Generate(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="generate"):
    """One request for text. ``max_tokens`` None runs to the end of the context."""

    input: Chat | Prompt
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    max_tokens: Count | None = None
    min_tokens: Count = 0
    stop: list[str] = []
    n: Annotated[int, Meta(ge=1, le=128)] = 1
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] = 0
    prompt_logprobs: bool = False
    """Also the log-probability of each prompt token (turns prefix reuse off)."""
    cache_prompt: bool = True
    deadline_ms: Annotated[int, Meta(ge=1)] | None = None
    user: str = ""
    """Whose share of the engine this counts against; opaque."""


class Embed(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="embed"):
    inputs: list[str | list[int]]
    normalize: bool = True


class Rerank(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="rerank"):
    query: str
    documents: list[str]


class Tokenize(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="tokenize"):
    text: str
    add_special: bool = False
    parse_special: bool = True


class Detokenize(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="detokenize"):
    tokens: list[int]


class Render(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="render"):
    """Apply the chat template only."""

    chat: Chat


class Inspect(Struct, frozen=True, tag="inspect"):
    """Ask for ``EngineStats``; answered between two steps."""


Operation = Generate | Embed | Rerank | Tokenize | Detokenize | Render | Inspect | Measure


# What comes back -----------------------------------------------------------------------


class TokenLogprob(Struct, frozen=True, array_like=True):
    token: int
    text: str
    raw: bytes
    logprob: float
    top: list[tuple[int, str, bytes, float]] = []


class ToolCallDelta(Struct, frozen=True, array_like=True):
    """A piece of a tool call; the first one of an ``index`` carries id and name."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Delta(Struct, array_like=True):
    """What one choice of one request gained in a step. ``finish`` is set on its last one."""

    id: int
    index: int
    text: str
    n_tokens: int
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = []
    logprobs: list[TokenLogprob] = []
    finish: FinishReason | None = None
    stop_sequence: str | None = None
    slot: int = -1
    """Where it was written; -1 if that is not told."""


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens counted where they happen. ``prompt_tokens`` includes the cached ones."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


class Timings(Struct, frozen=True, kw_only=True):
    """Where a request's time went, all in milliseconds on the worker's clock.

    ``queue_ms``: submit to the start of prefill. ``prefill_ms``: start of prefill to the
    first token. ``ttft_ms`` is their sum. ``decode_ms``: first token to the last.
    """

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    ttft_ms: float = 0.0
    decode_ms: float = 0.0
    draft_tokens: int = 0
    draft_accepted: int = 0


class Generated(Struct, frozen=True, kw_only=True, tag="generated"):
    usage: Usage
    timings: Timings
    seed: int = 0
    prompt_logprobs: list[TokenLogprob | None] | None = None


class Embedded(Struct, frozen=True, kw_only=True, tag="embedded"):
    vectors: list[list[float]]
    prompt_tokens: int


class Reranked(Struct, frozen=True, kw_only=True, tag="reranked"):
    scores: list[float]
    prompt_tokens: int


class Tokenized(Struct, frozen=True, kw_only=True, tag="tokenized"):
    tokens: list[int]
    pieces: list[bytes]


class Detokenized(Struct, frozen=True, kw_only=True, tag="detokenized"):
    text: str


class Rendered(Struct, frozen=True, kw_only=True, tag="rendered"):
    prompt: str


Result = (
    Generated | Embedded | Reranked | Tokenized | Detokenized | Rendered | EngineStats | Measured
)


# How a model is loaded -------------------------------------------------------------------

KVType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl"]


Stops = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=4096)]],
    Meta(max_length=32, description="Texts that end an answer, beside those that a request names."),
]
System = Annotated[
    str,
    Meta(
        max_length=2**20,
        description="The system message of a conversation that has none; empty for none.",
    ),
]


class Lora(Struct, frozen=True, omit_defaults=True):
    path: str
    scale: float = 1.0


class LoadParams(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How to load a model; None means "from the model and the machine".

    Kolosal's ten keys are here under llama.cpp's names too (``n_ctx``, ``n_keep`` and so on
    are mapped in ``server``). ``ctx`` is tokens for EACH of ``parallel`` requests.
    """

    ctx: Annotated[int, Meta(ge=8, le=2**27)] | None = None
    parallel: Annotated[int, Meta(ge=1, le=256)] | None = None
    batch: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    ubatch: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    threads_batch: Annotated[int, Meta(ge=1, le=1024)] | None = None
    gpu_layers: Annotated[int, Meta(ge=-1, le=10000)] | None = None
    main_gpu: Annotated[int, Meta(ge=-1, le=64)] | None = None
    split_mode: Literal["none", "layer", "row"] | None = None
    tensor_split: list[float] | None = None
    devices: list[str] | None = None
    kv_type_k: KVType | None = None
    kv_type_v: KVType | None = None
    kv_unified: bool = False
    kv_offload: bool = True
    flash_attn: Literal["auto", "on", "off"] = "auto"
    rope_scaling: Literal["none", "linear", "yarn", "longrope"] | None = None
    rope_freq_base: Annotated[float, Meta(gt=0)] | None = None
    rope_freq_scale: Annotated[float, Meta(gt=0)] | None = None
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_fast: float | None = None
    yarn_beta_slow: float | None = None
    yarn_orig_ctx: Annotated[int, Meta(ge=0, le=2**27)] | None = None
    lora: list[Lora] = []
    mmap: bool = True
    mlock: bool = False
    check_tensors: bool = False
    warmup: bool = True
    """Run and time the model once at load; off, nothing is padded and the first is slower."""
    pooling: Pooling | None = None
    chat_template: str | None = None
    """Jinja source that replaces the one in the file."""
    cache_store_bytes: Annotated[int, Meta(ge=0, le=2**50)] | None = None
    """Bound of the prefix store in host memory; None is a share of what is free."""
    prefill_budget_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    """How long one prefill chunk may hold up streams that are decoding."""
    speculation: Literal["auto", "always", "off"] = "auto"
    """Guess several tokens at once where that pays; what is drawn stays the same."""
    draft_model: str | None = None
    """A smaller model of the same vocabulary, a GGUF file, that guesses for this one."""
    sampling: Sampling = Sampling()
    """Defaults for fields a request leaves unset."""
    stop: Stops | None = None
    """Beside those of a request, and unlike them not told; None as the model was published with,
    else none."""
    system: System | None = None
    """None as the model was published with, else none; empty is none in any case."""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What a worker says of the model it has loaded."""

    architecture: str = ""
    description: str = ""
    n_params: int = 0
    size_bytes: int = 0
    n_ctx: int = 0
    """Tokens for each request."""
    n_ctx_train: int = 0
    parallel: int = 1
    n_vocab: int = 0
    n_embd: int = 0
    n_layer: int = 0
    vocab_type: str = ""
    ftype: str = ""
    bos_token: str = ""
    eos_token: str = ""
    chat_template: str = ""
    named_templates: dict[str, str] = {}
    """Further templates of the file by name, such as ``tool_use``."""
    template_source: str = ""
    """``file``, ``given`` or ``default``."""
    template_family: str = ""
    template_caps: dict[str, bool] = {}
    can_chat: bool = True
    can_embed: bool = False
    can_rerank: bool = False
    can_infill: bool = False
    pooling: str = "none"
    threads: int = 0
    gpu_layers: int = 0
    devices: list[str] = []
    buffers: dict[str, int] = {}
    """Bytes allocated at load by device, as llama.cpp names them: weights, KV, computing."""
    kv_bytes: int = 0
    pad_widths: dict[int, int] = {}
    """Decode width to the width it is padded to, as calibrated."""
    system_info: str = ""
    sampling: Sampling = Sampling()
    """What holds for a request that sets nothing."""
    stop: list[str] = []
    """What ends any answer, beside what a request names."""
