"""Kolosal's API: engines and models, metrics, health, its own inference routes."""

from __future__ import annotations

from kolo.errors import (
    BadParameter,
    Busy,
    ChecksumMismatch,
    ConfigError,
    EngineStopped,
    ModelInvalid,
    ModelNotFound,
    PrivateSource,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceUnreachable,
    Unsupported,
)
from kolo.server.downloads.schemas import DownloadBegun, DownloadStarted
from kolo.server.kolosal import cancelling, health, metrics
from kolo.server.kolosal.engines import add_engine, engine_status, list_engines, remove_engine
from kolo.server.kolosal.models import (
    add_model,
    list_models,
    model_status,
    reload_settings,
    remove_model,
)
from kolo.server.kolosal.native import (
    NativeChatBody,
    NativeCompletionBody,
    NativeReply,
    complete,
    complete_chat,
)
from kolo.server.kolosal.problems import (
    PATH_ERRORS,
    DownloadFailed,
    EngineConfigured,
    EngineExists,
    LoadingFailed,
    ModelExists,
)
from kolo.server.kolosal.schemas import (
    EngineAdded,
    EngineBody,
    EngineList,
    EngineRemoved,
    EngineReport,
    ListQuery,
    ModelAdded,
    ModelBody,
    ModelRemoved,
    ModelsReply,
    RemoveQuery,
)
from kolo.server.openai import GENERATE_ERRORS
from kolo.server.reload import ReloadRefused
from kolo.server.route import INFER, LISTS, MANAGE, READ, Route

TAG = "Kolosal"

_ADD_ERRORS = (
    *PATH_ERRORS,
    DownloadFailed,
    PrivateSource,
    LoadingFailed,
    Busy,
    EngineStopped,
    ConfigError,
)
_SOURCE_ERRORS = (
    ModelNotFound,
    ModelInvalid,
    SourceError,
    SourceUnreachable,
    SourceDenied,
    SourceChanged,
    ChecksumMismatch,
)
_REMOVE_ERRORS = (ModelNotFound, BadParameter, EngineConfigured, Busy, ConfigError)

ROUTES = [
    Route(
        method="POST",
        paths=("/engines", "/v1/engines"),
        scopes=MANAGE,
        handler=add_engine,
        tag=TAG,
        summary="Add an engine: a model under a name, with loading parameters of its own. From "
        "elsewhere it is fetched first, and the answer is 202",
        body=EngineBody,
        reply=EngineAdded,
        status=201,
        also={202: DownloadStarted},
        errors=(*_ADD_ERRORS, EngineExists),
    ),
    Route(
        method="GET",
        paths=("/engines", "/v1/engines"),
        scopes=READ,
        handler=list_engines,
        tag=TAG,
        summary="List the engines, loaded or not",
        reply=EngineList,
    ),
    Route(
        method="GET",
        paths=(
            "/engines/<path:id>/status",
            "/v1/engines/<path:id>/status",
            "/engines/<path:id>",
            "/v1/engines/<path:id>",
        ),
        scopes=READ,
        handler=engine_status,
        tag=TAG,
        summary="Show one engine. A body may repeat the id as engine_id",
        reply=EngineReport,
        errors=(ModelNotFound, BadParameter),
    ),
    cancelling.ROUTE,
    Route(
        method="DELETE",
        paths=("/engines/<path:id>", "/v1/engines/<path:id>"),
        scopes=MANAGE,
        handler=remove_engine,
        tag=TAG,
        summary="Unload an engine and forget it; its file stays. A body may repeat the id",
        query=RemoveQuery,
        reply=EngineRemoved,
        errors=_REMOVE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/models", "/v1/models"),
        scopes=MANAGE,
        handler=add_model,
        tag=TAG,
        summary="Add an engine, in the later form of Kolosal's API; or with model alone, fetch a "
        "model. With ?reload=1, and no body, read the settings anew",
        body=ModelBody,
        instead={"reload": reload_settings},
        reply=ModelAdded,
        status=201,
        also={200: DownloadBegun, 202: DownloadStarted},
        errors=(*_ADD_ERRORS, ModelExists, *_SOURCE_ERRORS, ReloadRefused, Unsupported),
    ),
    Route(
        method="GET",
        paths=("/models",),
        scopes=LISTS,
        handler=list_models,
        tag=TAG,
        summary="List the models for readers of OpenAI's, the router's and Kolosal's form at once",
        query=ListQuery,
        reply=ModelsReply,
        errors=(ReloadRefused, Unsupported),
    ),
    Route(
        method="GET",
        paths=(
            "/models/<path:id>",
            "/models/<path:id>/status",
            "/v1/models/<path:id>/status",
        ),
        scopes=LISTS,
        handler=model_status,
        tag=TAG,
        summary="Show one model. A body may repeat the id as model_id",
        reply=EngineReport,
        errors=(ModelNotFound, BadParameter),
    ),
    Route(
        method="DELETE",
        paths=("/models/<path:id>", "/v1/models/<path:id>"),
        scopes=MANAGE,
        handler=remove_model,
        tag=TAG,
        summary="Unload a model and forget it; its file stays. A body may repeat the id",
        query=RemoveQuery,
        reply=ModelRemoved,
        errors=_REMOVE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/inference/completions", "/v1/inference/completions"),
        scopes=INFER,
        handler=complete,
        tag=TAG,
        summary="Continue a text, with Kolosal's own names",
        body=NativeCompletionBody,
        reply=NativeReply,
        chunk=NativeReply,
        errors=GENERATE_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/inference/chat/completions", "/v1/inference/chat/completions"),
        scopes=INFER,
        handler=complete_chat,
        tag=TAG,
        summary="Answer a conversation, with Kolosal's own names",
        body=NativeChatBody,
        reply=NativeReply,
        chunk=NativeReply,
        errors=GENERATE_ERRORS,
    ),
    *health.ROUTES,
    *metrics.ROUTES,
]
