"""Adding an engine and forgetting one, for both forms of Kolosal's API."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kolo.config import BUILTIN_MODEL
from kolo.errors import BadParameter, Busy, EngineStopped, KoloError, ModelNotFound
from kolo.models.known import by_name
from kolo.models.known import params_of as published
from kolo.models.resolve import ModelSpec
from kolo.server.kolosal.loading import KOLOSAL_NAMES, LoadingParameters, load_params, merged
from kolo.server.kolosal.locate import locate
from kolo.server.kolosal.problems import (
    EngineConfigured,
    EngineExists,
    LoadingFailed,
    not_found,
)
from kolo.server.served import Served, find_served, served
from kolo.server.service import Service
from kolo.types import LoadParams, ModelInfo

PENDING = Path("/")
"""Of a spec whose file is still to come."""


@dataclass(frozen=True, slots=True)
class Added:
    spec: ModelSpec
    info: ModelInfo | None
    """Of the loaded model; None if it was not to be loaded yet."""


async def new_spec(
    service: Service,
    *,
    id: str,
    path: str | None,
    flat: LoadingParameters,
    nested: LoadingParameters | None,
    main_gpu: int | None,
    param: str,
    exists: type[EngineExists] = EngineExists,
) -> ModelSpec:
    """The engine that is asked for. ``param`` is what the id is called. Without a path the file
    is still to come. Raises the caller's errors: an id that is taken or cannot be one, a path
    that leads nowhere, parameters."""
    check_id(id, param)
    await check_free(service, id, param, exists)
    params = load_params(merged(flat, nested), service.settings.engine, main_gpu=main_gpu)
    file = PENDING if path is None else locate(path)
    return ModelSpec(id=id, path=file, params=params, source="path")


async def add(service: Service, spec: ModelSpec, *, load: bool) -> Added:
    """Register the engine for this run and the next, and load it if ``load``.

    One that cannot be loaded is forgotten again. Raises LoadingFailed then, but Busy where only
    the moment was wrong, and EngineStopped where somebody gave the load up.
    """
    service.manager.register(spec)  # at once: its id is now taken
    try:
        await asyncio.to_thread(service.registry.remember, spec)
    except KoloError:
        with suppress(ModelNotFound):
            await service.manager.forget(spec.id, force=True)
        raise
    if not load:
        return Added(spec, None)
    try:
        engine = await service.manager.load(spec.id)
    except KoloError as error:
        await forget(service, spec.id, force=True)
        if isinstance(error, Busy | EngineStopped):
            raise
        param = KOLOSAL_NAMES.get(error.param or "", "model_path")
        raise LoadingFailed(error.message, hint=error.hint, param=param) from error
    return Added(spec, engine.info)


async def remove(service: Service, one: Served, *, force: bool) -> None:
    """Forget an engine; its file stays. EngineConfigured for one that is not the requests' to
    forget, Busy for one that is in use, unless ``force``."""
    if one.id == BUILTIN_MODEL:
        raise EngineConfigured(
            f"{one.id} is built in and cannot be removed",
            hint="POST /models/unload frees its memory.",
        )
    if one.id in service.settings.models:
        raise EngineConfigured(
            f"{one.id} is in {service.settings.file}, and would be back at once",
            hint="Remove it there; POST /models/unload frees its memory.",
        )
    await forget(service, one.id, force=force)


async def forget(service: Service, id: str, *, force: bool) -> None:
    with suppress(ModelNotFound):  # somebody was quicker; what is left is forgotten all the same
        await service.manager.forget(id, force=force)
    service.monitor.removed(id)
    await asyncio.to_thread(service.registry.forget, id)


async def check_type(
    service: Service, added: Added, wanted: Literal["llm", "embedding"] | None
) -> None:
    """A model that is not what it is said to be is not added."""
    info = added.info
    if info is None or wanted is None:
        return
    if info.can_embed if wanted == "embedding" else info.can_chat:
        return
    await forget(service, added.spec.id, force=True)
    raise LoadingFailed(
        f"the model is no {wanted}: {info.architecture} cannot be used as one",
        hint="Leave model_type out, or name another file.",
        param="model_type",
    )


async def find(
    service: Service, id: str, body_id: str | None, param: str, *, gone: bool = False
) -> Served:
    """The engine that a path names, or a body, as Kolosal's own code reads it. With ``gone`` also
    one that is listed no more, since its model has left."""
    if body_id is not None and body_id != id:
        raise BadParameter(
            f"{param} is {body_id!r} in the body and {id!r} in the path",
            hint="Send one of them.",
            param=param,
        )
    try:
        return await find_served(service, id)
    except ModelNotFound as error:
        for engine in service.manager.list() if gone else ():
            if engine.id == id:
                return Served(id=id, source=engine.source, path=engine.path, engine=engine)
        raise not_found(error, param) from None


def params_of(service: Service, one: Served) -> LoadParams:
    """What an engine is, or would be, loaded with."""
    if one.engine is not None:
        return one.engine.params
    settings = service.settings
    if model := settings.models.get(one.id):
        return model.params
    each = by_name(one.id, settings)
    return published(each, settings.engine) if each is not None else settings.engine


async def check_free(
    service: Service, id: str, param: str, exists: type[EngineExists], *, of: Path | None = None
) -> None:
    """Raises ``exists`` if the id is taken, other than by the store's own name for ``of``."""
    taken = [one for one in await served(service) if one.is_called(id)]
    if any(one.engine is not None or of is None or one.path != str(of) for one in taken):
        raise exists(
            f"an engine with the id {id!r} already exists",
            hint="Choose another id, or delete that one first.",
            param=param,
        )


def check_id(id: str, param: str) -> None:
    """BadParameter for an id that no path of a URL could name."""
    steps = id.split("/")
    if id != id.strip() or not id.isprintable() or not {".", "..", ""}.isdisjoint(steps):
        raise BadParameter(
            f"{param} {id!r} cannot be a name",
            hint="Use printable characters, no space at the ends, no empty, '.' or '..' step.",
            param=param,
        )
