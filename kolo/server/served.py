"""All that can be asked for by name: the builtin model, those of the settings, every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from msgspec import Struct

from kolo.config import BUILTIN_MODEL
from kolo.errors import ModelNotFound
from kolo.manager.status import EngineStatus
from kolo.models.known import Known, aliases, in_store, known
from kolo.models.resolve import resolve
from kolo.server.service import Service


class Served(Struct, frozen=True, kw_only=True):
    """A model under the name it is served by."""

    id: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    source: str
    """As that of ``ModelSpec``."""
    path: str
    engine: EngineStatus | None = None
    """None of one that nobody has asked for yet."""

    def is_called(self, name: str) -> bool:
        return name == self.id or name in self.aliases


async def served(service: Service) -> list[Served]:
    """Every model that can be asked for, by name."""
    # In a thread: a folder may be large, or on a disk far away.
    return listed(service, await asyncio.to_thread(known, service.settings))


def listed(service: Service, names: dict[str, Known]) -> list[Served]:
    """The same, where ``names`` are the models that need no line in the settings."""
    return sorted(_served(service, names), key=lambda one: one.id)


def leaving(service: Service) -> list[Served]:
    """Engines of versions that are not in use any more, which only finish what they began; no
    request can name them."""
    return [
        Served(id=engine.id, source=engine.source, path=engine.path, engine=engine)
        for engine in service.manager.list()
        if engine.source == "retired"
    ]


async def find_served(service: Service, name: str) -> Served:
    """The model with this name or alias. Raises ModelNotFound, with what is near."""
    reference, settings = service.reference(name), service.settings
    for one in listed(service, in_store(settings)):  # needs no look at the folders
        if one.is_called(reference):
            return one
    every = await served(service)
    for one in every:
        if one.is_called(reference):
            return one
    try:
        spec = await asyncio.to_thread(resolve, reference, settings, allow_paths=False)
    except ModelNotFound as error:
        raise service.not_there(reference, error) from error
    for one in every:
        if one.id == spec.id:
            return one
    return Served(id=spec.id, aliases=spec.aliases, source=spec.source, path=str(spec.path))


def _served(service: Service, names: dict[str, Known]) -> Iterator[Served]:
    settings = service.settings
    engines = {engine.id: engine for engine in service.manager.list()}
    if BUILTIN_MODEL not in engines:
        try:
            path = str(resolve(BUILTIN_MODEL, settings).path)
            yield Served(id=BUILTIN_MODEL, source="builtin", path=path)
        except ModelNotFound:
            pass  # not part of this installation: then it is not served
    for name, model in settings.models.items():
        yield Served(
            id=name,
            aliases=model.aliases,
            description=model.description,
            source="config",
            path=str(model.path),
            engine=engines.pop(name, None),
        )
    further = aliases(settings)
    for name, each in names.items():
        if name in settings.models or name == BUILTIN_MODEL:
            continue
        yield Served(
            id=name,
            aliases=tuple(alias for alias, target in further.items() if target == name),
            source=each.place,
            path=str(each.path),
            engine=engines.pop(name, None),
        )
    kept = {spec.id: spec.stored for spec in service.registry.specs()}
    for engine in engines.values():
        if engine.source == "retired" or _has_left(engine, kept):
            continue
        yield Served(
            id=engine.id,
            aliases=engine.aliases,
            description=engine.description,
            source=engine.source,
            path=engine.path,
            engine=engine,
        )


def _has_left(engine: EngineStatus, kept: Mapping[str, str]) -> bool:
    """Whether it was of a model that was found by name, is not there any more, and is not loaded.
    One under a name of its own, which ``kept`` has, stays until somebody forgets it."""
    if engine.state not in ("unloaded", "failed") or engine.source in ("config", "path", "builtin"):
        return False
    return kept.get(engine.id, engine.id) == engine.id
