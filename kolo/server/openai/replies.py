"""What OpenAI's routes answer, with llama-server's ``timings`` beside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Finish = Literal["stop", "length", "tool_calls"]


class PromptDetails(Struct, kw_only=True):
    cached_tokens: int


class CompletionDetails(Struct, kw_only=True):
    reasoning_tokens: int


class UsageReply(Struct, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class TimingsReply(Struct, kw_only=True):
    """llama-server's names; ``*_ms`` are milliseconds."""

    cache_n: Annotated[int, Meta(description="Prompt tokens taken from a cache.")]
    prompt_n: Annotated[int, Meta(description="Prompt tokens computed.")]
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: Annotated[int, Meta(description="Tokens written.")]
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float
    queue_ms: Annotated[float | UnsetType, Meta(description="Wait for a slot.")] = UNSET
    ttft_ms: Annotated[float | UnsetType, Meta(description="From arrival to the first token.")] = (
        UNSET
    )
    draft_n: int | UnsetType = UNSET
    draft_n_accepted: int | UnsetType = UNSET


class ProgressReply(Struct, kw_only=True):
    """How far a prompt has been read, in tokens."""

    total: int
    cache: int
    processed: int
    time_ms: int


# Chat ------------------------------------------------------------------------------------


class TopToken(Struct, kw_only=True):
    token: str
    logprob: float
    bytes: list[int]


class ChatToken(Struct, kw_only=True):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopToken]


class ChatLogprobs(Struct, kw_only=True):
    content: list[ChatToken]
    refusal: None = None


class FunctionReply(Struct, kw_only=True):
    name: str
    arguments: str


class CallReply(Struct, kw_only=True):
    id: str
    type: Literal["function"] = "function"
    function: FunctionReply


class MessageReply(Struct, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: list[Any] = []
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[CallReply] | UnsetType = UNSET


class ChatChoice(Struct, kw_only=True):
    index: int
    message: MessageReply
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatReply(Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageReply
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str
    timings: TimingsReply


class FunctionDelta(Struct, kw_only=True):
    name: str | UnsetType = UNSET
    arguments: str


class CallDelta(Struct, kw_only=True):
    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionDelta


class ChatDelta(Struct, kw_only=True):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET


class ChatChunkChoice(Struct, kw_only=True):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: Finish | None = None


class ChatChunk(Struct, kw_only=True):
    """One event of a streamed chat answer; the stream ends with ``data: [DONE]``."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: UsageReply | UnsetType | None = UNSET
    timings: TimingsReply | UnsetType = UNSET
    prompt_progress: ProgressReply | UnsetType = UNSET


# Text ------------------------------------------------------------------------------------


class TextLogprobs(Struct, kw_only=True):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: Annotated[
        list[int], Meta(description="Where each token begins in the text of its choice.")
    ]


class TextChoice(Struct, kw_only=True):
    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: Finish | None = None


class TextReply(Struct, kw_only=True):
    """A text completion, and one event of a streamed one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    service_tier: str | UnsetType = UNSET
    system_fingerprint: str
    choices: list[TextChoice]
    usage: UsageReply | UnsetType | None = UNSET
    timings: TimingsReply | UnsetType = UNSET
    prompt_progress: ProgressReply | UnsetType = UNSET


# Embeddings ------------------------------------------------------------------------------


class EmbeddingItem(Struct, kw_only=True):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: Annotated[list[float] | str, Meta(description="Text if base64 was asked for.")]


class EmbeddingUsage(Struct, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


# Models ----------------------------------------------------------------------------------


class StatusReply(Struct, kw_only=True):
    """llama-server's router: what the model is doing."""

    value: Literal["downloading", "unloaded", "loading", "loaded"]
    args: list[str] = []
    failed: bool | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="Why it could not be loaded, or ended.")] = (
        UNSET
    )
    progress: Annotated[
        dict[str, Any] | UnsetType,
        Meta(
            description="Of a load or a download: its stage, and a value of 0 to 1; of a download "
            "also done_bytes and total_bytes, and the stage paused."
        ),
    ] = UNSET


class ArchitectureReply(Struct, kw_only=True):
    input_modalities: list[str]
    output_modalities: list[str]


class MetaReply(Struct, kw_only=True):
    """llama-server's facts of a loaded model."""

    vocab_type: str
    n_vocab: int
    n_ctx: Annotated[int, Meta(description="Tokens for each request.")]
    n_ctx_train: int
    n_embd: int
    n_params: int
    size: int
    ftype: str


class FileReply(Struct, kw_only=True):
    """What the file of a model says of it, loaded or not."""

    size_bytes: int
    n_params: int
    n_ctx_train: int
    architecture: str
    quant: str


class ModelCard(Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "kolo"
    aliases: list[str]
    tags: list[str] = []
    description: str | UnsetType = UNSET
    status: StatusReply
    architecture: ArchitectureReply
    source: Annotated[
        str,
        Meta(
            description="builtin, config, path, store, folder, hub (the cache of Hugging Face's "
            "tools) or download."
        ),
    ]
    can_remove: Annotated[bool, Meta(description="By DELETE /models?model=.")] = False
    file: FileReply | UnsetType = UNSET
    meta: MetaReply | UnsetType = UNSET


class ModelList(Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[ModelCard]
