"""Bodies and replies of Kolosal's engine routes, with what ``kolo ps`` shows beside."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from kolo.server.downloads.schemas import DownloadInfo
from kolo.server.envelope import ErrorObject
from kolo.server.kolosal.loading import LoadingParameters, LoadingReply
from kolo.server.openai.replies import ModelCard

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Path = Annotated[str, Meta(min_length=1, max_length=4096)]
Gpu = Annotated[int, Meta(ge=-1, le=15)]
Status = Literal["loaded", "unloaded", "loading", "failed"]
ModelType = Literal["llm", "embedding"]

# Asked -----------------------------------------------------------------------------------


class EngineBody(LoadingParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /engines. The loading parameters may stand here or in ``loading_parameters``."""

    engine_id: Id
    model_path: Annotated[
        Path,
        Meta(
            description="A .gguf file on the server's machine, a folder with one, or where to "
            "fetch one: https://…, hf:OWNER/REPO:QUANT, ollama:NAME, oci:HOST/NAME:TAG."
        ),
    ]
    load_immediately: bool = True
    main_gpu_id: Annotated[Gpu | None, Meta(description="-1 leaves the choice to llama.cpp.")] = (
        None
    )
    loading_parameters: LoadingParameters | None = None


class ModelBody(LoadingParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /models: ``model_id`` and ``model_path`` add an engine. ``model`` alone is
    llama-server's way to ask for a download."""

    model_id: Id | None = None
    model_path: Path | None = None
    model_type: Annotated[
        ModelType | None,
        Meta(description="Checked once it is loaded; the file decides what it is."),
    ] = None
    inference_engine: Annotated[
        Literal["", "default", "llama-cpu"] | None,
        Meta(description="llama-cpu puts no layer on a GPU; llama.cpp is the engine in any case."),
    ] = None
    load_immediately: bool = True
    main_gpu_id: Gpu | None = None
    loading_parameters: LoadingParameters | None = None
    model: Annotated[
        Path | None,
        Meta(description="To be downloaded: OWNER/REPO:QUANT or any other reference."),
    ] = None


class IdBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The id in a body, as Kolosal's own code reads it."""

    engine_id: Id | None = None
    model_id: Id | None = None


class RemoveQuery(Struct, frozen=True, kw_only=True):
    force: Annotated[bool, Meta(description="Also when requests are running, which then fail.")] = (
        False
    )


# Answered --------------------------------------------------------------------------------


class EngineAdded(Struct, kw_only=True):
    engine_id: str
    model_path: str
    status: Literal["loaded", "created"]
    load_immediately: bool
    loading_parameters: LoadingReply
    main_gpu_id: int
    message: str = "Engine added successfully"
    download_info: DownloadInfo | UnsetType = UNSET


class ModelAdded(Struct, kw_only=True):
    model_id: str
    model_path: str
    model_type: ModelType
    status: Literal["loaded", "created"]
    load_immediately: bool
    loading_parameters: LoadingReply
    main_gpu_id: int
    message: str = "Model added successfully"
    download_info: DownloadInfo | UnsetType = UNSET


class EngineEntry(Struct, kw_only=True):
    """One engine of the list. Bytes and seconds; null where there is nothing to say."""

    engine_id: str
    status: Status
    last_accessed: Annotated[
        str, Meta(description="When its last request ended, in UTC; now, or never.")
    ]
    model_path: str
    aliases: list[str]
    source: str
    state: Annotated[str, Meta(description="As status, and unloading.")]
    stage: str
    progress: Annotated[float, Meta(description="Of the stage, 0 to 1.")]
    error: str | None
    pid: int | None
    in_flight: int
    parallel: int | None
    ctx: int | None
    memory_bytes: int
    device_bytes: int
    pinned: bool
    ttl_s: float | None
    expires_s: float | None
    idle_s: float | None


class EngineList(Struct, kw_only=True):
    engines: list[EngineEntry]
    total_count: int


class ModelEntry(Struct, kw_only=True):
    """One model, under the names that each reader of such lists looks for."""

    model_id: str
    id: str
    name: str
    model: str
    status: Status | Literal["downloading"]
    last_accessed: str
    type: Annotated[ModelType | None, Meta(description="Known once it was loaded.")]
    vision: bool = False


class ListQuery(Struct, frozen=True, kw_only=True):
    reload: Annotated[bool, Meta(description="Read the settings anew before.")] = False


class ModelsReply(Struct, kw_only=True):
    """OpenAI's list with the router's fields in ``data``, Kolosal's in ``models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
    models: list[ModelEntry]
    total_count: int


class MemoryUsage(Struct, kw_only=True):
    """In MiB."""

    model_size_mb: float
    context_size_mb: Annotated[float | None, Meta(description="null where it is not told.")]


class Performance(Struct, kw_only=True):
    last_inference_tps: Annotated[
        float, Meta(description="Tokens a second that the last answer was written at.")
    ]
    total_requests: int


class EngineReport(Struct, kw_only=True):
    """One engine, under the names of both forms of Kolosal's API."""

    engine_id: str
    model_id: str
    status: Status
    available: Annotated[bool, Meta(description="A request would be answered.")]
    message: str
    model_path: str
    parameters: LoadingReply
    memory_usage: MemoryUsage | UnsetType = UNSET
    performance: Performance
    progress: float | UnsetType = UNSET
    error: str | UnsetType = UNSET


class EngineRemoved(Struct, kw_only=True):
    engine_id: str
    status: Literal["removed"] = "removed"
    message: str = "Engine removed successfully"


class ModelRemoved(Struct, kw_only=True):
    model_id: str
    status: Literal["removed"] = "removed"
    message: str = "Model removed successfully"


class LoadingErrorDetails(Struct, kw_only=True):
    engine_id: str
    model_id: str
    model_path: str
    n_ctx: int | None
    n_gpu_layers: int | None
    main_gpu_id: int


class LoadingErrorObject(ErrorObject, kw_only=True):
    details: LoadingErrorDetails


class LoadingErrorReply(Struct, kw_only=True):
    error: LoadingErrorObject
