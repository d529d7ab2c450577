"""Bodies and replies of llama-server's own routes, but for those that generate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Model = Annotated[
    str | None, Meta(description="A model of GET /models; may be left out where there is only one.")
]
MAX_DOCUMENTS = 10_000

# Tokens ----------------------------------------------------------------------------------


class TokenizeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: str
    add_special: Annotated[
        bool, Meta(description="Add what the model puts around a prompt, such as BOS.")
    ] = False
    parse_special: Annotated[
        bool, Meta(description="Read control tokens where their text stands.")
    ] = True
    with_pieces: bool = False
    model: Model = None


class TokenPiece(Struct, kw_only=True):
    id: int
    piece: Annotated[
        str | list[int], Meta(description="Text, or bytes where they are no text by themselves.")
    ]


class TokenizeReply(Struct, kw_only=True):
    tokens: list[int | TokenPiece]


class DetokenizeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tokens: list[Token]
    model: Model = None


class DetokenizeReply(Struct, kw_only=True):
    content: str


class TemplateReply(Struct, kw_only=True):
    prompt: str


# Rerank ----------------------------------------------------------------------------------


class DocumentBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str


class RerankBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jina's form with ``documents``, or Text Embeddings Inference's with ``texts``."""

    query: str
    documents: (
        Annotated[list[str | DocumentBody], Meta(min_length=1, max_length=MAX_DOCUMENTS)] | None
    ) = None
    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_DOCUMENTS)] | None = None
    top_n: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None,
        Meta(description="The best so many; all if left out."),
    ] = None
    return_documents: Annotated[
        bool | None, Meta(description="Jina's: each result with its document.")
    ] = None
    return_text: Annotated[
        bool | None, Meta(description="Of Text Embeddings Inference: each result with its text.")
    ] = None
    model: Model = None


class RankedDocument(Struct, kw_only=True):
    text: str


class RankedResult(Struct, kw_only=True):
    index: Annotated[int, Meta(description="Of the document, as it was sent.")]
    relevance_score: float
    document: RankedDocument | UnsetType = UNSET


class RerankUsage(Struct, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class RerankReply(Struct, kw_only=True):
    model: str
    object: Literal["list"] = "list"
    usage: RerankUsage
    results: list[RankedResult]


class RankedText(Struct, kw_only=True):
    """A result of Text Embeddings Inference, which answers with a list of them."""

    index: int
    score: float
    text: str | UnsetType = UNSET


# Properties and slots --------------------------------------------------------------------


class PropsQuery(Struct, frozen=True, kw_only=True):
    model: Annotated[
        str | None, Meta(description="Its properties; those of the server if left out.")
    ] = None
    autoload: Annotated[bool, Meta(description="Load the model if it is not.")] = True


class SlotsQuery(Struct, frozen=True, kw_only=True):
    model: Model = None
    autoload: Annotated[bool, Meta(description="Load the model if it is not.")] = False
    fail_on_no_slot: Annotated[
        str | None, Meta(description="If it is not empty: 503 when no slot is idle.")
    ] = None


class GenerationSettings(Struct, kw_only=True):
    params: dict[str, Any]
    n_ctx: int


class Modalities(Struct, kw_only=True):
    vision: bool = False
    video: bool = False
    audio: bool = False


class PropsReply(Struct, kw_only=True):
    """One model, or with ``role`` "router" the server."""

    default_generation_settings: GenerationSettings
    model_alias: str
    model_path: str
    build_info: str
    ui_settings: dict[str, Any] = {}
    role: Literal["router"] | UnsetType = UNSET
    max_instances: Annotated[
        int | UnsetType, Meta(description="Engines loaded at a time; 0 is as many as fit.")
    ] = UNSET
    models_autoload: bool | UnsetType = UNSET
    total_slots: int | UnsetType = UNSET
    model_ftype: str | UnsetType = UNSET
    modalities: Modalities | UnsetType = UNSET
    endpoint_slots: bool | UnsetType = UNSET
    endpoint_props: bool | UnsetType = UNSET
    endpoint_metrics: bool | UnsetType = UNSET
    chat_template: str | UnsetType = UNSET
    chat_template_tool_use: str | UnsetType = UNSET
    chat_template_caps: dict[str, bool] | UnsetType = UNSET
    template_family: Annotated[
        str | UnsetType,
        Meta(description="Whose way of writing tool calls and thoughts is read, decided at load."),
    ] = UNSET
    template_source: Annotated[str | UnsetType, Meta(description="file, given, or default.")] = (
        UNSET
    )
    bos_token: str | UnsetType = UNSET
    eos_token: str | UnsetType = UNSET
    is_sleeping: bool | UnsetType = UNSET
    system_info: str | UnsetType = UNSET


class NextToken(Struct, kw_only=True):
    has_next_token: bool
    has_new_line: Annotated[bool, Meta(description="There is a line break in what was written.")]
    n_remain: Annotated[int, Meta(description="The most tokens it may still write.")]
    n_decoded: int


class SlotReply(Struct, kw_only=True):
    id: int
    n_ctx: int
    speculative: Annotated[bool, Meta(description="Tokens may be guessed ahead.")]
    is_processing: bool
    state: Literal["idle", "prefill", "decode"]
    n_cached_tokens: Annotated[int, Meta(description="Tokens whose KV the slot holds.")]
    id_task: int | UnsetType = UNSET
    n_prompt_tokens: int | UnsetType = UNSET
    n_prompt_tokens_processed: int | UnsetType = UNSET
    n_prompt_tokens_cache: int | UnsetType = UNSET
    params: Annotated[
        dict[str, Any] | UnsetType,
        Meta(description="What holds for the request, but for what tells of its content."),
    ] = UNSET
    next_token: list[NextToken] | UnsetType = UNSET
