"""Replies of Kolosal's download routes. Times are milliseconds of unix time where not said."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from kolo.server.downloads.job import Status

Kind = Literal["regular", "startup"]


class Amounts(Struct, kw_only=True):
    downloaded_bytes: int
    total_bytes: Annotated[int | None, Meta(description="null where the source does not say.")]
    percentage: float
    download_speed_bps: Annotated[float, Meta(description="Bytes a second over the last few.")]


class Timing(Struct, kw_only=True):
    start_time: int
    elapsed_seconds: float
    end_time: int | UnsetType = UNSET
    estimated_remaining_seconds: float | UnsetType = UNSET


class EngineCreation(Struct, kw_only=True):
    engine_id: str
    load_immediately: bool
    main_gpu_id: int


class DownloadReply(Struct, kw_only=True):
    """GET /download-progress/{id}."""

    model_id: str
    status: Status
    url: str
    local_path: str
    progress: Amounts
    timing: Timing
    state: Annotated[
        str,
        Meta(
            description="What it is at: waiting for another process, checking what an earlier "
            "try left, downloading, retrying."
        ),
    ] = ""
    note: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    error_code: str | UnsetType = UNSET
    engine_creation: EngineCreation | UnsetType = UNSET
    download_type: Kind = "regular"


class Summary(Struct, kw_only=True):
    total_active: int
    startup_downloads: int
    regular_downloads: int


class DownloadsReply(Struct, kw_only=True):
    """GET /downloads."""

    active_downloads: list[DownloadReply]
    summary: Summary
    total_active: int
    timestamp: int


class Cancelled(Struct, kw_only=True):
    success: Literal[True] = True
    message: str
    model_id: str
    previous_status: Status
    download_type: Kind = "regular"
    timestamp: int
    engine_creation: EngineCreation | UnsetType = UNSET


class Changed(Struct, kw_only=True):
    """Paused, or resumed."""

    success: Literal[True] = True
    message: str
    model_id: str


class CancelledOne(Struct, kw_only=True):
    model_id: str
    previous_status: Status
    cancelled_at: int
    download_type: Kind = "regular"
    engine_creation: EngineCreation | UnsetType = UNSET


class NotCancelled(Struct, kw_only=True):
    model_id: str
    status: Status
    reason: str


class CancelSummary(Struct, kw_only=True):
    total_downloads: int
    successful_cancellations: int
    failed_cancellations: int
    startup_cancellations: int
    regular_cancellations: int


class AllCancelled(Struct, kw_only=True):
    success: Literal[True] = True
    message: str
    summary: CancelSummary
    cancelled_downloads: list[CancelledOne]
    failed_cancellations: list[NotCancelled]
    timestamp: int


class DownloadInfo(Struct, kw_only=True):
    """Beside an engine that was added by a URL."""

    source_url: str
    local_path: str
    was_downloaded: bool


class DownloadBegun(Struct, kw_only=True):
    """llama-server's reply to POST /models, and where to ask how far it is."""

    success: Literal[True] = True
    model: str
    status: Status
    progress_endpoint: str
    note: Annotated[str | UnsetType, Meta(description="Which file was chosen, and why.")] = UNSET


class DownloadStarted(Struct, kw_only=True):
    """202: the engine is made when its file is there."""

    message: str
    engine_id: str | UnsetType = UNSET
    model_id: str | UnsetType = UNSET
    download_status: Literal["started", "resuming", "in_progress"]
    download_url: str
    local_path: str | UnsetType = UNSET
    progress_endpoint: str
    note: str | UnsetType = UNSET
