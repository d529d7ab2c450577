"""Kolosal's download routes."""

from __future__ import annotations

import time

from msgspec import UNSET, UnsetType
from quart import Response

from kolo.errors import ConfigError, KoloError
from kolo.server.downloads.job import Job
from kolo.server.downloads.manager import DownloadNotFound, DownloadOver
from kolo.server.downloads.schemas import (
    AllCancelled,
    Amounts,
    Cancelled,
    CancelledOne,
    CancelSummary,
    Changed,
    DownloadReply,
    DownloadsReply,
    EngineCreation,
    NotCancelled,
    Summary,
    Timing,
)
from kolo.server.route import MANAGE, READ, Route, json_reply
from kolo.server.service import Service

TAG = "Kolosal"


async def download_progress(service: Service, id: str) -> Response:
    return json_reply(_reply(service.downloads.find(id)))


async def list_downloads(service: Service) -> Response:
    active = [_reply(job) for job in service.downloads.active()]
    n = len(active)
    return json_reply(
        DownloadsReply(
            active_downloads=active,
            summary=Summary(total_active=n, startup_downloads=0, regular_downloads=n),
            total_active=n,
            timestamp=_now_ms(),
        )
    )


async def cancel_download(service: Service, id: str) -> Response:
    before = service.downloads.find(id).status
    job = await service.downloads.cancel(id)
    return json_reply(
        Cancelled(
            message="Download cancelled; what came of it is removed",
            model_id=id,
            previous_status=before,
            timestamp=_now_ms(),
            engine_creation=_creation(job),
        )
    )


async def pause_download(service: Service, id: str) -> Response:
    await service.downloads.pause(id)
    return json_reply(Changed(message="Download paused", model_id=id))


async def resume_download(service: Service, id: str) -> Response:
    await service.downloads.resume(id)
    return json_reply(Changed(message="Download resumed", model_id=id))


async def cancel_all(service: Service) -> Response:
    cancelled: list[CancelledOne] = []
    failed: list[NotCancelled] = []
    for job in service.downloads.active():
        before = job.status
        try:
            await service.downloads.cancel(job.id)
        except KoloError as error:
            failed.append(NotCancelled(model_id=job.id, status=before, reason=error.message))
        else:
            cancelled.append(
                CancelledOne(
                    model_id=job.id,
                    previous_status=before,
                    cancelled_at=_now_ms(),
                    engine_creation=_creation(job),
                )
            )
    return json_reply(
        AllCancelled(
            message=f"{len(cancelled)} downloads cancelled",
            summary=CancelSummary(
                total_downloads=len(cancelled) + len(failed),
                successful_cancellations=len(cancelled),
                failed_cancellations=len(failed),
                startup_cancellations=0,
                regular_cancellations=len(cancelled),
            ),
            cancelled_downloads=cancelled,
            failed_cancellations=failed,
            timestamp=_now_ms(),
        )
    )


def _reply(job: Job) -> DownloadReply:
    done, total, told = job.done_bytes, job.total_bytes, job.progress
    speed = told.bytes_per_s if told is not None and job.status == "downloading" else 0.0
    timing = Timing(start_time=_ms(job.started_at), elapsed_seconds=round(job.elapsed_s, 3))
    if job.ended_at is not None:
        timing.end_time = _ms(job.ended_at)
    elif speed and total:
        timing.estimated_remaining_seconds = round((total - done) / speed, 1)
    reply = DownloadReply(
        model_id=job.id,
        status=job.status,
        url=job.url,
        local_path=str(job.local_path),
        progress=Amounts(
            downloaded_bytes=done,
            total_bytes=total,
            percentage=round(100 * done / total, 2) if total else 0.0,
            download_speed_bps=round(speed, 1),
        ),
        timing=timing,
        state=told.state if told is not None and job.status == "downloading" else "",
        engine_creation=_creation(job),
    )
    if told is not None and told.note:
        reply.note = told.note
    if job.error is not None:
        reply.error_message, reply.error_code = job.error.message, job.error.code
    return reply


def _creation(job: Job) -> EngineCreation | UnsetType:
    wanted = job.creation
    if wanted is None:
        return UNSET
    return EngineCreation(
        engine_id=wanted.spec.id,
        load_immediately=wanted.load,
        main_gpu_id=wanted.spec.params.main_gpu or 0,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _now_ms() -> int:
    return _ms(time.time())


_ERRORS = (DownloadNotFound, DownloadOver)

ROUTES = [
    Route(
        method="GET",
        paths=("/download-progress/<path:id>", "/v1/download-progress/<path:id>"),
        scopes=READ,
        handler=download_progress,
        tag=TAG,
        summary="How far a download is, or how it ended",
        reply=DownloadReply,
        errors=(DownloadNotFound,),
    ),
    Route(
        method="GET",
        paths=("/downloads", "/v1/downloads"),
        scopes=READ,
        handler=list_downloads,
        tag=TAG,
        summary="List the downloads under way, the paused ones too",
        reply=DownloadsReply,
    ),
    Route(
        method="DELETE",
        paths=("/downloads/<path:id>", "/v1/downloads/<path:id>"),
        scopes=MANAGE,
        handler=cancel_download,
        tag=TAG,
        summary="Give a download up and remove what came of it",
        reply=Cancelled,
        errors=(*_ERRORS, ConfigError),
    ),
    Route(
        method="POST",
        paths=("/downloads/<path:id>/cancel", "/v1/downloads/<path:id>/cancel"),
        scopes=MANAGE,
        handler=cancel_download,
        tag=TAG,
        summary="Give a download up and remove what came of it",
        reply=Cancelled,
        errors=(*_ERRORS, ConfigError),
    ),
    Route(
        method="POST",
        paths=("/downloads/<path:id>/pause", "/v1/downloads/<path:id>/pause"),
        scopes=MANAGE,
        handler=pause_download,
        tag=TAG,
        summary="Stop a download for now; what came of it is kept",
        reply=Changed,
        errors=_ERRORS,
    ),
    Route(
        method="POST",
        paths=("/downloads/<path:id>/resume", "/v1/downloads/<path:id>/resume"),
        scopes=MANAGE,
        handler=resume_download,
        tag=TAG,
        summary="Go on with a paused download",
        reply=Changed,
        errors=_ERRORS,
    ),
    Route(
        method="DELETE",
        paths=("/downloads", "/v1/downloads"),
        scopes=MANAGE,
        handler=cancel_all,
        tag=TAG,
        summary="Give all downloads up",
        reply=AllCancelled,
        errors=(ConfigError,),
    ),
    Route(
        method="POST",
        paths=("/downloads/cancel", "/v1/downloads/cancel", "/downloads", "/v1/downloads"),
        scopes=MANAGE,
        handler=cancel_all,
        tag=TAG,
        summary="Give all downloads up",
        reply=AllCancelled,
        errors=(ConfigError,),
    ),
]
