"""/models: Kolosal's later form of its engines, in one object with llama-server's router."""

from __future__ import annotations

from urllib.parse import quote

from msgspec import UNSET
from msgspec.structs import replace
from quart import Response

from kolo.errors import BadParameter, Unsupported
from kolo.models.reference import RemoteRef
from kolo.models.resolve import ModelSpec
from kolo.server.body import MissingParameter
from kolo.server.downloads.job import Creation, Job
from kolo.server.downloads.kept import remote
from kolo.server.downloads.schemas import DownloadBegun
from kolo.server.kolosal.adding import PENDING, add, check_type, find, new_spec, remove
from kolo.server.kolosal.engines import (
    id_body,
    last_accessed,
    loading_failed,
    n_keep,
    report,
    status_of,
)
from kolo.server.kolosal.fetching import (
    accepted,
    download_info,
    fetch_engine,
    in_progress,
    on_disk,
    source_of,
)
from kolo.server.kolosal.loading import loading_reply
from kolo.server.kolosal.problems import LoadingFailed, ModelExists
from kolo.server.kolosal.schemas import (
    ListQuery,
    ModelAdded,
    ModelBody,
    ModelEntry,
    ModelRemoved,
    ModelsReply,
    ModelType,
    RemoveQuery,
)
from kolo.server.openai.models import cards, coming, download_card
from kolo.server.route import MANAGE, check_site, json_reply
from kolo.server.served import Served, served
from kolo.server.service import Service
from kolo.types import ModelInfo


async def list_models(service: Service, query: ListQuery) -> Response:
    if query.reload:
        check_site(service)
        service.access.require(MANAGE)
        await reload_settings(service)
    models = await served(service)
    jobs = coming(service, models)
    return json_reply(
        ModelsReply(
            data=[
                *await cards(service, models),
                *(download_card(service, job) for job in jobs),
            ],
            models=[*(_entry(service, one) for one in models), *(_coming(job) for job in jobs)],
            total_count=len(models) + len(jobs),
        )
    )


async def reload_settings(service: Service) -> Response:
    """The router's ``?reload=1``: what there is to be asked for is looked up anew."""
    if service.reloader is None:
        raise Unsupported("this server was started without settings that could be read anew")
    return json_reply(await service.reloader.reload())


async def model_status(service: Service, id: str) -> Response:
    one = await find(service, id, (await id_body()).model_id, "model_id")
    return json_reply(report(service, one))


async def remove_model(service: Service, id: str, query: RemoveQuery) -> Response:
    one = await find(service, id, (await id_body()).model_id, "model_id", gone=True)
    await remove(service, one, force=query.force)
    return json_reply(ModelRemoved(model_id=one.id))


async def add_model(service: Service, body: ModelBody) -> Response:
    if body.model is not None and body.model_id is None and body.model_path is None:
        return await _download(service, body.model)
    reference = source_of(service, body.model_path or "")
    if reference is not None and (job := in_progress(service, body.model_id or "")):
        return accepted(job, "in_progress", model_id=job.id)
    spec = await _spec(service, body, reference)
    if reference is not None and spec.path == PENDING:
        creation = Creation(
            spec=spec,
            load=body.load_immediately,
            param="model_id",
            model_type=body.model_type,
        )
        job, started = await fetch_engine(service, creation, reference)
        return accepted(job, started, model_id=spec.id)
    try:
        added = await add(service, spec, load=body.load_immediately)
        await check_type(service, added, body.model_type)
    except LoadingFailed as error:
        return loading_failed(error, id=spec.id, path=str(spec.path), params=spec.params)
    return json_reply(
        ModelAdded(
            model_id=spec.id,
            model_path=body.model_path or "",
            model_type=_type_of(added.info) or body.model_type or "llm",
            status="loaded" if added.info is not None else "created",
            load_immediately=body.load_immediately,
            loading_parameters=loading_reply(spec.params, added.info, n_keep=n_keep(body)),
            main_gpu_id=spec.params.main_gpu or 0,
            download_info=download_info(reference, spec.path),
        ),
        201,
    )


async def _download(service: Service, model: str) -> Response:
    """llama-server's router: fetch a model into the store, in the background."""
    reference = remote(model, service.settings)
    if reference is None:
        raise BadParameter(
            f"{model[:100]!r} does not say where to fetch it",
            hint="Send OWNER/REPO:QUANT, or another reference. A model that is here is loaded by "
            "POST /models/load.",
            param="model",
        )
    plan = await service.downloads.ask(reference)
    job = await service.downloads.start(plan.name, plan)
    return json_reply(
        DownloadBegun(
            model=job.id,
            status=job.status,
            progress_endpoint=f"/download-progress/{quote(job.id)}",
            note=job.plan.chosen or UNSET,
        )
    )


async def _spec(service: Service, body: ModelBody, reference: RemoteRef | None) -> ModelSpec:
    if body.model is not None:
        raise BadParameter(
            "model is to download a model, model_id and model_path to add one that is here",
            hint="Send one or the other.",
            param="model",
        )
    for name in ("model_id", "model_path"):
        if getattr(body, name) is None:
            raise MissingParameter(f"{name} is missing", hint=f"Send {name}.", param=name)
    spec = await new_spec(
        service,
        id=body.model_id or "",
        path=body.model_path if reference is None else None,
        flat=body,
        nested=body.loading_parameters,
        main_gpu=body.main_gpu_id,
        param="model_id",
        exists=ModelExists,
    )
    if body.inference_engine == "llama-cpu":
        spec = replace(spec, params=replace(spec.params, gpu_layers=0))
    return on_disk(service, spec, reference)


def _type_of(info: ModelInfo | None) -> ModelType | None:
    if info is None:
        return None
    return "llm" if info.can_chat else "embedding"


def _entry(service: Service, one: Served) -> ModelEntry:
    return ModelEntry(
        model_id=one.id,
        id=one.id,
        name=one.id,
        model=one.id,
        status=status_of(one.engine),
        last_accessed=last_accessed(service, one),
        type=_type_of(one.engine.info if one.engine is not None else None),
    )


def _coming(job: Job) -> ModelEntry:
    return ModelEntry(
        model_id=job.id,
        id=job.id,
        name=job.id,
        model=job.id,
        status="downloading",
        last_accessed="never",
        type=job.creation.model_type if job.creation is not None else None,
    )
