"""Keeping the store in order: what could go, and whether what is there is still what it was."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from kolo.errors import KoloError, ModelNotFound
from kolo.models import blobs, index
from kolo.models.gguf import read_header
from kolo.models.judge import hash_file
from kolo.models.lock import locked
from kolo.models.manifest import Stored, StoredFile, Version
from kolo.models.store import Store

STALE_S = 7 * 86400.0
"""A partial download that nobody has written to for so long is stale."""


class Waste(Struct, frozen=True, kw_only=True):
    """Something that ``prune`` would remove."""

    kind: Literal["version", "blob", "partial", "leftover", "prefix"]
    what: str
    """The name of a model and its version, or of a file."""
    n_bytes: int
    """What its removal frees."""
    name: str = ""
    version: str = ""
    path: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """One file of a version, held against what the store knows of it."""

    name: str
    version: str
    file: str
    path: str
    state: Literal["ok", "unhashed", "missing", "changed", "damaged"]
    """``unhashed``: in place, of the same size and time as when it was registered, and sound as
    far as its header tells; ``changed``: in place, and another since; ``damaged``: not the bytes
    that were fetched."""
    detail: str = ""

    @property
    def bad(self) -> bool:
        return self.state in ("missing", "changed", "damaged")


def waste(store: Store, *, stale_s: float = STALE_S, now_s: float | None = None) -> list[Waste]:
    """What could be removed without anybody missing it: versions that are not in use, contents
    without a version, downloads given up, and what a killed process left."""
    models = store.models()
    in_use = {f.digest for m in models.values() for f in m.version.files}
    found = []
    counted: set[str] = set()
    for stored in models.values():
        for version in stored.versions:
            if version != stored.version:
                freed = _freed(version, in_use | counted)
                counted |= {file.digest for file in version.files}
                what = f"{stored.name} {version.id}"
                found.append(
                    Waste(
                        kind="version",
                        what=what,
                        n_bytes=freed,
                        name=stored.name,
                        version=version.id,
                    )
                )
    for blob in blobs.orphans(store.folder, models.values()):
        found.append(_file("blob", blob))
    now_s = time.time() if now_s is None else now_s
    found += [each for path in _children(store.partial) if (each := _stale(path, now_s - stale_s))]
    return found + [_file("leftover", path) for path in blobs.debris(store.folder)]


def clear(store: Store, items: Iterable[Waste]) -> None:
    """Remove what ``waste`` found. A version that is in use by now stays."""
    doomed: dict[str, list[str]] = {}
    for item in items:
        if item.kind == "version":
            doomed.setdefault(item.name, []).append(item.version)
    store.forget_versions(doomed)  # and with them the blobs that nobody needs
    with locked(store.folder):
        for item in items:
            if item.kind == "leftover":
                _remove(Path(item.path))
            elif item.kind == "partial":
                with _locked(Path(item.path)) as unused:
                    if unused:
                        _remove(Path(item.path))
                        _remove(Path(item.path).with_suffix(".json"))


def verify(
    store: Store,
    stored: Stored,
    *,
    every_version: bool = False,
    told: Callable[[str, int], None] | None = None,
) -> list[Finding]:
    """Read every file of a model and compare. ``told`` is called with a file's name and the
    bytes of each piece read."""
    versions = stored.versions if every_version else (stored.version,)
    return [
        _check(store, stored.name, version, file, told)
        for version in versions
        for file in version.files
    ]


def problems(folder: Path) -> list[str]:
    """Why things in the folder are no models, as a rebuild of the index would say."""
    return index.scan(folder)[1]


def _check(
    store: Store,
    name: str,
    version: Version,
    file: StoredFile,
    told: Callable[[str, int], None] | None,
) -> Finding:
    def finding(state: str, detail: str = "") -> Finding:
        return Finding(
            name=name,
            version=version.id,
            file=file.name,
            path=str(path),
            state=state,  # type: ignore[arg-type]
            detail=detail,
        )

    path = Path(file.path or store.home(name) / version.id / file.name)
    try:
        path = store.path(name, version, file)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return finding("damaged", "not a regular file")
        if file.path:
            if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
                return finding("changed", "it is not as it was when it was registered")
            read_header(path)
            return finding("unhashed")
        if status.st_size != file.size_bytes:
            return finding("damaged", f"{status.st_size} bytes, not {file.size_bytes}")
        digest = hash_file(path, None if told is None else lambda n: told(file.name, n))
    except (FileNotFoundError, ModelNotFound):
        return finding("missing")
    except OSError as error:
        return finding("damaged", f"cannot be read: {error.strerror}")
    except KoloError as error:
        return finding("damaged", error.message)
    if digest != file.digest:
        return finding("damaged", f"its contents are {digest[:19]}…, not {file.digest[:19]}…")
    return finding("ok")


def _freed(version: Version, kept: set[str]) -> int:
    return sum(f.size_bytes for f in version.files if not f.path and f.digest not in kept)


def _stale(path: Path, before_s: float) -> Waste | None:
    """A partial download that nobody has written to since, and nobody is writing."""
    try:
        if path.lstat().st_mtime > before_s:
            return None
        with _locked(path) as unused:
            if not unused:
                return None
    except FileNotFoundError:
        return None
    beside = path.with_suffix(".json")
    if path == beside and path.with_suffix(".part").exists():
        return None  # goes with the part
    n_bytes = _bytes_under(path) + (_bytes_under(beside) if path != beside else 0)
    return Waste(kind="partial", what=_title(beside) or path.name, n_bytes=n_bytes, path=str(path))


def _title(beside: Path) -> str:
    """Of what file a partial is a part, by the note beside it."""
    try:
        told = msgspec.json.decode(beside.read_bytes())
        return str(told["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """The lock that a download holds (flock(2)), for as long as the block runs; False while one
    does. What cannot be opened nobody writes to."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


def _file(kind: Literal["blob", "partial", "leftover"], path: Path) -> Waste:
    return Waste(kind=kind, what=path.name, n_bytes=_bytes_under(path), path=str(path))


def _bytes_under(path: Path) -> int:
    """What removing it frees: files that have another name too count for nothing."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    if stat.S_ISDIR(status.st_mode):
        return sum(_bytes_under(child) for child in _children(path))
    return status.st_size if status.st_nlink == 1 and stat.S_ISREG(status.st_mode) else 0


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
