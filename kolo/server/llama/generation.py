"""Bodies and replies of llama-server's own routes that generate."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from kolo.server.openai.fields import REFUSED, Common, Tokens
from kolo.server.openai.replies import ProgressReply, TimingsReply
from kolo.server.openai.schemas import Token

MAX_PROBABILITIES = 20
Nothing = Annotated[list[Any], Meta(max_length=0)]
Probabilities = Annotated[int, Meta(ge=0, le=MAX_PROBABILITIES)]

_REFUSED = {
    "post_sampling_probs": "the probabilities are the model's own; only false is taken",
    "t_max_predict_ms": "an answer is bound in tokens; only 0 is taken",
    "n_indent": "lines are not judged by their indentation; only 0 is taken",
    "n_cache_reuse": "a cache is reused by its beginning; only 0 is taken",
    "grammar_lazy": "a grammar holds from the first token on; only false is taken",
    "backend_sampling": "there is one way to sample; only false is taken",
    "verbose": "there is nothing more to tell; only false is taken",
    "lora": "adapters are the loaded model's (load parameter lora); only [] is taken",
    "response_fields": "the reply is sent whole; only [] is taken",
}


class GenerationBody(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /completion and /infill share."""

    REFUSED: ClassVar[dict[str, str]] = REFUSED | _REFUSED

    n_cmpl: Annotated[
        Annotated[int, Meta(ge=1, le=128)] | None, Meta(description="Answers to each prompt.")
    ] = None
    n_probs: Annotated[
        Probabilities | None, Meta(description="Of each token, and of so many others.")
    ] = None
    logprobs: Annotated[Probabilities | None, Meta(description="As n_probs.")] = None
    max_completion_tokens: Annotated[Tokens | None, Meta(description="As n_predict.")] = None
    return_tokens: Annotated[
        bool | None, Meta(description="Send the ids of the tokens; streams always do.")
    ] = None
    post_sampling_probs: Literal[False] | None = None
    t_max_predict_ms: Literal[0] | None = None
    n_indent: Literal[0] | None = None
    n_cache_reuse: Literal[0] | None = None
    grammar_lazy: Literal[False] | None = None
    backend_sampling: Literal[False] | None = None
    verbose: Literal[False] | None = None
    lora: Nothing | None = None
    response_fields: Nothing | None = None


class NativeBody(GenerationBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /completion."""

    prompt: Annotated[
        str | list[str | Token | list[Token]],
        Meta(description="A text, token ids, or a list of either; each is answered by itself."),
    ]


class ExtraFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str
    filename: str = "tmp"


class InfillBody(GenerationBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /infill, for models with fill-in-the-middle tokens."""

    input_prefix: Annotated[str, Meta(description="What is before the gap.")]
    input_suffix: Annotated[str, Meta(description="What is after it.")]
    input_extra: Annotated[
        Annotated[list[ExtraFile], Meta(max_length=1024)] | None,
        Meta(description="Other files of the project, for models that know repositories."),
    ] = None
    prompt: Annotated[str, Meta(description="Added to input_prefix.")] = ""


class TopProbability(Struct, kw_only=True):
    id: int
    token: str
    bytes: list[int]
    logprob: float


class TokenProbability(Struct, kw_only=True):
    id: int
    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[TopProbability]


class PartialReply(Struct, kw_only=True):
    """An event while the answer is written."""

    index: int
    content: str
    tokens: list[int]
    stop: Literal[False] = False
    id_slot: Annotated[int, Meta(description="Where it was written.")] = -1
    tokens_predicted: int
    tokens_evaluated: int | UnsetType = UNSET
    completion_probabilities: list[TokenProbability] | UnsetType = UNSET
    prompt_progress: ProgressReply | UnsetType = UNSET
    timings: dict[str, float] | UnsetType = UNSET


class FinalReply(Struct, kw_only=True):
    """An answer; of a stream the last event of a choice, its content having been sent before."""

    index: int
    content: str
    tokens: list[int]
    id_slot: Annotated[int, Meta(description="Where it was written.")] = -1
    stop: Literal[True] = True
    model: str
    tokens_predicted: int
    tokens_evaluated: Annotated[int, Meta(description="Of the prompt, cached ones included.")]
    generation_settings: Annotated[
        dict[str, Any], Meta(description="What was set, by the request or by the model.")
    ]
    prompt: str
    has_new_line: bool
    truncated: Annotated[bool, Meta(description="Never: a prompt that is too long is refused.")] = (
        False
    )
    stop_type: Literal["none", "eos", "limit", "word"]
    stopping_word: str
    tokens_cached: Annotated[int, Meta(description="Of the prompt, taken from a cache.")]
    timings: TimingsReply
    completion_probabilities: list[TokenProbability] | UnsetType = UNSET
