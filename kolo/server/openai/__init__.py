"""OpenAI's API: chat and text completions, embeddings, models."""

from __future__ import annotations

from kolo.errors import (
    BadGrammar,
    BadParameter,
    BadTemplate,
    Busy,
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineCrashed,
    EngineStopped,
    InternalError,
    LoadFailed,
    ModelInvalid,
    ModelNotFound,
    OutOfMemory,
    Unsupported,
)
from kolo.server.openai.chat import chat_completions
from kolo.server.openai.completions import completions
from kolo.server.openai.embeddings import embeddings
from kolo.server.openai.models import get_model, list_models
from kolo.server.openai.replies import (
    ChatChunk,
    ChatReply,
    EmbeddingReply,
    ModelCard,
    ModelList,
    TextReply,
)
from kolo.server.openai.schemas import ChatBody, CompletionBody, EmbeddingBody
from kolo.server.route import INFER, LISTS, Route

ENGINE_ERRORS = (
    ModelNotFound,
    ModelInvalid,
    LoadFailed,
    OutOfMemory,
    Busy,
    EngineCrashed,
    EngineStopped,
    DeadlineExceeded,
    InternalError,
)
"""What may go wrong wherever an engine is asked."""
GENERATE_ERRORS = (
    *ENGINE_ERRORS,
    BadParameter,
    ContextLengthExceeded,
    BadGrammar,
    BadTemplate,
    Unsupported,
)

TAG = "OpenAI"

ROUTES = [
    Route(
        method="POST",
        paths=("/v1/chat/completions", "/chat/completions"),
        scopes=INFER,
        handler=chat_completions,
        tag=TAG,
        summary="Answer a conversation",
        body=ChatBody,
        reply=ChatReply,
        chunk=ChatChunk,
        errors=GENERATE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/v1/completions", "/completions"),
        scopes=INFER,
        handler=completions,
        tag=TAG,
        summary="Continue a text, or fill in its middle",
        body=CompletionBody,
        reply=TextReply,
        chunk=TextReply,
        errors=GENERATE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/v1/embeddings", "/embeddings"),
        scopes=INFER,
        handler=embeddings,
        tag=TAG,
        summary="Turn texts into vectors",
        body=EmbeddingBody,
        reply=EmbeddingReply,
        errors=(*ENGINE_ERRORS, BadParameter, ContextLengthExceeded, Unsupported),
    ),
    Route(
        method="GET",
        paths=("/v1/models",),
        scopes=LISTS,
        handler=list_models,
        tag=TAG,
        summary="List the models",
        reply=ModelList,
    ),
    Route(
        method="GET",
        paths=("/v1/models/<path:name>",),
        scopes=LISTS,
        handler=get_model,
        tag=TAG,
        summary="Show one model",
        reply=ModelCard,
        errors=(ModelNotFound, BadParameter),
    ),
]
