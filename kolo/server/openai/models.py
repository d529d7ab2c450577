"""GET /v1/models and /v1/models/{id}: what can be asked for, and what it is doing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import UNSET
from quart import Response

from kolo.errors import ModelNotFound
from kolo.manager.status import EngineStatus
from kolo.models.glance import Glance, glance
from kolo.server.downloads.job import Job
from kolo.server.openai.replies import (
    ArchitectureReply,
    FileReply,
    MetaReply,
    ModelCard,
    ModelList,
    StatusReply,
)
from kolo.server.route import json_reply
from kolo.server.served import Served, find_served, served
from kolo.server.service import Service
from kolo.types import ModelInfo


async def list_models(service: Service) -> Response:
    return json_reply(ModelList(data=await model_cards(service)))


async def get_model(service: Service, name: str) -> Response:
    try:
        (card,) = await cards(service, [await find_served(service, name)])
        return json_reply(card)
    except ModelNotFound:
        for job in service.downloads.active():
            if job.id == name:
                return json_reply(download_card(service, job))
        raise


async def model_cards(service: Service) -> list[ModelCard]:
    """Every model, by name, then those that are on their way."""
    models = await served(service)
    coming_cards = [download_card(service, job) for job in coming(service, models)]
    return await cards(service, models) + coming_cards


async def cards(service: Service, models: list[Served]) -> list[ModelCard]:
    """One for each, in their order."""
    paths = [Path(one.path) for one in models]
    glances = await asyncio.to_thread(lambda: [glance(path) for path in paths])
    return [_card(service, one, file) for one, file in zip(models, glances, strict=True)]


def coming(service: Service, models: list[Served]) -> list[Job]:
    """Downloads of what is not among the models yet; oldest first."""
    return [
        job
        for job in service.downloads.active()
        if not any(one.is_called(job.id) for one in models)
    ]


def download_card(service: Service, job: Job) -> ModelCard:
    done, total = job.done_bytes, job.total_bytes
    return ModelCard(
        id=job.id,
        created=int(service.started_at),
        aliases=[],
        status=StatusReply(
            value="downloading",
            progress={
                "stage": "paused" if job.status == "paused" else "download",
                "value": round(done / total, 4) if total else 0.0,
                "done_bytes": done,
                "total_bytes": total,
            },
        ),
        architecture=ArchitectureReply(input_modalities=["text"], output_modalities=["text"]),
        source="download",
    )


def _card(service: Service, one: Served, file: Glance | None) -> ModelCard:
    info = one.engine.info if one.engine is not None else None
    return ModelCard(
        id=one.id,
        created=int(service.started_at),
        aliases=list(one.aliases),
        description=one.description or UNSET,
        status=status_reply(one.engine),
        architecture=ArchitectureReply(
            input_modalities=["text"],
            output_modalities=["text" if info is None or info.can_chat else "embeddings"],
        ),
        source=one.source,
        can_remove=one.source == "store",
        file=_file(file) if file is not None else UNSET,
        meta=_meta(info) if info is not None else UNSET,
    )


def status_reply(engine: EngineStatus | None) -> StatusReply:
    """What an engine is doing, in the router's words; one that ends is as good as unloaded."""
    if engine is None:
        return StatusReply(value="unloaded")
    if engine.state == "loaded":
        return StatusReply(value="loaded")
    if engine.state == "loading":
        progress = {"stage": engine.stage, "value": engine.progress}
        return StatusReply(value="loading", progress=progress)
    if engine.state == "failed":
        message = engine.error.message if engine.error is not None else "it ended"
        return StatusReply(value="unloaded", failed=True, error=message)
    return StatusReply(value="unloaded")


def _file(seen: Glance) -> FileReply:
    about = seen.about
    return FileReply(
        size_bytes=seen.size_bytes,
        n_params=about.n_params,
        n_ctx_train=about.n_ctx_train,
        architecture=about.architecture,
        quant=about.quant,
    )


def _meta(info: ModelInfo) -> MetaReply:
    return MetaReply(
        vocab_type=info.vocab_type,
        n_vocab=info.n_vocab,
        n_ctx=info.n_ctx,
        n_ctx_train=info.n_ctx_train,
        n_embd=info.n_embd,
        n_params=info.n_params,
        size=info.size_bytes,
        ftype=info.ftype,
    )
