"""A model_path that leads elsewhere: the file is fetched first, the engine made of it then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from msgspec import UNSET, UnsetType
from quart import Response

from kolo.errors import BadParameter, KoloError, ModelInvalid, ModelNotFound, SourceError
from kolo.models.known import by_name, from_source, in_store
from kolo.models.reference import RemoteRef
from kolo.models.resolve import ModelSpec, stored_spec
from kolo.models.sources.partial import Partial
from kolo.models.store import need_store
from kolo.server.downloads.job import Creation, Job
from kolo.server.downloads.kept import remote
from kolo.server.downloads.schemas import DownloadInfo, DownloadStarted
from kolo.server.kolosal.adding import add, check_free, check_type
from kolo.server.kolosal.problems import DownloadFailed, EngineExists, ModelExists
from kolo.server.route import json_reply
from kolo.server.service import Service

_ELSEWHERE = re.compile(r"(?:https?://|hf:|ollama:|oci:)", re.IGNORECASE)

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


def on_disk(service: Service, spec: ModelSpec, reference: RemoteRef | None) -> ModelSpec:
    """``spec``, of the model that came from there before, if it did."""
    if reference is None:
        return spec
    known = from_source(reference, in_store(service.settings))
    if len(known) != 1:
        return spec
    try:
        return stored_spec(spec, known[0], service.settings)
    except KoloError:  # its file is gone: it is fetched again
        return spec


def download_info(reference: RemoteRef | None, path: Path) -> DownloadInfo | UnsetType:
    """Of what was there already."""
    if reference is None:
        return UNSET
    return DownloadInfo(source_url=str(reference), local_path=str(path), was_downloaded=False)


async def fetch_engine(
    service: Service, creation: Creation, reference: RemoteRef
) -> tuple[Job, Started]:
    """Begin to fetch what an engine is to be made of. DownloadFailed says why that cannot be."""
    try:
        plan = await service.downloads.ask(reference)
    except (SourceError, ModelNotFound, ModelInvalid) as error:
        raise DownloadFailed(error.message, hint=error.hint, param="model_path") from error
    folder = need_store(service.settings).partial
    begun = any(Partial.size(folder, file) for file in plan.files)
    job = await service.downloads.start(creation.spec.id, plan, creation)
    return job, "resuming" if begun else "started"


async def create_engine(service: Service, creation: Creation, name: str) -> None:
    """Make the engine that a download was for of the model ``name`` of the store. Raises as
    ``add``, and EngineExists where somebody has taken its id meanwhile."""
    spec, known = creation.spec, by_name(name, service.settings)
    if known is None:
        raise ModelNotFound(f"{name!r} has left the store again", param="model_path")
    spec = stored_spec(spec, known, service.settings)
    exists = ModelExists if creation.param == "model_id" else EngineExists
    await check_free(service, spec.id, creation.param, exists, of=spec.path)
    added = await add(service, spec, load=creation.load)
    await check_type(service, added, creation.model_type)


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
