"""Where the cached prefixes of engines are kept between two loads, and how many of them.

What the files are like is the worker's business (``engine.saved``), which writes and reads them;
here they are only counted, and the least recently used ones removed. One folder for each engine::

    CACHE/prefixes/NAME-HASH/*.kv
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from kolo import wire
from kolo.errors import ModelInvalid
from kolo.models.gguf import shard_paths
from kolo.models.resolve import ModelSpec
from kolo.paths import Paths
from kolo.whole import write_whole

SAVE_MS = 10_000
"""How long an engine that is unloaded may take to save what it has cached."""
_KEY_BYTES = 32
_SUFFIX, _PART = ".kv", ".part"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class SavedOf(Struct, frozen=True, kw_only=True):
    """What is saved of one engine."""

    name: str
    """Of its folder: the engine's, and a hash."""
    n: int
    n_bytes: int
    path: str


@dataclass(slots=True)
class PrefixFolder:
    """The folder of all engines of a server."""

    root: Path
    max_bytes: int
    """Of all engines together."""
    key: bytes
    save_ms: int = SAVE_MS

    @classmethod
    def open(cls, paths: Paths, max_bytes: int) -> PrefixFolder:
        """The folder, and what was left too much in it removed. Raises OSError when it, or its
        key, can neither be read nor made."""
        folder = cls(paths.prefixes, int(max_bytes), _key(paths.state / "prefixes.key"))
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.trim()
        return folder

    def saving(self, spec: ModelSpec) -> wire.Saving:
        """What the worker of an engine is told."""
        try:
            files = [str(path) for path in shard_paths(spec.path)]
        except ModelInvalid:  # the load says what is wrong with it
            files = [str(spec.path)]
        return wire.Saving(str(folder_of(self.root, spec.id, spec.path)), self.key, files)

    def stop(self) -> wire.Stop:
        """How a worker is told to save what it has, and to leave."""
        return wire.Stop(self.save_ms, self.max_bytes)

    def forget(self, spec: ModelSpec) -> None:
        """Remove what is saved of an engine."""
        shutil.rmtree(folder_of(self.root, spec.id, spec.path), ignore_errors=True)

    def trim(self) -> None:
        """Remove the least recently used until the rest keeps within the limit; and what killed
        workers left half written."""
        for path in self.root.glob(f"*/.*{_PART}"):
            _sweep(path)
        files = []
        for path in self.root.glob(f"*/*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        over = sum(size for _, size, _ in files) - self.max_bytes
        for _, size, path in sorted(files):
            if over <= 0:
                return
            with suppress(OSError):
                path.unlink()
            over -= size


def folder_of(root: Path, id: str, path: Path) -> Path:
    """Of one engine: another file of the same name has another folder."""
    digest = hashlib.sha256(f"{id}\0{path}".encode(errors="surrogateescape")).hexdigest()[:16]
    return root / f"{_NOT_IN_NAMES.sub('_', id)[-64:]}-{digest}"


def saved_of(folder: Path) -> SavedOf:
    """What is in the folder of one engine; nothing if it is not there."""
    sizes = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return SavedOf(name=folder.name, n=len(sizes), n_bytes=sum(sizes), path=str(folder))


def all_saved(root: Path) -> list[SavedOf]:
    """Engines with anything saved, by name."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return []
    return [saved for saved in map(saved_of, folders) if saved.n]


def remove_saved(folder: Path) -> None:
    """Of one engine. If it runs, it keeps what it has in memory, and saves that when it is
    unloaded."""
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(path: Path) -> None:
    """A worker that still writes it holds a lock on it."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _key(file: Path) -> bytes:
    with suppress(FileNotFoundError):
        key = file.read_bytes()
        if len(key) == _KEY_BYTES and not file.stat().st_mode & 0o077:
            return key
    file.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(_KEY_BYTES)
    write_whole(file, key)
    return key
