"""What Hugging Face's own tools have fetched: read where it is, never changed.

Layout (huggingface_hub, "Understand caching")::

    models--OWNER--REPO/refs/main                  the commit that main was
    models--OWNER--REPO/snapshots/COMMIT/FILE      a link to ../../blobs/ETAG
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from kolo.models.folder import stem, unnamed
from kolo.models.gguf import shard_paths
from kolo.models.reference import is_text
from kolo.models.sources.quants import is_projector, quant_of

_REPO = re.compile(r"models--(?P<owner>.+?)--(?P<repo>.+)")
_MAX_DEPTH = 4


class Cached(Struct, frozen=True, kw_only=True):
    """A model in the hub's cache."""

    owner: str
    repo: str
    commit: str
    file: str
    """Of its first part, in the repository."""
    path: Path
    quant: str
    """Upper case, by the file's name; empty when it tells none."""

    @property
    def name(self) -> str:
        """``OWNER/REPO:QUANT``, or ``OWNER/REPO/FILE``, as a pulled one is called."""
        file = Path(self.file)
        what = f":{self.quant}" if self.quant else f"/{file.with_name(stem(file))}"
        return f"{self.owner}/{self.repo}{what}"


def cached(folder: Path) -> tuple[list[Cached], list[str]]:
    """The whole models of a cache, of each repository those of its newest snapshot, and a remark
    on what has a name that is not UTF-8.

    Links that lead out of the cache are left out. An unreadable folder holds none.
    """
    root = Path(os.path.realpath(folder))
    found: list[Cached] = []
    remarks: list[str] = []
    for home in _folders(folder):
        if match := _REPO.fullmatch(home.name):
            found += _of_repo(root, home, match["owner"], match["repo"], remarks)
    return found, remarks


def _of_repo(root: Path, home: Path, owner: str, repo: str, remarks: list[str]) -> list[Cached]:
    snapshot = _snapshot(home)
    models: dict[str, Cached] = {}
    for path in _files(snapshot, root, _MAX_DEPTH, remarks) if snapshot else ():
        first = shard_paths(path)[0]
        if is_projector(first.name):
            continue
        if all(_inside(part, root) for part in shard_paths(path)):
            file = str(first.relative_to(snapshot)) if snapshot else first.name
            models[file] = Cached(
                owner=owner,
                repo=repo,
                commit=snapshot.name if snapshot else "",
                file=file,
                path=first,
                quant=quant_of(stem(first)) or quant_of(first.parent.name),
            )
    return list(models.values())


def _snapshot(home: Path) -> Path | None:
    """That of main, else the newest."""
    try:
        commit = (home / "refs" / "main").read_text().strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    folders = {folder.name: folder for folder in _folders(home / "snapshots")}
    if commit in folders:
        return folders[commit]
    return max(folders.values(), key=_written_s, default=None)


def _written_s(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # it was removed meanwhile
        return 0.0


def _files(folder: Path, root: Path, depth: int, remarks: list[str]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    remarks += unnamed(Path(entry.path) for entry in entries)
    for entry in entries:
        if not is_text(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _files(Path(entry.path), root, depth - 1, remarks)
        elif entry.name.lower().endswith(".gguf") and _inside(Path(entry.path), root):
            yield Path(entry.path)


def _inside(path: Path, root: Path) -> bool:
    real = Path(os.path.realpath(path))
    return real.is_relative_to(root) and real.is_file()


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:  # no cache, or not ours to read
        return []
