"""Models in OCI registries: Ollama's own layers, Docker's model artifacts, and plain GGUF files
that were pushed as layers (ORAS), known by their title."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import PurePosixPath

import httpx2
import msgspec
from msgspec import Struct, field

from kolo.config import Settings
from kolo.errors import (
    KoloError,
    ModelInvalid,
    ModelNotFound,
    SourceDenied,
    SourceError,
    SourceUnreachable,
    Unsupported,
)
from kolo.models.reference import OciRef
from kolo.models.sources.layers import PREFIX as OLLAMA
from kolo.models.sources.layers import extras_of
from kolo.models.sources.plan import Plan, RemoteFile, Role, file_name
from kolo.models.sources.quants import Listed, groups, is_projector, quant_of
from kolo.models.sources.registry import base_url, blob_url, check_digest, small_blob
from kolo.models.sources.web import Broken, Web, with_web

MAX_MANIFEST_BYTES = 4 << 20  # the least that a registry must take (distribution-spec)
MAX_TEXT_BYTES = 1 << 20
MAX_LAYERS = 1000

_ACCEPT = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
_TITLES = ("org.opencontainers.image.title", "org.cncf.model.filepath")
_MODELS = (f"{OLLAMA}model", "application/vnd.docker.ai.gguf.v3")
_PROJECTORS = (f"{OLLAMA}projector", "application/vnd.docker.ai.mmproj")


class Layer(Struct, frozen=True, rename="camel"):
    """A descriptor (image-spec 1.1)."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}

    @property
    def title(self) -> str:
        """The name it was pushed under; empty if it does not say."""
        return next((self.annotations[key] for key in _TITLES if key in self.annotations), "")


class Manifest(Struct, frozen=True, rename="camel"):
    """Of an image, or, with ``manifests``, an index of several."""

    config: Layer | None = None
    layers: list[Layer] = []
    manifests: list[Layer] = []


class _Config(Struct, frozen=True):
    """What the config blob says of the quant: Ollama's ``file_type``, Docker's in ``config``."""

    class Inner(Struct, frozen=True):
        quantization: str = ""

    file_type: str = ""
    config: Inner = field(default_factory=Inner)


async def plan_oci(reference: OciRef, settings: Settings, *, allow_private: bool) -> Plan:
    """``plan`` for a registry. Short layers are read at once; they are no part of the download."""
    base = base_url(reference, settings)
    return await with_web(
        reference, settings, allow_private, lambda web: _plan(web, base, reference)
    )


def _plan(web: Web, base: str, reference: OciRef) -> Plan:
    manifest, digest = _manifest(web, base, reference)
    files = _files(base, reference, manifest)  # first, since it bounds the number of layers
    texts = [
        (layer.media_type, _text(web, base, reference, layer))
        for layer in manifest.layers
        if layer.media_type.startswith(OLLAMA) and not _is_gguf(layer)
    ]
    quant = _quant(web, base, reference, manifest)
    return Plan(
        reference=reference,
        name=str(reference).partition(":")[2],
        source="oci",
        revision=digest,
        quant=quant or quant_of(files[0].name),
        files=files,
        extras=extras_of(texts),
    )


def _manifest(web: Web, base: str, reference: OciRef) -> tuple[Manifest, str]:
    """The manifest of the one model meant, and its digest."""
    wanted = reference.digest or reference.tag
    for _ in range(2):
        url = f"{base}/v2/{reference.name}/manifests/{wanted}"
        response, body = web.small(url, MAX_MANIFEST_BYTES, headers={"Accept": _ACCEPT})
        if not response.is_success:
            raise _refusal(web, base, reference, response)
        if wanted.startswith("sha256:"):
            check_digest(body, wanted, reference.name)
        try:
            manifest = msgspec.json.decode(body, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{reference.host} answers with something that is no manifest: {error}",
                hint="Check the name of the registry.",
            ) from error
        if not manifest.manifests:
            return manifest, f"sha256:{hashlib.sha256(body).hexdigest()}"
        wanted = manifest.manifests[0].digest
    raise SourceError(f"{reference} is an index of indexes, which is not followed")


