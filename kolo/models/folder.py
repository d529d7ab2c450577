"""A folder of models: each .gguf file in it, or in a folder of it, is one, known by its stem."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from kolo.config import ModelSettings
from kolo.errors import ConfigError
from kolo.models.gguf import shard_paths
from kolo.models.reference import is_text
from kolo.types import LoadParams

_SHARD_ENDING = re.compile(r"-\d{5}-of-\d{5}$")


def scan(
    folder: Path, params: LoadParams, taken: Collection[str]
) -> tuple[dict[str, ModelSettings], list[str]]:
    """The models of ``folder`` by name, and a remark on each file that cannot be one.

    A split model is one model; projectors (mmproj) and hidden files are none; headers are not
    read. What has a name that is not UTF-8 cannot be called, and is none either. A model alone
    in a folder of its own answers to that folder's name too. Names in ``taken`` are somebody
    else's. ConfigError if the folder cannot be read.
    """
    names = set(taken)
    models: dict[str, ModelSettings] = {}
    remarks: list[str] = []
    for path, parent in _files(folder.absolute(), remarks):
        name = stem(path)
        if missing := [part.name for part in shard_paths(path) if not part.is_file()]:
            remarks.append(f"{path} is left out: {', '.join(missing)} missing")
        elif name in names:
            remarks.append(f"{path} is left out: the name {name!r} is taken")
        else:
            aliases = (parent,) if parent and parent not in names else ()
            names |= {name, *aliases}
            models[name] = ModelSettings(path=path, aliases=aliases, params=params)
    return models, remarks


def stem(path: Path) -> str:
    """The name of a model by its file: without ``.gguf``, and without the number of a part."""
    return _SHARD_ENDING.sub("", path.stem)


def _files(folder: Path, remarks: list[str]) -> Iterator[tuple[Path, str]]:
    """First parts of all models, and for one alone in its own folder that folder's name."""
    entries = _entries(folder, remarks)
    for path in _models(entries):
        yield path, ""
    for inner in entries:
        if inner.is_dir():
            try:
                found = _models(_entries(inner, remarks))
            except ConfigError as error:
                remarks.append(f"left out: {error.message}")
                continue
            for path in found:
                yield path, inner.name if len(found) == 1 and inner.name != stem(path) else ""


def _models(entries: list[Path]) -> list[Path]:
    found = [
        shard_paths(path)[0]
        for path in entries
        if path.suffix.lower() == ".gguf"
        and not path.name.lower().startswith("mmproj")
        and not path.is_dir()
    ]
    return list(dict.fromkeys(found))


def _entries(folder: Path, remarks: list[str]) -> list[Path]:
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(
            f"cannot read the folder of models {folder}: {error.strerror}",
            hint="Give a folder that exists and may be read.",
        ) from error
    remarks += unnamed(entries)
    return [path for path in entries if is_text(path.name)]


def unnamed(entries: Iterable[Path]) -> list[str]:
    """One remark on those of a folder whose names are not UTF-8, if there are any."""
    odd = [path for path in entries if not is_text(path.name)]
    if not odd:
        return []
    names = f"{len(odd)} names, such as" if len(odd) > 1 else "a name,"
    return [f"{odd[0].parent} has {names} {os.fsencode(odd[0].name)!r}, not in UTF-8: left out"]
