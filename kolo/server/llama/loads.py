"""Loads that a request begins and that go on without it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from kolo.errors import (
    ConfigError,
    DiskFull,
    KoloError,
    LoadFailed,
    ModelInvalid,
    ModelNotFound,
    OutOfMemory,
)
from kolo.manager.engine import Engine
from kolo.manager.outlook import Outlook
from kolo.models.folder import stem
from kolo.models.resolve import ModelSpec
from kolo.server.kolosal.adding import check_id
from kolo.server.kolosal.locate import locate
from kolo.server.kolosal.problems import EngineExists
from kolo.server.llama.verbs import AlreadyRunning, LoadImpossible, LoadTooLarge, LoadVerb
from kolo.server.served import Served, find_served, served
from kolo.server.service import Service

log = logging.getLogger(__name__)

_SIZES = ("ctx", "parallel", "batch", "ubatch", "kv_type_k", "kv_type_v")
_running: set[asyncio.Task[Engine]] = set()
"""Keeps loads alive that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Loading:
    id: str
    task: asyncio.Task[Engine]
    found: asyncio.Event
    sized_by: str
    """The field by which the request says how large the engine is to be, if it does."""

    async def begun(self, *, wait: bool) -> None:
        """Look whether it can begin, or with ``wait`` what it comes to. Raises that as an error
        of the request which asked for it."""
        finding = asyncio.create_task(self.found.wait())
        watched = {self.task} if wait else {self.task, finding}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finding.cancel()
        if not self.task.done():
            return
        try:
            self.task.result()
        except ModelInvalid as error:
            error.param = error.param or "model"
            raise
        except LoadFailed as error:
            told = LoadImpossible(error.message, hint=error.hint, param=error.param or "model")
            raise told from error
        except OutOfMemory as error:
            if not self.sized_by or error.retry_after_s is not None:
                raise
            raise LoadTooLarge(error.message, hint=error.hint, param=self.sized_by) from error


@dataclass(frozen=True, slots=True)
class _Target:
    """What is to be loaded: ``reference`` as engine ``id``, which may be there already."""

    reference: str
    id: str
    engine: Served | None


async def begin_load(service: Service, body: LoadVerb) -> Loading:
    """Start what ``body`` asks for. Raises what is wrong with the request itself."""
    target = await _target(service, body)
    state = target.engine.engine.state if target.engine and target.engine.engine else "unloaded"
    if state in ("loaded", "loading") and not body.says_how():
        raise AlreadyRunning(f"model {target.id!r} is already running", param="model")
    found = asyncio.Event()
    task = asyncio.create_task(_load(service, body, target, found), name=f"load {target.id}")
    _running.add(task)
    task.add_done_callback(_ended)
    sized_by = next((name for name in _SIZES if name in body.params()), "")
    return Loading(target.id, task, found, sized_by)


async def foresee(service: Service, body: LoadVerb) -> Outlook:
    """What ``begin_load`` would come to now. Raises what is wrong with the request itself."""
    target = await _target(service, body)
    return await service.manager.foresee(
        target.reference,
        overrides=body.params(),
        id=None if target.engine is not None else target.id,
    )


async def _load(service: Service, body: LoadVerb, target: _Target, found: asyncio.Event) -> Engine:
    if _is_news(service, body, target):
        await asyncio.to_thread(service.registry.check, target.id)  # else it is not begun
    engine = await service.manager.load(
        target.reference,
        overrides=body.params(),
        pin=None if body.pin is UNSET else body.pin,
        ttl_s=None if body.ttl_s is UNSET else body.ttl_s,
        id=None if target.engine is not None else target.id,
        on_found=found.set,
    )
    try:
        await asyncio.to_thread(service.registry.remember, _kept(service, body, engine.spec))
    except (ConfigError, DiskFull) as error:  # only just now: it is loaded as was asked
        log.warning("a restart will not know of engine %s: %s", engine.id, error.message)
    return engine


def _is_news(service: Service, body: LoadVerb, target: _Target) -> bool:
    """Whether something will have to be kept that is not."""
    kept = any(spec.id == target.id for spec in service.registry.specs())
    return not kept or bool(body.params()) or body.pin is not UNSET or body.ttl_s is not UNSET


def _ended(task: asyncio.Task[Engine]) -> None:
    """The engine's status and the feed tell how a load failed; a defect of ours they do not."""
    _running.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, KoloError):
        log.error("an unforeseen error in a load", exc_info=error)


# What is meant ---------------------------------------------------------------------------


async def _target(service: Service, body: LoadVerb) -> _Target:
    try:
        named = await find_served(service, body.model)
    except ModelNotFound:
        if not body.model.startswith("/"):
            raise
        file = locate(body.model, param="model")
        reference = path = str(file)
        own = await _called(service, stem(file))
        id = stem(file) if own is None or own.path == path else path
    else:
        reference, path, id = named.id, named.path, named.id
    if body.id is not UNSET:
        check_id(body.id, "id")
        id = body.id
    engine = await _called(service, id)
    if engine is None:
        return _Target(reference, id, None)
    if engine.path != path:
        raise EngineExists(
            f"the id {id!r} is that of another model, {engine.path}",
            hint="Choose another id.",
            param="id",
        )
    return _Target(engine.id, engine.id, engine)


async def _called(service: Service, name: str) -> Served | None:
    return next((one for one in await served(service) if one.is_called(name)), None)


def _kept(service: Service, body: LoadVerb, spec: ModelSpec) -> ModelSpec:
    """``spec`` as the next start must know it, with how it is to be kept."""
    before = next((kept for kept in service.registry.specs() if kept.id == spec.id), spec)
    return replace(
        spec,
        pin=before.pin if body.pin is UNSET else body.pin,
        ttl_s=before.ttl_s if body.ttl_s is UNSET else body.ttl_s,
    )
