"""What the store remembers of a model: its versions, their files, what their header said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from kolo.config import BUILTIN_MODEL
from kolo.errors import BadParameter
from kolo.models.header import Header
from kolo.models.sources.plan import Extras

MAX_FOLDER_BYTES = 240
"""Of a name as a folder's name; file systems allow 255."""
Role = Literal["model", "mmproj"]


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a version, in its folder under ``name``, or where ``path`` says."""

    name: str
    size_bytes: int
    digest: str = ""
    """``sha256:…``; empty for a file in place that was never hashed."""
    role: Role = "model"
    """The first ``model`` is the one to load; of a split model they are in order."""
    path: str = ""
    """Of a file that stays where it is, absolute."""
    mtime_ns: int = 0
    """Of a file that stays where it is, when it was registered."""

    @property
    def hex(self) -> str:
        return self.digest.removeprefix("sha256:")


class About(Struct, frozen=True, kw_only=True):
    """What the header said, so that a list need not open the file."""

    architecture: str = ""
    quant: str = ""
    n_params: int = 0
    n_ctx_train: int = 0
    kind: str = "generate"
    title: str = ""

    @classmethod
    def of(cls, header: Header) -> About:
        return cls(
            architecture=header.architecture,
            quant=header.quant,
            n_params=header.n_params,
            n_ctx_train=header.n_ctx_train,
            kind=header.kind,
            title=header.name,
        )


class Version(Struct, frozen=True, kw_only=True):
    """One state of a model. Equal ids are equal files."""

    id: str
    added_at: float
    """Unix time in seconds."""
    source: str
    """The reference it was pulled by, or the path it was registered with."""
    files: tuple[StoredFile, ...]
    revision: str = ""
    """What the source calls this state: a commit, a manifest's digest, an ETag."""
    about: About = About()
    extras: Extras = Extras()
    """What came beside the weights."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def in_place(self) -> bool:
        return any(file.path for file in self.files)


class Stored(Struct, frozen=True, kw_only=True):
    """A name of the store."""

    name: str
    current: str
    """Id of the version in use."""
    versions: tuple[Version, ...]
    """Oldest first; never empty."""

    @property
    def version(self) -> Version:
        """The one in use."""
        return next((v for v in self.versions if v.id == self.current), self.versions[-1])

    @property
    def former(self) -> Version | None:
        """The one before that."""
        at = self.versions.index(self.version)
        return self.versions[at - 1] if at else None


def check_name(name: str) -> str:
    """``name``, if a model of the store can have it; else BadParameter."""
    if (
        name == BUILTIN_MODEL
        or not re.match(r"[^\W_]", name)
        or not name.isprintable()
        or name != name.strip()
        or len(folder_name(name)) > MAX_FOLDER_BYTES
        or re.match(r"(hf|ollama|oci|https?):", name, re.IGNORECASE)
    ):
        raise BadParameter(
            f"{name[:100]!r} cannot be the name of a model here",
            hint="A name begins with a letter or digit, is short, no reference, and not "
            f"{BUILTIN_MODEL!r}.",
            param="name",
        )
    return name


def folder_name(name: str) -> str:
    """A name as that of its folder: one part of a path, whatever is in it."""
    return quote(name, safe=":+@ ", errors="surrogateescape")


def name_of_folder(folder: str) -> str:
    return unquote(folder, errors="surrogateescape")


def encode(value: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def decode_version(data: bytes) -> Version:
    """The Version in a ``manifest.json``. ValueError, saying what, for anything else."""
    version = msgspec.json.decode(data, type=Version)
    for file in version.files:
        if Path(file.name).name != file.name or file.name in ("", ".", ".."):
            raise ValueError(f"{file.name!r} is not the name of a file")
        if file.digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", file.digest):
            raise ValueError(f"{file.digest!r} is no digest")
        if file.path and not file.path.startswith("/"):
            raise ValueError(f"{file.path!r} is not an absolute path")
    if not any(file.role == "model" for file in version.files):
        raise ValueError("it names no model file")
    return version
