"""Kolosal's engines: POST, GET and DELETE /engines, and what /models of its later form shares."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET
from quart import Response, request

from kolo.manager.status import EngineStatus
from kolo.server.body import decode
from kolo.server.downloads.job import Creation
from kolo.server.envelope import problem_of
from kolo.server.kolosal.adding import PENDING, add, find, new_spec, params_of, remove
from kolo.server.kolosal.fetching import (
    accepted,
    download_info,
    fetch_engine,
    in_progress,
    on_disk,
    source_of,
)
from kolo.server.kolosal.loading import loading_reply
from kolo.server.kolosal.problems import LoadingFailed
from kolo.server.kolosal.schemas import (
    EngineAdded,
    EngineBody,
    EngineEntry,
    EngineList,
    EngineRemoved,
    EngineReport,
    IdBody,
    LoadingErrorDetails,
    LoadingErrorObject,
    LoadingErrorReply,
    MemoryUsage,
    ModelBody,
    Performance,
    RemoveQuery,
    Status,
)
from kolo.server.route import json_reply
from kolo.server.served import Served, leaving, served
from kolo.server.service import Service
from kolo.types import LoadParams

MIB = 1 << 20

_MESSAGES = {
    "loaded": "Engine is loaded and ready",
    "unloaded": "Engine exists but is currently unloaded; a request loads it",
    "loading": "Engine is being loaded; requests wait for it",
}
_id_decoder = msgspec.json.Decoder(IdBody)


async def add_engine(service: Service, body: EngineBody) -> Response:
    reference = source_of(service, body.model_path)
    if reference is not None and (job := in_progress(service, body.engine_id)):
        return accepted(job, "in_progress", engine_id=body.engine_id)
    spec = await new_spec(
        service,
        id=body.engine_id,
        path=body.model_path if reference is None else None,
        flat=body,
        nested=body.loading_parameters,
        main_gpu=body.main_gpu_id,
        param="engine_id",
    )
    spec = on_disk(service, spec, reference)
    if reference is not None and spec.path == PENDING:
        creation = Creation(spec=spec, load=body.load_immediately, param="engine_id")
        job, started = await fetch_engine(service, creation, reference)
        return accepted(job, started, engine_id=spec.id)
    try:
        added = await add(service, spec, load=body.load_immediately)
    except LoadingFailed as error:
        return loading_failed(error, id=spec.id, path=str(spec.path), params=spec.params)
    return json_reply(
        EngineAdded(
            engine_id=spec.id,
            model_path=body.model_path,
            status="loaded" if added.info is not None else "created",
            load_immediately=body.load_immediately,
            loading_parameters=loading_reply(spec.params, added.info, n_keep=n_keep(body)),
            main_gpu_id=spec.params.main_gpu or 0,
            download_info=download_info(reference, spec.path),
        ),
        201,
    )


async def list_engines(service: Service) -> Response:
    engines = [_entry(service, one) for one in (*await served(service), *leaving(service))]
    return json_reply(EngineList(engines=engines, total_count=len(engines)))


async def engine_status(service: Service, id: str) -> Response:
    one = await find(service, id, (await id_body()).engine_id, "engine_id")
    return json_reply(report(service, one))


async def remove_engine(service: Service, id: str, query: RemoveQuery) -> Response:
    one = await find(service, id, (await id_body()).engine_id, "engine_id", gone=True)
    await remove(service, one, force=query.force)
    return json_reply(EngineRemoved(engine_id=one.id))


# Shared with /models ---------------------------------------------------------------------


async def id_body() -> IdBody:
    """The body of a request that need not have one."""
    raw = await request.get_data(False, False, False)
    return decode(_id_decoder, raw) if raw.strip() else IdBody()


def status_of(engine: EngineStatus | None) -> Status:
    """One that is being unloaded is as good as unloaded: a request loads it anew."""
    if engine is None or engine.state == "unloading":
        return "unloaded"
    return engine.state


def last_accessed(service: Service, one: Served) -> str:
    if one.engine is not None and one.engine.in_flight:
        return "now"
    ended_at = service.monitor.completions.of(one.id).updated_at
    if not ended_at:
        return "never"
    return datetime.fromtimestamp(ended_at, UTC).isoformat(timespec="seconds")


def report(service: Service, one: Served) -> EngineReport:
    engine, status = one.engine, status_of(one.engine)
    info = engine.info if engine is not None else None
    error = _error(engine)
    tally = service.monitor.completions.of(one.id)
    in_flight = engine.in_flight if engine is not None else 0
    reply = EngineReport(
        engine_id=one.id,
        model_id=one.id,
        status=status,
        available=status != "failed",
        message=_MESSAGES.get(status) or f"Engine is not running: {error}",
        model_path=one.path,
        parameters=loading_reply(params_of(service, one), info),
        performance=Performance(
            last_inference_tps=round(tally.last_tps, 2), total_requests=tally.finished + in_flight
        ),
    )
    if info is not None:
        reply.memory_usage = MemoryUsage(
            model_size_mb=round(info.size_bytes / MIB, 2),
            context_size_mb=round(info.kv_bytes / MIB, 2) or None,
        )
    if engine is not None and status == "loading":
        reply.progress = engine.progress
    if error:
        reply.error = error
    return reply


def loading_failed(error: LoadingFailed, *, id: str, path: str, params: LoadParams) -> Response:
    """Kolosal's 422, which tells what was tried."""
    problem = problem_of(error)
    details = LoadingErrorDetails(
        engine_id=id,
        model_id=id,
        model_path=path,
        n_ctx=params.ctx,
        n_gpu_layers=params.gpu_layers,
        main_gpu_id=params.main_gpu or 0,
    )
    told = LoadingErrorObject(
        message=problem.message,
        type=problem.type,
        param=problem.param,
        code=problem.code,
        hint=problem.hint or UNSET,
        details=details,
    )
    return json_reply(LoadingErrorReply(error=told), problem.status)


def n_keep(body: EngineBody | ModelBody) -> int | None:
    nested = body.loading_parameters
    return body.n_keep if body.n_keep is not None or nested is None else nested.n_keep


def _entry(service: Service, one: Served) -> EngineEntry:
    engine = one.engine
    info = engine.info if engine is not None else None
    counting = engine is not None and engine.state == "loaded" and not engine.leases
    return EngineEntry(
        engine_id=one.id,
        status=status_of(engine),
        last_accessed=last_accessed(service, one),
        model_path=one.path,
        aliases=list(one.aliases),
        source=one.source,
        state=engine.state if engine is not None else "unloaded",
        stage=engine.stage if engine is not None else "",
        progress=engine.progress if engine is not None else 0.0,
        error=_error(engine) or None,
        pid=engine.pid if engine is not None else None,
        in_flight=engine.in_flight if engine is not None else 0,
        parallel=info.parallel if info is not None else None,
        ctx=info.n_ctx if info is not None else None,
        memory_bytes=engine.memory_bytes if engine is not None else 0,
        device_bytes=engine.device_bytes if engine is not None else 0,
        pinned=engine.pinned if engine is not None else False,
        ttl_s=engine.ttl_s if engine is not None else None,
        expires_s=engine.expires_s if engine is not None else None,
        idle_s=_since(engine.last_used) if engine is not None and counting else None,
    )


def _error(engine: EngineStatus | None) -> str:
    return engine.error.message if engine is not None and engine.error is not None else ""


def _since(last_used: float) -> float:
    """Seconds since a reading of the manager's clock."""
    return round(max(time.monotonic() - last_used, 0.0), 3)
