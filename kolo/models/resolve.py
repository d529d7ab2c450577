"""What a reference to a model means: the one resolver of every command and of the server.

What a word is by its form, ``reference`` says. It is looked up in this order:

1. the builtin model, then a name or an alias of the settings;
2. a name in the store, then an alias that ``kolo alias`` gave, then a name of a model in the
   folders of ``store.folders`` or in the hub's cache;
3. where it came from (``hf:``, ``ollama:``, ``oci:``, a URL): the model on disk that did;
4. a path, or a file or folder of the working folder;
5. the beginning of a name of 2, whole or after an owner, if of only one.

A word with a slash is a path when there is such a file or folder, else ``OWNER/REPO``. Nothing
is fetched: that is for ``kolo pull``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import BadParameter, ModelNotFound
from kolo.models.gguf import shard_paths
from kolo.models.known import (
    Known,
    aliases,
    beginning_with,
    by_name,
    found,
    from_source,
    known,
    params_of,
)
from kolo.models.reference import (
    MAX_REFERENCE_CHARS,
    HubRef,
    NameRef,
    PathRef,
    RemoteRef,
    expanded,
    is_text,
    parse,
)
from kolo.models.store import need_store
from kolo.types import LoadParams

MAX_NEAR = 5
"""Names told when one is not there."""


class ModelSpec(Struct, frozen=True, kw_only=True):
    """A model that can be loaded. Equal specs are the same model with the same parameters."""

    id: str
    """Its name; for a file without one the absolute path, so that two never share an id."""
    path: Path
    """An existing file: of a split model, the first part, all others being there."""
    params: LoadParams
    """What it is loaded with."""
    asked: LoadParams | None = None
    """Of one of the store, ``params`` without what this version was published with."""
    aliases: tuple[str, ...] = ()
    pin: bool = False
    ttl_s: float | None = None
    """Seconds it stays loaded unused, 0 for ever; None leaves it to ``manager.idle_unload``."""
    source: Literal["builtin", "config", "path", "store", "folder", "hub", "retired"]
    """``retired`` is an engine whose model has another version by now, and that only finishes
    what it began."""
    description: str = ""
    stored: str = ""
    """Its name in the store, of one of the store."""

    @property
    def title(self) -> str:
        """The name to show a person."""
        return self.path.stem if self.source == "path" else self.id


def resolve(reference: str, settings: Settings, *, allow_paths: bool = True) -> ModelSpec:
    """The model that ``reference`` names.

    ``allow_paths`` is for the person at this machine; requests from elsewhere may only name.
    Raises BadParameter for what cannot be a reference, a folder that holds several models, or
    the beginning of several names, and ModelNotFound, with what is near.
    """
    if not reference or len(reference) > MAX_REFERENCE_CHARS or "\0" in reference:
        raise BadParameter(
            f"a model's name has 1 to {MAX_REFERENCE_CHARS} characters and no NUL",
            hint=_possible(settings, allow_paths),
            param="model",
        )
    if spec := _by_name(reference, settings):
        return spec
    meant = parse(reference, ollama_host=settings.store.ollama_registry, may_be_path=allow_paths)
    names = known(settings)
    if isinstance(meant, (PathRef, NameRef)):
        if allow_paths and (isinstance(meant, PathRef) or _is_there(reference)):
            path = find_file(expanded(reference))
            return ModelSpec(id=str(path), path=path, params=settings.engine, source="path")
        near = beginning_with(reference, names) if isinstance(meant, NameRef) else []
    else:
        near = [each.name for each in from_source(meant, names)]
        if not near and _is_plain(reference):
            near = beginning_with(reference, names)
    if len(near) == 1:
        return _spec(names[near[0]], settings)
    if near:
        raise ambiguous(reference, near)
    if isinstance(meant, (PathRef, NameRef)):
        raise _not_found(reference, settings, allow_paths)
    raise _not_here(meant, reference, names)


def refreshed(spec: ModelSpec, settings: Settings) -> ModelSpec:
    """``spec`` with the version that the store has in use now, and what that was published with.
    ModelNotFound if its name has left the store, and its file too."""
    if not spec.stored:
        return spec
    each = by_name(spec.stored, settings)
    if each is None and not spec.path.exists():
        raise ModelNotFound(
            f"{spec.stored!r} has left the store",
            hint=f"Pull it again; if the engine {spec.id!r} has been added by hand, forget it with "
            f"kolo unload {spec.id} --forget.",
            param="model",
        )
    return spec if each is None or each.path == spec.path else stored_spec(spec, each, settings)


def stored_spec(spec: ModelSpec, each: Known, settings: Settings) -> ModelSpec:
    """``spec``, but of the model ``each`` of the store, in the version that is in use."""
    now = _spec(each, settings)
    asked = spec.params if spec.asked is None else spec.asked
    params = params_of(each, asked)
    return replace(
        spec, path=now.path, params=params, asked=asked, source=now.source, stored=now.stored
    )


def overridden(spec: ModelSpec, overrides: Mapping[str, Any], settings: Settings) -> ModelSpec:
    """``spec`` with other parameters, by their names; those of None are as they were published."""
    if spec.asked is None:
        return replace(spec, params=replace(spec.params, **overrides))
    asked = replace(spec.asked, **overrides)
    each = by_name(spec.stored, settings)
    return replace(spec, params=params_of(each, asked) if each else asked, asked=asked)


def find_file(path: Path, *, whose: str = "") -> Path:
    """The file to load for a path to a file, to any part of a split model, or to a folder.

    ModelNotFound names what is missing, BadParameter lists what a folder holds too many of.
    """
    path = path.absolute()
    try:
        if path.is_dir():
            path = _only_model(path, whose)
        parts = shard_paths(path)
        missing = [part for part in parts if not part.exists()]
    except OSError as error:
        raise ModelNotFound(f"{path}{whose}: {error.strerror}", param="model") from error
    if not missing:
        return parts[0]
    if len(parts) == 1:
        raise ModelNotFound(f"no such file: {path}{whose}", hint=_near_file(path), param="model")
    raise ModelNotFound(
        f"{path.name}{whose} is one of {len(parts)} parts, of which "
        f"{', '.join(part.name for part in missing)} are missing",
        hint=f"Put all parts into {path.parent}.",
        param="model",
    )


def _by_name(reference: str, settings: Settings) -> ModelSpec | None:
    """Steps 1 and 2. ModelNotFound for an alias of what is not there."""
    if spec := _configured(reference, settings):
        return spec
    if each := by_name(reference, settings):
        return _spec(each, settings)
    target = aliases(settings).get(reference)
    if target is None:
        each = found(settings).get(reference)
        return _spec(each, settings) if each is not None else None
    if spec := _configured(target, settings):
        return spec
    each = known(settings).get(target)
    if each is None:
        raise ModelNotFound(
            f"{reference!r} is an alias of {target!r}, which is not there",
            hint=f"kolo alias --remove {reference}",
            param="model",
        )
    return _spec(each, settings)


def _configured(reference: str, settings: Settings) -> ModelSpec | None:
    """The builtin model, or one of the settings."""
    if reference == BUILTIN_MODEL:
        return _builtin(settings)
    for name, model in settings.models.items():
        if reference == name or reference in model.aliases:
            return ModelSpec(
                id=name,
                path=find_file(model.path, whose=f" (path of models.{name} in {settings.file})"),
                params=model.params,
                aliases=model.aliases,
                pin=model.pin,
                ttl_s=model.ttl_s,
                source="config",
                description=model.description,
            )
    return None


def _is_plain(reference: str) -> bool:
    """Whether an ``OWNER/REPO`` is without a mark, so that it may be something else too."""
    marks = ("hf:", "ollama:", "oci:", "http:", "https:", "hf.co/", "huggingface.co/")
    return not reference.lower().startswith(marks)


def _not_here(meant: RemoteRef, reference: str, names: dict[str, Known]) -> ModelNotFound:
    plain = isinstance(meant, HubRef) and _is_plain(reference)
    near = [each.name for each in from_source(_any_of(meant), names)]
    near = near[:MAX_NEAR] or _near(str(meant).partition(":")[2], names)
    here = f", or one that is here: {', '.join(near)}" if near else ""
    return ModelNotFound(
        f"there is no model or file {reference!r} on this machine"
        if plain
        else f"no model from {meant} is on this machine",
        hint=f"kolo pull {reference}{here}",
        param="model",
    )


def _any_of(meant: RemoteRef) -> RemoteRef:
    """The same place, whatever quant or file of it."""
    return HubRef(meant.owner, meant.repo) if isinstance(meant, HubRef) else meant


def _spec(each: Known, settings: Settings) -> ModelSpec:
    path = each.path
    if each.stored is not None:
        path = need_store(settings).path(each.name, each.stored.version)
    return ModelSpec(
        id=each.name,
        path=find_file(path, whose=f", the file of {each.name!r}"),
        params=params_of(each, settings.engine),
        asked=settings.engine if each.stored is not None else None,
        source=each.place,
        stored=each.name if each.stored is not None else "",
    )


def ambiguous(reference: str, names: list[str]) -> BadParameter:
    """For the beginning of several names."""
    shown = "\n".join(sorted(names)[:10])
    more = f"\nand {len(names) - 10} more" if len(names) > 10 else ""
    return BadParameter(
        f"{reference!r} may be any of {len(names)} models:\n{shown}{more}",
        hint="Write more of the name.",
        param="model",
    )


def _builtin(settings: Settings) -> ModelSpec:
    path = Path(str(files("kolo.models") / "data" / f"{BUILTIN_MODEL}.gguf"))
    if not path.is_file():
        raise ModelNotFound(
            f"the builtin model {BUILTIN_MODEL} is not part of this installation",
            hint="Install Kolo again, or name another model.",
            param="model",
        )
    return ModelSpec(id=BUILTIN_MODEL, path=path, params=settings.engine, source="builtin")


def _is_there(reference: str) -> bool:
    try:
        return Path(reference).exists()
    except OSError:  # no file can have such a name
        return False


def _only_model(folder: Path, whose: str) -> Path:
    """The one model of a folder; a split one counts once, projectors (mmproj) not at all."""
    found = {shard_paths(path)[0]: path for path in folder.iterdir() if _is_gguf(path)}
    models = [path for path in found.values() if not path.name.lower().startswith("mmproj")]
    if len(models) == 1:
        return models[0]
    if not models:
        raise ModelNotFound(f"no .gguf file in the folder {folder}{whose}", param="model")
    names = sorted(path.name for path in models)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    raise BadParameter(
        f"the folder {folder}{whose} holds {len(names)} models: {shown}",
        hint="Give the path of one of them.",
        param="model",
    )


def _is_gguf(path: Path) -> bool:
    """By its name, which must be one that can be told."""
    return path.suffix.lower() == ".gguf" and is_text(path.name)


def _not_found(reference: str, settings: Settings, allow_paths: bool) -> ModelNotFound:
    near = _near(reference, all_names(settings))
    shown = reference if len(reference) <= 100 else f"{reference[:100]}…"
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelNotFound(
        f"no model named {shown!r}",
        hint=f"{meant}{_possible(settings, allow_paths)}",
        param="model",
    )


def _near(reference: str, names: Iterable[str]) -> list[str]:
    """Those that are nearly it, whole or without owner and tag."""
    parts: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        short = name.rpartition("/")[2].lower()
        for part in {name.lower(), short, short.partition(":")[0]}:
            parts.setdefault(part, []).append(name)
    found = difflib.get_close_matches(reference.lower(), parts)
    return list(dict.fromkeys(name for part in found for name in parts[part]))[:MAX_NEAR]


def all_names(settings: Settings) -> Iterator[str]:
    """Every name that means a model of this machine: of settings, store, folders; aliases."""
    yield BUILTIN_MODEL
    for name, model in settings.models.items():
        yield from (name, *model.aliases)
    yield from known(settings)
    yield from aliases(settings)


def _possible(settings: Settings, allow_paths: bool) -> str:
    file = f" and those in {settings.file}" if settings.file else ""
    path = "; a path to a .gguf file does as well" if allow_paths else ""
    more = " kolo pull fetches others." if allow_paths and settings.store.dir else ""
    return f"kolo ls lists the names there are, {BUILTIN_MODEL}{file} among them{path}.{more}"


def _near_file(path: Path) -> str:
    """A hint at a file of nearly that name, or at how far the path does lead."""
    try:
        names = [other.name for other in path.parent.iterdir() if _is_gguf(other)]
    except OSError as error:
        return f"{path.parent}: {error.strerror}."
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {path.with_name(near[0])}?" if near else ""
