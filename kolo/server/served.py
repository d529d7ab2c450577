"""All that can be asked for by name: the builtin model, those of the settings, every engine."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kolo.config import BUILTIN_MODEL
from kolo.errors import ModelNotFound
from kolo.manager.status import EngineStatus
from kolo.models.resolve import resolve
from kolo.server.service import Service


class Served(Struct, frozen=True, kw_only=True):
    """A model under the name it is served by."""

    id: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    source: str
    """``builtin``, ``config`` or ``path``."""
    path: str
    engine: EngineStatus | None = None
    """None of one that nobody has asked for yet."""

    def is_called(self, name: str) -> bool:
        return name == self.id or name in self.aliases


def served(service: Service) -> list[Served]:
    """Every model that GET /v1/models lists, by name."""
    return sorted(_served(service), key=lambda one: one.id)


def find_served(service: Service, name: str) -> Served:
    """The model with this name or alias. Raises ModelNotFound, with what is near."""
    reference = service.reference(name)
    for one in _served(service):
        if one.is_called(reference):
            return one
    spec = resolve(reference, service.settings, allow_paths=False)
    return Served(id=spec.id, aliases=spec.aliases, source=spec.source, path=str(spec.path))


def _served(service: Service) -> Iterator[Served]:
    settings = service.settings
    engines = {engine.id: engine for engine in service.manager.list()}
    added = {spec.id: spec for spec in service.registry.specs()}
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
    for id, engine in engines.items():
        spec = added.get(id)
        yield Served(
            id=id,
            aliases=spec.aliases if spec is not None else (),
            description=spec.description if spec is not None else "",
            source=engine.source,
            path=engine.path,
            engine=engine,
        )
