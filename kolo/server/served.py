"""All that can be asked for by name: the builtin model, those of the settings, every engine."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kolo.config import BUILTIN_MODEL
from kolo.errors import ModelNotFound
from kolo.manager.status import EngineStatus
from kolo.models.known import aliases, known
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


def served(service: Service) -> list[Served]:
    """Every model that GET /v1/models lists, by name."""
    return sorted(_served(service), key=lambda one: one.id)


def leaving(service: Service) -> list[Served]:
    """Engines of versions that are not in use any more, which only finish what they began; no
    request can name them."""
    return [
        Served(id=engine.id, source=engine.source, path=engine.path, engine=engine)
        for engine in service.manager.list()
        if engine.source == "retired"
    ]


def find_served(service: Service, name: str) -> Served:
    """The model with this name or alias. Raises ModelNotFound, with what is near."""
    reference = service.reference(name)
    every = list(_served(service))
    for one in every:
        if one.is_called(reference):
            return one
    spec = resolve(reference, service.settings, allow_paths=False)
    for one in every:
        if one.id == spec.id:
            return one
    return Served(id=spec.id, aliases=spec.aliases, source=spec.source, path=str(spec.path))


def _served(service: Service) -> Iterator[Served]:
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
    for name, each in known(settings).items():
        if name in settings.models or name == BUILTIN_MODEL:
            continue
        yield Served(
            id=name,
            aliases=tuple(alias for alias, target in further.items() if target == name),
            source=each.place,
            path=str(each.path),
            engine=engines.pop(name, None),
        )
    for engine in engines.values():
        if engine.source == "retired":
            continue
        yield Served(
            id=engine.id,
            aliases=engine.aliases,
            description=engine.description,
            source=engine.source,
            path=engine.path,
            engine=engine,
        )
