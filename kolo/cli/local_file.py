"""A file of this machine that is to be known by name."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from pathlib import Path

from msgspec import Struct

from kolo.cli.table import size_text
from kolo.errors import ConfigError, DiskFull, ModelInvalid, ModelNotFound
from kolo.models.folder import stem
from kolo.models.gguf import read_model, shard_paths
from kolo.models.resolve import find_file
from kolo.models.store import Added, Incoming, Store

PIECE_BYTES = 1 << 20
_ROOM = "kolo prune, or without --copy to leave the file where it is"


class LocalFile(Struct, frozen=True, kw_only=True):
    path: Path
    """Of a split model, the first part."""
    name: str
    """What it is called unless it is given another name."""
    size_bytes: int
    told: str
    """``398 MB, Q4_K_M``."""


def examine(path: Path) -> LocalFile:
    """The model at ``path``. Raises as ``find_file`` and ``read_model``, and ModelInvalid for
    what is sound and no model that can run."""
    first = find_file(path)
    header = read_model(first)
    if refusal := header.refusal():
        raise ModelInvalid(f"{first} is not a model that Kolo can run: {refusal}")
    parts = len(shard_paths(first))
    in_parts = f" in {parts} parts" if parts > 1 else ""
    return LocalFile(
        path=first,
        name=stem(first),
        size_bytes=header.file_bytes,
        told=f"{size_text(header.file_bytes)}{in_parts}, {header.quant}",
    )


def copy_in(store: Store, file: LocalFile, name: str, told: Callable[[int, int], None]) -> Added:
    """Copy all parts into the store, hashing while writing; ``told`` how many bytes of how many.

    DiskFull when there is no room, ConfigError for a store that cannot be written, ModelNotFound
    for a file that cannot be read to its end. What was copied by then is removed.
    """
    with _writing(file.path, store.partial):
        store.partial.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(store.partial).free
    if free < file.size_bytes:
        raise DiskFull(
            f"{size_text(file.size_bytes)} do not fit in the {size_text(free)} that are free in "
            f"{store.partial}",
            hint=_ROOM,
        )
    made: list[Incoming] = []
    done = 0
    try:
        for no, part in enumerate(shard_paths(file.path)):
            target = store.partial / f".copy.{os.getpid()}.{no}"
            made.append(Incoming(path=target, name=part.name, digest="", size_bytes=0))
            told_of = partial(_told_from, told, done, file.size_bytes)
            digest, n_bytes = _copy(part, target, told_of)
            made[-1] = Incoming(path=target, name=part.name, digest=digest, size_bytes=n_bytes)
            done += n_bytes
        return store.add(name, made, source=str(file.path))
    finally:
        for each in made:
            each.path.unlink(missing_ok=True)


def _told_from(told: Callable[[int, int], None], done: int, total: int, n: int) -> None:
    told(done + n, total)


def _copy(source: Path, target: Path, told: Callable[[int], None]) -> tuple[str, int]:
    digest, n_bytes = hashlib.sha256(), 0
    with _writing(source, target.parent), open(target, "wb") as writer:
        for piece in _pieces(source):
            digest.update(piece)
            writer.write(piece)
            n_bytes += len(piece)
            told(n_bytes)
    return f"sha256:{digest.hexdigest()}", n_bytes


@contextmanager
def _writing(source: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot copy {source} into {folder}: {error.strerror}"
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise DiskFull(message, hint=_ROOM) from error
        raise ConfigError(
            message, hint="Correct the folder's permissions, or choose another with store.dir."
        ) from error


def _pieces(source: Path) -> Iterator[bytes]:
    try:
        with open(source, "rb") as reader:
            while piece := reader.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise ModelNotFound(f"cannot read {source}: {error.strerror}", param="model") from error