def _files(base: str, reference: OciRef, manifest: Manifest) -> tuple[RemoteFile, ...]:
    if len(manifest.layers) > MAX_LAYERS:
        raise ModelInvalid(f"{reference} has {len(manifest.layers)} layers", param="model")
    if any(layer.media_type == f"{OLLAMA}adapter" for layer in manifest.layers):
        raise Unsupported(
            f"{reference} is an adapter (LoRA) over another model",
            hint="Fetch the model it is for, and name the adapter in engine.lora.",
            param="model",
        )
    models = [layer for layer in manifest.layers if _is_gguf(layer) and not _sees(layer)]
    if not models:
        kinds = ", ".join(sorted({layer.media_type for layer in manifest.layers})) or "nothing"
        raise ModelInvalid(
            f"{reference} holds no GGUF model, but {kinds}",
            hint="It is an image or a model in another format.",
            param="model",
        )
    plain = reference.name.rpartition("/")[2] + f"-{reference.tag}"
    role: Role = "shard" if len(models) > 1 else "model"
    files = [
        _remote(base, reference, layer, role, _shard(plain, number, len(models)))
        for number, layer in enumerate(_in_order(models, reference), 1)
    ]
    projectors = [layer for layer in manifest.layers if _is_gguf(layer) and _sees(layer)]
    files += [
        _remote(base, reference, layer, "mmproj", f"mmproj-{plain}.gguf")
        for layer in projectors[:1]
    ]
    return tuple(files)


def _in_order(models: list[Layer], reference: OciRef) -> list[Layer]:
    """The parts of a split model by their names, or as they stand. ModelInvalid for several."""
    if len(models) == 1 or not all(layer.title for layer in models):
        return models
    found = groups([Listed(layer.title, layer.size) for layer in models])
    if len(found) != 1 or found[0].missing:
        names = ", ".join(group.label for group in found)
        raise ModelInvalid(f"{reference} holds several models: {names}", param="model")
    by_title = {layer.title: layer for layer in models}
    return [by_title[file.path] for file in found[0].files]


def _remote(base: str, reference: OciRef, layer: Layer, role: Role, name: str) -> RemoteFile:
    algorithm, _, sha256 = layer.digest.partition(":")
    if algorithm != "sha256" or len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise Unsupported(f"{reference} names a layer {layer.digest[:80]!r}, which is no SHA-256")
    return RemoteFile(
        name=file_name(layer.title, name),
        role=role,
        size_bytes=layer.size,
        sha256=sha256,
        validator=None,
        url=blob_url(base, reference.name, layer.digest),
    )


def _text(web: Web, base: str, reference: OciRef, layer: Layer) -> bytes:
    return small_blob(web, base, reference.name, layer.digest, MAX_TEXT_BYTES)


def _shard(plain: str, number: int, count: int) -> str:
    return f"{plain}.gguf" if count == 1 else f"{plain}-{number:05}-of-{count:05}.gguf"


def _is_gguf(layer: Layer) -> bool:
    return (
        layer.media_type in (*_MODELS, *_PROJECTORS)
        or PurePosixPath(layer.title).suffix.lower() == ".gguf"
    )


def _sees(layer: Layer) -> bool:
    return layer.media_type in _PROJECTORS or is_projector(layer.title)


def _quant(web: Web, base: str, reference: OciRef, manifest: Manifest) -> str:
    """What the config says; of no matter if it does not, as the header will."""
    config = manifest.config
    if config is None or not 0 < config.size <= MAX_TEXT_BYTES:
        return ""
    body = small_blob(web, base, reference.name, config.digest, MAX_TEXT_BYTES)
    try:
        told = msgspec.json.decode(body, type=_Config)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return quant_of(told.file_type or told.config.quantization)


def _refusal(web: Web, base: str, reference: OciRef, response: httpx2.Response) -> KoloError:
    status = response.status_code
    if status in (401, 403):
        return SourceDenied(
            f"{reference.host} does not let this machine fetch {reference} ({status})",
            hint=f"Is the name right? {web.auth.hint}",
            param="model",
        )
    if status == 404:
        tags = _tags(web, base, reference)
        return ModelNotFound(
            f"{reference.host} has no {str(reference).partition(':')[2]}",
            hint=f"It has the tags {', '.join(tags[:12])}." if tags else "Check name and tag.",
            param="model",
        )
    return SourceUnreachable(f"{reference.host} answers {status}", hint="Try again later.")


def _tags(web: Web, base: str, reference: OciRef) -> list[str]:
    """What else there is, where the registry tells; Ollama's does not."""
    with suppress(Broken, KoloError, msgspec.DecodeError, UnicodeDecodeError):
        response, body = web.small(f"{base}/v2/{reference.name}/tags/list", MAX_TEXT_BYTES)
        if response.is_success:
            return list(msgspec.json.decode(body, type=_Tags).tags or ())
    return []


class _Tags(Struct):
    tags: list[str] | None = None
