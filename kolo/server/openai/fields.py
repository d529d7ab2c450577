"""Fields that OpenAI's generating routes share, and what becomes of each.

Every field is honoured, or accepted because it changes no answer (``HARMLESS``), or accepted
with the values that change nothing and else refused by its name (``REFUSED``). What the types
do not let pass is documented by the same types, in the words of these tables.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from kolo.types import Sampling

MAX_STOPS = 32
MAX_STOP_CHARS = 4096
MAX_CHOICES = 128

HARMLESS = {
    "metadata": "nothing is stored that it could be found by",
    "prompt_cache_key": "prefixes are found by their tokens",
    "prompt_cache_retention": "prefixes are kept as long as there is room",
    "safety_identifier": "nobody is told",
    "prediction": "it is a hint for speed alone",
}
"""Accepted with any value; why leaving it be is true to what was asked."""

REFUSED = {
    "store": "Kolo stores no completions; only false is taken",
    "include_obfuscation": "events are not padded; only false is taken",
    "service_tier": "there is one tier; only auto and default are taken",
    "audio": "Kolo writes text, no audio",
    "modalities": "Kolo writes text only",
    "web_search_options": "Kolo searches no web; offer a tool for it",
    "functions": "it is OpenAI's old form of tools; send tools",
    "function_call": "it is OpenAI's old form of tool_choice; send tool_choice",
    "verbosity": "no chat template knows it; only medium, which changes nothing, is taken",
    "reasoning_format": "thoughts are sent apart, or with all else as they were written; only "
    "auto, deepseek and none are taken",
    "id_slot": "Kolo chooses the slot that knows most of the prompt; only -1 is taken",
    "n_keep": "Kolo never cuts a prompt, so nothing is to be kept; only 0 and -1 are taken",
    "n_discard": "Kolo never shifts a context; only 0 is taken",
}
"""Refused but for the values that change nothing; why."""


def harmless(name: str) -> Meta:
    return Meta(description=f"Accepted without effect: {HARMLESS[name]}.")


def limited(name: str) -> Meta:
    return Meta(description=f"Not supported: {REFUSED[name]}.")


Text = Annotated[str, Meta(max_length=MAX_STOP_CHARS)]
Tokens = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
"""A bound in tokens; -1, llama-server's way to say none."""
Biases = Annotated[
    dict[str, float] | Annotated[list[tuple[int | str, float | bool]], Meta(max_length=4096)],
    Meta(
        description="Bias by token id or text; -100 or below, or false, forbids. "
        "An object, or llama-server's list of pairs."
    ),
]
Samplers = Annotated[
    Annotated[list[str], Meta(max_length=32)] | Annotated[str, Meta(max_length=32)],
    Meta(description="Order of the samplers: names, or llama-server's letters."),
]


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    include_usage: Annotated[
        bool | None, Meta(description="Send the usage in a chunk of its own, before the end.")
    ] = None
    include_obfuscation: Annotated[bool | None, limited("include_obfuscation")] = None


class Prediction(Struct, frozen=True, kw_only=True):
    """OpenAI's predicted output."""

    type: Literal["content"]
    content: Any


class Common(Sampling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sampling under llama.cpp's names, and what else chat and text completions share."""

    REFUSED: ClassVar[dict[str, str]] = REFUSED

    model: Annotated[
        str | None,
        Meta(description="A model of GET /v1/models; may be left out where there is only one."),
    ] = None
    stream: Annotated[
        bool | None, Meta(description="Send the answer as it forms (server-sent events).")
    ] = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    stop: Annotated[
        Text | Annotated[list[Text], Meta(max_length=MAX_STOPS)] | None,
        Meta(description=f"Up to {MAX_STOPS} texts that end the answer and are not part of it."),
    ] = None
    top_k: Annotated[
        Tokens | None, Meta(description="Draw from the k likeliest; 0 or -1 for all.")
    ] = None
    logit_bias: Biases | None = None  # type: ignore[assignment]
    samplers: Samplers | None = None  # type: ignore[assignment]
    typ_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="As typical_p.")
    ] = None
    ignore_eos: bool | None = None  # type: ignore[assignment]
    max_tokens: Annotated[
        Tokens | None, Meta(description="The most tokens to write; -1 for all there is room for.")
    ] = None
    n_predict: Annotated[Tokens | None, Meta(description="As max_tokens.")] = None
    min_tokens: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        Meta(description="The fewest tokens to write."),
    ] = None
    grammar: Annotated[
        Annotated[str, Meta(max_length=1 << 20)] | None,
        Meta(description="GBNF that the answer must follow."),
    ] = None
    json_schema: Annotated[
        dict[str, Any] | bool | None, Meta(description="JSON Schema that the answer must meet.")
    ] = None
    cache_prompt: Annotated[
        bool | None, Meta(description="Reuse what a slot knows of the prompt; true if left out.")
    ] = None
    timings_per_token: Annotated[
        bool | None, Meta(description="Send timings with every chunk, not with the last alone.")
    ] = None
    return_progress: Annotated[
        bool | None, Meta(description="Send how far the prompt has been read, while it is.")
    ] = None
    user: Annotated[
        Annotated[str, Meta(max_length=512)] | None,
        Meta(description="Whose request it is; slots are shared out fairly between users."),
    ] = None
    metadata: Annotated[dict[str, str] | None, harmless("metadata")] = None
    store: Annotated[bool | None, limited("store")] = None
    service_tier: Annotated[Literal["auto", "default"] | None, limited("service_tier")] = None
    prompt_cache_key: Annotated[str | None, harmless("prompt_cache_key")] = None
    prompt_cache_retention: Annotated[str | None, harmless("prompt_cache_retention")] = None
    safety_identifier: Annotated[str | None, harmless("safety_identifier")] = None
    id_slot: Annotated[Literal[-1] | None, limited("id_slot")] = None
    n_keep: Annotated[Literal[0, -1] | None, limited("n_keep")] = None
    n_discard: Annotated[Literal[0] | None, limited("n_discard")] = None
