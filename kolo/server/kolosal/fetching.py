"""A model_path that leads elsewhere: the file is fetched first, the engine made of it then."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from quart import Response

from kolo.errors import BadParameter, ModelInvalid, ModelNotFound, SourceError
from kolo.models.known import from_source, in_store
from kolo.models.reference import RemoteRef
from kolo.models.resolve import ModelSpec
from kolo.models.sources.partial import Partial
from kolo.server.downloads.job import Creation, Job
from kolo.server.downloads.manager import remote
from kolo.server.downloads.schemas import DownloadInfo, DownloadStarted
from kolo.server.kolosal.adding import Added, add, check_free
from kolo.server.kolosal.locate import locate
from kolo.server.kolosal.problems import DownloadFailed, EngineExists
from kolo.server.route import json_reply
from kolo.server.service import Service

_ELSEWHERE = re.compile(r"(?:https?://|hf:|ollama:|oci:)", re.IGNORECASE)

Check = Callable[[Added], Awaitable[None]]
Started = Literal["started", "resuming", "in_progress"]


def source_of(service: Service, model_path: str) -> RemoteRef | None:
    """Where ``model_path`` leads, if not to a file of this machine. BadParameter for one that
    is malformed."""
    if not _ELSEWHERE.match(model_path):
        return None
    try:
        return remote(model_path, service.settings)
    except BadParameter as error:
        raise BadParameter(error.message, hint=error.hint, param="model_path") from None


def on_disk(service: Service, reference: RemoteRef) -> str | None:
    """The file that came from there before."""
    known = from_source(reference, in_store(service.settings))
    return str(known[0].path) if len(known) == 1 and known[0].path.exists() else None


def download_info(reference: RemoteRef | None, path: Path) -> DownloadInfo | UnsetType:
    """Of what was there already."""
    if reference is None:
        return UNSET
    return DownloadInfo(source_url=str(reference), local_path=str(path), was_downloaded=False)


async def fetch_engine(
    service: Service,
    spec: ModelSpec,
    reference: RemoteRef,
    *,
    load: bool,
    param: str,
    exists: type[EngineExists] = EngineExists,
    check: Check | None = None,
) -> tuple[Job, Started]:
    """Begin to fetch what ``spec`` is to be made of; ``param`` is what its id is called.
    DownloadFailed says why that cannot be."""

    async def create(path: Path) -> None:
        check_free(service, spec.id, param, exists, of=path)
        added = await add(service, replace(spec, path=locate(str(path))), load=load)
        if check is not None:
            await check(added)

    try:
        plan = await service.downloads.ask(reference)
    except (SourceError, ModelNotFound, ModelInvalid) as error:
        raise DownloadFailed(error.message, hint=error.hint, param="model_path") from error
    creation = Creation(spec.id, load, spec.params.main_gpu or 0, create)
    job = service.downloads.start(spec.id, plan, creation)
    begun = any(Partial.size(job.folder, file) for file in plan.files)
    return job, "resuming" if begun else "started"


def in_progress(service: Service, id: str) -> Job | None:
    """The download under way of an engine of this id."""
    jobs = (job for job in service.downloads.active() if job.creation is not None)
    return next((job for job in jobs if job.id == id and job.status != "paused"), None)


def accepted(
    job: Job,
    started: Started,
    *,
    engine_id: str | UnsetType = UNSET,
    model_id: str | UnsetType = UNSET,
) -> Response:
    """Kolosal's 202."""
    message = {
        "started": "Download started; the engine is created when it is complete",
        "resuming": "Download resumed; the engine is created when it is complete",
        "in_progress": "Download already in progress",
    }[started]
    reply = DownloadStarted(
        message=message,
        engine_id=engine_id,
        model_id=model_id,
        download_status=started,
        download_url=job.url,
        progress_endpoint=f"/download-progress/{quote(job.id)}",
    )
    if started != "in_progress":
        reply.local_path = str(job.local_path)
        reply.note = f"GET {reply.progress_endpoint} tells how far it is"
    return json_reply(reply, 202)
