"""What a server is to serve: the settings, with the models of the command line and of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, ModelSettings, Settings
from kolo.models.folder import scan, stem
from kolo.models.gguf import read_model
from kolo.models.resolve import ModelSpec, resolve
from kolo.types import LoadParams

MAX_ALIAS_CHARS = 512
"""A request may name a model in no more."""


class Plan(NamedTuple):
    settings: Settings
    """With every model under a name."""
    load: list[str]
    """Names of those to load at start."""
    remarks: list[str]
    """What a person should know about files that are left out."""


def plan(
    settings: Settings, references: Iterable[str], flags: dict[str, Any], folder: Path | None
) -> Plan:
    """Give every model a name.

    A reference that is a path is known by its file's stem, or by the path where another model
    has that name; besides by the reference as typed. ``flags`` are loading parameters that win
    over those of a named model's own section. Raises as ``resolve`` and ``read_model`` do: what
    a person names must be there.
    """
    load = []
    for reference in references:
        spec = resolve(reference, settings)
        read_model(spec.path)
        name, model = _named(settings, spec, flags)
        if model is not None:
            taken = set(_names(settings)) - {name, *model.aliases}
            wanted = (*model.aliases, reference, stem(spec.path), str(spec.path))
            aliases = [each for each in wanted if each not in taken and _can_be_asked(each)]
            model = replace(model, aliases=tuple(dict.fromkeys(a for a in aliases if a != name)))
            settings = replace(settings, models={**settings.models, name: model})
        load.append(name)
    remarks: list[str] = []
    if folder is not None:
        found, remarks = scan(folder, settings.engine, set(_names(settings)))
        settings = replace(settings, models={**settings.models, **found})
    return Plan(settings, list(dict.fromkeys(load)), remarks)


def _named(
    settings: Settings, spec: ModelSpec, flags: dict[str, Any]
) -> tuple[str, ModelSettings | None]:
    """The name of a model and its section; None for one that has a name without any."""
    if spec.source in ("builtin", "store", "folder", "hub"):
        return spec.id, None
    if spec.source == "config":
        model = settings.models[spec.id]
        return spec.id, replace(model, params=_with(model.params, flags))
    for name, model in settings.models.items():
        if model.path == spec.path and str(spec.path) in (name, *model.aliases):
            return name, model  # named before, in other words
    taken = set(_names(settings))
    name = stem(spec.path)
    if name in taken or not _can_be_asked(name):
        name = str(spec.path)
    return name, ModelSettings(path=spec.path, params=settings.engine)


def _with(params: LoadParams, flags: dict[str, Any]) -> LoadParams:
    """``params`` with other values, by dotted key."""
    own = {key: value for key, value in flags.items() if "." not in key}
    drawn = {key[9:]: value for key, value in flags.items() if key.startswith("sampling.")}
    params = replace(params, **own)
    return replace(params, sampling=replace(params.sampling, **drawn)) if drawn else params


def _names(settings: Settings) -> Iterator[str]:
    yield BUILTIN_MODEL
    for name, model in settings.models.items():
        yield from (name, *model.aliases)


def _can_be_asked(name: str) -> bool:
    return 0 < len(name) <= MAX_ALIAS_CHARS and name.isprintable() and name == name.strip()
