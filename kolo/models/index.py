"""The list of what is in the store: read from one file, or made anew from the folders.

``index.json`` is removed before the store is changed and written after, both under the lock. So
whoever finds it may believe it, and after a crash in between it is made again from the folders,
which are the truth::

    names/<name>/current                    id of the version in use
    names/<name>/<id>/manifest.json         a Version
    names/<name>/<id>/*.gguf                its files: hard links to blobs
    blobs/sha256-<hex>.gguf                 each content once
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from kolo.models.manifest import Stored, Version, decode_version, encode, name_of_folder
from kolo.whole import write_whole

FORMAT = 1

Stamp = tuple[int, int, int]
"""Changes whenever a file is replaced: inode, time of change in ns, size."""
NO_FILE: Stamp = (0, 0, 0)


class _Index(Struct, frozen=True, kw_only=True):
    format: int
    models: list[Stored]


def stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return NO_FILE
    return status.st_ino, status.st_mtime_ns, status.st_size


def read(folder: Path) -> dict[str, Stored] | None:
    """The models by name; None when there is no index, or none of ours."""
    try:
        index = msgspec.json.decode((folder / "index.json").read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    if index.format != FORMAT or not all(stored.versions for stored in index.models):
        return None
    return {stored.name: stored for stored in index.models}


def write(folder: Path, models: dict[str, Stored]) -> None:
    """OSError when it cannot be written; there is then no index."""
    ordered = [models[name] for name in sorted(models)]
    write_whole(folder / "index.json", encode(_Index(format=FORMAT, models=ordered)))


def drop(folder: Path) -> None:
    (folder / "index.json").unlink(missing_ok=True)


def scan(folder: Path) -> tuple[dict[str, Stored], list[str]]:
    """The models as the folders have them, and a remark on each thing that is no model."""
    models: dict[str, Stored] = {}
    remarks: list[str] = []
    for home in _folders(folder / "names"):
        versions = sorted(_versions(home, remarks), key=lambda version: version.added_at)
        if versions:
            name = name_of_folder(home.name)
            models[name] = Stored(name=name, current=_current(home), versions=tuple(versions))
    return models, remarks


def _versions(home: Path, remarks: list[str]) -> Iterator[Version]:
    for folder in _folders(home):
        try:
            version = decode_version((folder / "manifest.json").read_bytes())
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            remarks.append(f"{folder} is left out: its manifest.json: {error}")
            continue
        if version.id != folder.name:
            remarks.append(f"{folder} is left out: it says that it is {version.id!r}")
            continue
        gone = [f.name for f in version.files if not f.path and not (folder / f.name).is_file()]
        if gone:
            remarks.append(f"{folder} is left out: {', '.join(gone)} missing")
            continue
        yield version


def _current(home: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return (home / "current").read_text().strip()
    return ""


def _folders(parent: Path) -> list[Path]:
    """Real folders only: a link to one could lead anywhere."""
    try:
        with os.scandir(parent) as entries:
            found = [
                Path(entry.path)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)
