"""What a reference to a model means: the builtin one, a name in the settings, or a file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kolo.config import BUILTIN_MODEL, Settings
from kolo.errors import BadParameter, ModelNotFound
from kolo.models.gguf import shard_paths
from kolo.types import LoadParams

MAX_REFERENCE_CHARS = 4096


class ModelSpec(Struct, frozen=True, kw_only=True):
    """A model that can be loaded. Equal specs are the same model with the same parameters."""

    id: str
    """Its name; for a file without one the absolute path, so that two never share an id."""
    path: Path
    """An existing file: of a split model, the first part, all others being there."""
    params: LoadParams
    aliases: tuple[str, ...] = ()
    pin: bool = False
    ttl_s: float | None = None
    """Seconds it stays loaded unused, 0 for ever; None leaves it to ``manager.idle_unload``."""
    source: Literal["builtin", "config", "path"]
    description: str = ""

    @property
    def title(self) -> str:
        """The name to show a person."""
        return self.path.stem if self.source == "path" else self.id


def resolve(reference: str, settings: Settings, *, allow_paths: bool = True) -> ModelSpec:
    """The model that ``reference`` names.

    A name or an alias in the settings goes before a path. ``allow_paths`` is for the person at
    this machine; requests from elsewhere may only name. Raises BadParameter for what cannot be
    a reference, or a folder that holds several models, and ModelNotFound, with what is near.
    """
    if not reference or len(reference) > MAX_REFERENCE_CHARS or "\0" in reference:
        raise BadParameter(
            f"a model's name has 1 to {MAX_REFERENCE_CHARS} characters and no NUL",
            hint=_possible(settings, allow_paths),
            param="model",
        )
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
    if allow_paths and _is_path(reference):
        path = find_file(_expanded(reference))
        return ModelSpec(id=str(path), path=path, params=settings.engine, source="path")
    raise _not_found(reference, settings, allow_paths)


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


def _builtin(settings: Settings) -> ModelSpec:
    path = Path(str(files("kolo.models") / "data" / f"{BUILTIN_MODEL}.gguf"))
    if not path.is_file():
        raise ModelNotFound(
            f"the builtin model {BUILTIN_MODEL} is not part of this installation",
            hint="Install Kolo again, or name another model.",
            param="model",
        )
    return ModelSpec(id=BUILTIN_MODEL, path=path, params=settings.engine, source="builtin")


def _is_path(reference: str) -> bool:
    looks = "/" in reference or reference.startswith(("~", ".")) or _is_gguf(Path(reference))
    try:
        return looks or Path(reference).exists()
    except OSError:  # no file can have such a name
        return False


def _expanded(reference: str) -> Path:
    try:
        return Path(reference).expanduser()
    except RuntimeError as error:
        raise BadParameter(f"{reference}: {error}", param="model") from None


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
    return path.suffix.lower() == ".gguf"


def _not_found(reference: str, settings: Settings, allow_paths: bool) -> ModelNotFound:
    names = {name.lower(): name for name in _names(settings)}
    near = [names[name] for name in difflib.get_close_matches(reference.lower(), names)]
    shown = reference if len(reference) <= 100 else f"{reference[:100]}…"
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return ModelNotFound(
        f"no model named {shown!r}",
        hint=f"{meant}{_possible(settings, allow_paths)}",
        param="model",
    )


def _names(settings: Settings) -> Iterator[str]:
    yield BUILTIN_MODEL
    for name, model in settings.models.items():
        yield from (name, *model.aliases)


def _possible(settings: Settings, allow_paths: bool) -> str:
    path = "a path to a .gguf file, " if allow_paths else ""
    file = f"a name in {settings.file}, " if settings.file else ""
    return f"Possible: {path}{file}{BUILTIN_MODEL}."


def _near_file(path: Path) -> str:
    """A hint at a file of nearly that name, or at how far the path does lead."""
    try:
        names = [other.name for other in path.parent.iterdir() if _is_gguf(other)]
    except OSError as error:
        return f"{path.parent}: {error.strerror}."
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {path.with_name(near[0])}?" if near else ""
