"""What a source has for a reference, before a byte of the model is fetched."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from msgspec import Struct

from kolo.config import Settings
from kolo.models.reference import HubRef, OciRef, RemoteRef, is_safe
from kolo.types import Sampling

Role = Literal["model", "shard", "mmproj"]
Source = Literal["hub", "oci", "url"]

MAX_NAME_BYTES = 240
"""Of a file's name; file systems allow 255."""


class RemoteFile(Struct, frozen=True, kw_only=True):
    """One GGUF file to fetch."""

    name: str
    """The last part of its path, safe as a file name."""
    role: Role
    """``model`` for a whole one, ``shard`` for a part of a split one, in order."""
    size_bytes: int | None
    """None where the source does not say."""
    sha256: str | None
    """In hex; None where the source names none."""
    validator: str | None
    """A strong ETag or a Last-Modified that changes with the content (RFC 9110, 8.8)."""
    url: str
    """Where it is. May hold a signature: not to be shown or kept."""

    @property
    def key(self) -> str:
        """What a partial download of it is filed under; the same content has the same key."""
        return partial_key(self.sha256, self.url)


class Candidate(Struct, frozen=True, kw_only=True):
    """A model that could have been meant instead."""

    quant: str
    """Upper case; for a file whose name tells none, the name itself."""
    name: str
    """Of its first file, with the path in the repository."""
    size_bytes: int | None
    n_files: int = 1


class Extras(Struct, frozen=True, kw_only=True):
    """What a source says of a model beside its weights (Ollama's layers)."""

    sampling: Sampling = Sampling()
    """Defaults for fields that a request leaves unset."""
    ctx: int | None = None
    """Tokens of context it is meant to be used with."""
    stop: tuple[str, ...] = ()
    system: str = ""
    template: str = ""
    """A Go template: kept to be shown, of no use to llama.cpp, which has the file's own."""
    license: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Parameters that have no counterpart here, as ``name=value``."""


NO_EXTRAS = Extras()


class Plan(Struct, frozen=True, kw_only=True):
    """What would be fetched. Holds no token."""

    reference: RemoteRef
    name: str
    """How the store calls it: ``owner/repo:Q4_K_M``, ``qwen2.5:0.5b``, the stem of a file."""
    source: Source
    revision: str
    """The commit, the digest of the manifest, or the validator of a URL."""
    quant: str
    """Empty where nothing tells before the header is read."""
    chosen: str = ""
    """Why this file, when the reference left it open: one sentence for the person."""
    files: tuple[RemoteFile, ...]
    """The model or its shards in order, then a projector if there is one."""
    candidates: tuple[Candidate, ...] = ()
    """Everything there is in the place, the chosen one included."""
    extras: Extras = NO_EXTRAS

    @property
    def size_bytes(self) -> int | None:
        """Of all files; None when one is unknown."""
        sizes = [file.size_bytes for file in self.files if file.size_bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


async def plan(reference: RemoteRef, settings: Settings, *, allow_private: bool = True) -> Plan:
    """Ask the source what ``reference`` is. Fetches metadata only.

    ``allow_private`` False refuses addresses that are not public, which is for requests from
    elsewhere; a source that the operator configured is theirs to choose. Raises ModelNotFound
    (with what else is there), SourceDenied (gated, private, wrong token), SourceUnreachable,
    PrivateSource, ModelInvalid (not a model at all).
    """
    # Each source is imported when it is asked: the hub's client alone costs tenths of a second.
    if isinstance(reference, HubRef):
        from kolo.models.sources.hub import plan_hub

        return await plan_hub(reference, settings)
    if isinstance(reference, OciRef):
        from kolo.models.sources.oci import plan_oci

        return await plan_oci(reference, settings, allow_private=allow_private)
    from kolo.models.sources.https import plan_url

    return await plan_url(reference, settings, allow_private=allow_private)


def file_name(path: str, otherwise: str) -> str:
    """The last part of a path that a source names, if it can be the name of a file."""
    name = PurePosixPath(path).name
    return name if is_safe(name) and len(name.encode()) <= MAX_NAME_BYTES else otherwise


def partial_key(sha256: str | None, url: str) -> str:
    """Hex. Of a URL only the part that names the file counts: signatures change."""
    if sha256 is not None:
        return sha256
    from hashlib import sha256 as digest

    return "u" + digest(url.split("?")[0].encode()).hexdigest()[:40]
