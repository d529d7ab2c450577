"""llama-server's own API, and its router's verbs with llama-swap's names for them."""

from __future__ import annotations

from kolo.errors import (
    BadTemplate,
    Busy,
    ConfigError,
    ContextLengthExceeded,
    ModelNotFound,
    Unsupported,
    UsageError,
)
from kolo.server.kolosal.problems import PATH_ERRORS, EngineExists
from kolo.server.llama.completion import completion, infill
from kolo.server.llama.generation import FinalReply, InfillBody, NativeBody, PartialReply
from kolo.server.llama.props import NotLoaded, props, slots
from kolo.server.llama.rerank import rerank
from kolo.server.llama.router import (
    load_model,
    models_sse,
    unload_all,
    unload_model,
    unload_one,
)
from kolo.server.llama.schemas import (
    DetokenizeBody,
    DetokenizeReply,
    PropsQuery,
    PropsReply,
    RankedText,
    RerankBody,
    RerankReply,
    SlotReply,
    SlotsQuery,
    TemplateReply,
    TokenizeBody,
    TokenizeReply,
)
from kolo.server.llama.tokens import apply_template, detokenize, tokenize
from kolo.server.llama.verbs import (
    AlreadyRunning,
    ChangeReply,
    ForceQuery,
    LoadBody,
    LoadImpossible,
    LoadReply,
    LoadTooLarge,
    NotRunning,
    UnloadBody,
    UnloadReply,
)
from kolo.server.openai import ENGINE_ERRORS, GENERATE_ERRORS
from kolo.server.openai.schemas import ChatBody
from kolo.server.route import Route

TAG = "llama-server"

ROUTES = [
    Route(
        method="GET",
        paths=("/props",),
        handler=props,
        tag=TAG,
        summary="Properties of a model, or of the server",
        query=PropsQuery,
        reply=PropsReply,
        errors=(*ENGINE_ERRORS, NotLoaded),
    ),
    Route(
        method="GET",
        paths=("/slots",),
        handler=slots,
        tag=TAG,
        summary="What each slot of a model is doing",
        query=SlotsQuery,
        reply=list[SlotReply],
        errors=(*ENGINE_ERRORS, NotLoaded),
    ),
    Route(
        method="POST",
        paths=("/tokenize",),
        handler=tokenize,
        tag=TAG,
        summary="Text to tokens",
        body=TokenizeBody,
        reply=TokenizeReply,
        errors=ENGINE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/detokenize",),
        handler=detokenize,
        tag=TAG,
        summary="Tokens to text",
        body=DetokenizeBody,
        reply=DetokenizeReply,
        errors=(*ENGINE_ERRORS, UsageError),
    ),
    Route(
        method="POST",
        paths=("/apply-template",),
        handler=apply_template,
        tag=TAG,
        summary="A conversation as the model's template writes it",
        body=ChatBody,
        reply=TemplateReply,
        errors=(*ENGINE_ERRORS, BadTemplate, Unsupported),
    ),
    Route(
        method="POST",
        paths=("/v1/rerank", "/rerank", "/v1/reranking", "/reranking"),
        handler=rerank,
        tag=TAG,
        summary="Order documents by their relevance to a query",
        body=RerankBody,
        reply=RerankReply | list[RankedText],
        errors=(*ENGINE_ERRORS, ContextLengthExceeded, Unsupported),
    ),
    Route(
        method="POST",
        paths=("/completion",),
        handler=completion,
        tag=TAG,
        summary="Continue a text; a list of replies for several prompts or answers",
        body=NativeBody,
        reply=FinalReply | list[FinalReply],
        chunk=PartialReply,
        errors=GENERATE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/infill",),
        handler=infill,
        tag=TAG,
        summary="Fill in what is missing between two texts",
        body=InfillBody,
        reply=FinalReply | list[FinalReply],
        chunk=PartialReply,
        errors=GENERATE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/models/load",),
        handler=load_model,
        tag=TAG,
        summary="Load a model, by default without waiting for it",
        body=LoadBody,
        reply=LoadReply,
        errors=(
            *ENGINE_ERRORS,
            *PATH_ERRORS,
            LoadImpossible,
            LoadTooLarge,
            AlreadyRunning,
            EngineExists,
            ConfigError,
        ),
    ),
    Route(
        method="POST",
        paths=("/models/unload",),
        handler=unload_model,
        tag=TAG,
        summary="Unload a model, or give its load up",
        body=UnloadBody,
        reply=UnloadReply,
        errors=(ModelNotFound, NotRunning, Busy),
    ),
    Route(
        method="POST",
        paths=("/api/models/unload/<path:id>",),
        handler=unload_one,
        tag=TAG,
        summary="Unload a model if it is loaded",
        query=ForceQuery,
        reply=UnloadReply,
        errors=(ModelNotFound, Busy),
    ),
    Route(
        method="POST",
        paths=("/api/models/unload",),
        handler=unload_all,
        tag=TAG,
        summary="Unload every model that is not in use",
        query=ForceQuery,
        reply=UnloadReply,
        errors=(Busy,),
    ),
    Route(
        method="GET",
        paths=("/models/sse",),
        handler=models_sse,
        tag=TAG,
        summary="What happens to models, as it happens",
        chunk=ChangeReply,
    ),
]
