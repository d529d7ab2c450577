"""Files on their way into the store: whether they are a model, and what they are known by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from kolo.errors import ModelInvalid, ModelNotFound
from kolo.models.gguf import read_header, read_model, shard_paths
from kolo.models.manifest import About, StoredFile, encode
from kolo.models.sources.plan import NO_EXTRAS, Extras


def hash_file(path: Path, told: Callable[[int], None] | None = None) -> str:
    """``sha256:…`` of a file; ``told`` is called with the bytes of each piece. OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            if told is not None:
                told(len(piece))
    return f"sha256:{digest.hexdigest()}"


def checked(stage: Path, files: Sequence[StoredFile]) -> About:
    """What the header of the staged model says; ModelInvalid if it is none that can run."""
    models = [file for file in files if file.role == "model"]
    parts = {part.name for part in shard_paths(stage / models[0].name)} if models else set()
    if parts != {file.name for file in models}:
        raise ModelInvalid("the files are not one model, or not all parts of a split one")
    try:
        for file in files:
            if file.role == "mmproj":
                read_header(stage / file.name)
        header = read_model(stage / models[0].name)
    except ModelInvalid as error:  # without a path that is gone a moment later
        message = error.message.replace(f"{stage}/", "")
        raise ModelInvalid(message, hint=error.hint) from None
    check_runs(header.refusal(), models[0].name)
    return About.of(header)


def check_file_names(files: Sequence[StoredFile]) -> None:
    """ModelInvalid unless the files can lie in one folder under their names."""
    names = [file.name for file in files]
    for name in names:
        if Path(name).name != name or name.startswith(".") or not name.isprintable():
            raise ModelInvalid(f"{name[:100]!r} cannot be the name of a model's file")
    if len(set(names)) < len(names):
        raise ModelInvalid(f"two files of one name: {', '.join(sorted(names))}")


def check_runs(refusal: str, what: object) -> None:
    if refusal:
        raise ModelInvalid(
            f"{what} is not a model that Kolo can run: {refusal}",
            hint="Get a GGUF that generates text, embeds or ranks.",
            param="model",
        )


def in_place(path: Path, role: str) -> StoredFile:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelNotFound(f"{path}: {error.strerror}", param="model") from error
    return StoredFile(
        name=path.name,
        size_bytes=status.st_size,
        role="mmproj" if role == "mmproj" else "model",
        path=str(path),
        mtime_ns=status.st_mtime_ns,
    )


def version_id(files: Sequence[StoredFile], extras: Extras = NO_EXTRAS) -> str:
    """Equal for equal files and extras: 12 hex digits, as ``kolo show`` prints them."""
    told = "\n".join(
        sorted(f"{f.name} {f.digest or f'{f.path} {f.size_bytes} {f.mtime_ns}'}" for f in files)
    )
    if extras != NO_EXTRAS:
        told += f"\n{encode(extras).decode()}"
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:12]
