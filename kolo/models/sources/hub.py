"""The Hugging Face hub.

``huggingface_hub`` says what there is: it knows the hub's API, its tokens and its errors, and
mirrors (HF_ENDPOINT). The bytes come by ``transfer`` from the URLs it names, because a model
enters the store only hashed, resumable after a kill, and with progress that others can share.
Files in Xet storage come over the hub's HTTPS bridge to it, which serves ranges; ``hf_xet``
would write past all of that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import httpx2

import kolo
from kolo.config import Settings
from kolo.errors import (
    BadParameter,
    ConfigError,
    KoloError,
    ModelNotFound,
    SourceDenied,
    SourceUnreachable,
)
from kolo.models.reference import HubRef, is_safe
from kolo.models.sources.guard import origin
from kolo.models.sources.plan import MAX_NAME_BYTES, Candidate, Plan, RemoteFile, Role
from kolo.models.sources.quants import Group, Listed, choose, groups, projector

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT_S = 20.0
NEAR = 5
"""Names told when one is not there."""


class HubAuth:
    """The token of HF_TOKEN or of ``hf auth login``, for the hub alone."""

    hint = (
        "Accept the model's terms on its page if it has any, and give a token that may read it: "
        "HF_TOKEN, or hf auth login."
    )

    def __init__(self) -> None:
        from huggingface_hub import get_token

        self.origin = origin(httpx2.URL(endpoint()))
        self._token = get_token()

    def header(self, url: httpx2.URL) -> str | None:
        return f"Bearer {self._token}" if self._token and origin(url) == self.origin else None

    def challenged(self, response: httpx2.Response) -> bool:
        return False


async def plan_hub(reference: HubRef, settings: Settings) -> Plan:
    """``plan`` for the hub; where HF_ENDPOINT points is the operator's choice."""
    return await asyncio.to_thread(_plan, reference, settings)


def endpoint() -> str:
    """HF_ENDPOINT, or the hub itself. ConfigError if that is no URL."""
    given = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    if not given.startswith(("http://", "https://")):
        raise ConfigError(
            f"HF_ENDPOINT is {given!r}, which is no URL",
            hint="Set it to the address of a mirror, such as https://hub.example.org.",
            param="HF_ENDPOINT",
        )
    return given


def _plan(reference: HubRef, settings: Settings) -> Plan:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), library_name="kolo", library_version=kolo.__version__)
    where = f"{reference.owner}/{reference.repo}"
    with _hub_errors(api, reference):
        info = api.model_info(
            where, revision=reference.revision or None, files_metadata=True, timeout=TIMEOUT_S
        )
    listed = [
        Listed(file.rfilename, file.size)
        for file in info.siblings or ()
        if is_safe(file.rfilename) and len(file.rfilename.encode()) <= MAX_NAME_BYTES
    ]
    found = groups(listed)
    group, why = _chosen(api, reference, listed, found, settings.downloads.quant)
    files = _files(api, info, where, group, listed)
    with _hub_errors(api, reference):
        _check_access(api, files[0])
    return Plan(
        reference=reference,
        name=f"{where}:{group.quant}" if group.quant else f"{where}/{group.stem}",
        source="hub",
        revision=info.sha or "",
        quant=group.quant,
        chosen=why,
        files=files,
        candidates=tuple(
            Candidate(
                quant=other.label,
                name=other.files[0].path,
                size_bytes=other.size_bytes,
                n_files=len(other.files),
            )
            for other in found
        ),
    )


def _chosen(
    api: HfApi, reference: HubRef, listed: list[Listed], found: list[Group], default: str
) -> tuple[Group, str]:
    where = f"{reference.owner}/{reference.repo}"
    if not reference.file:
        if not found:
            raise ModelNotFound(
                f"{where} has no GGUF file, which is what llama.cpp reads",
                hint=_near(api, f"{reference.repo} GGUF"),
                param="model",
            )
        return choose(found, reference.quant, default, where)
    for group in found:
        if reference.file in [file.path for file in group.files]:
            return group, ""
    # Not a model, but what was asked for: a projector by itself.
    for file in listed:
        if file.path == reference.file:
            return Group(quant="", stem=file.path.removesuffix(".gguf"), files=(file,)), ""
    names = ", ".join(group.files[0].path for group in found[:NEAR])
    raise ModelNotFound(
        f"{where} has no file {reference.file}",
        hint=f"It has {names}." if names else _near(api, f"{reference.repo} GGUF"),
        param="model",
    )


def _files(
    api: HfApi, info: ModelInfo, where: str, group: Group, listed: list[Listed]
) -> tuple[RemoteFile, ...]:
    from huggingface_hub import hf_hub_url

    details = {file.rfilename: file for file in info.siblings or ()}

    def remote(path: str, role: Role) -> RemoteFile:
        file = details[path]
        sha256 = file.lfs.sha256 if file.lfs is not None else None
        return RemoteFile(
            name=PurePosixPath(path).name,
            role=role,
            size_bytes=file.lfs.size if file.lfs is not None else file.size,
            sha256=sha256,
            # Of a file in git itself, the hub's ETag is the id of the blob.
            validator=None if sha256 or not file.blob_id else f'"{file.blob_id}"',
            url=hf_hub_url(where, path, revision=info.sha, endpoint=api.endpoint),
        )

    role: Role = "shard" if len(group.files) > 1 else "model"
    files = [remote(file.path, role) for file in group.files]
    beside = projector(listed, group)
    if beside is not None and beside not in group.files:
        files.append(remote(beside.path, "mmproj"))
    return tuple(files)


def _check_access(api: HfApi, file: RemoteFile) -> None:
    """The list of a gated repository is open to all; its files are not."""
    from huggingface_hub import get_hf_file_metadata

    get_hf_file_metadata(file.url, token=None, endpoint=api.endpoint, timeout=TIMEOUT_S)


@contextmanager
def _hub_errors(api: HfApi, reference: HubRef) -> Iterator[None]:
    """The hub client's errors as ours."""
    from huggingface_hub import errors

    where = f"{reference.owner}/{reference.repo}"
    host = httpx2.URL(api.endpoint).host
    try:
        yield
    except errors.GatedRepoError as error:
        raise SourceDenied(
            f"{where} is gated: its authors ask for consent first",
            hint=f"Accept the terms at {api.endpoint}/{where}, then give a token: HF_TOKEN, or "
            "hf auth login.",
            param="model",
        ) from error
    except errors.DisabledRepoError as error:
        raise SourceDenied(f"{where} is disabled by the hub", param="model") from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFound(
            f"{where} has no revision {reference.revision or 'main'}",
            hint=f"{api.endpoint}/{where}/tree/main lists branches and tags.",
            param="model",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"the hub has no model {where}, or none that may be seen without a token",
            hint=f"{_near(api, reference.repo)} If it is private, set HF_TOKEN.".strip(),
            param="model",
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise ModelNotFound(f"{where} lists a file that is not there", param="model") from error
    except errors.HFValidationError as error:
        raise BadParameter(f"{where} can be no name of a model: {error}", param="model") from error
    except errors.OfflineModeIsEnabled as error:
        raise SourceUnreachable(
            "HF_HUB_OFFLINE is set: the hub is not asked", hint="Unset it to download."
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise SourceDenied(
                f"{host} does not accept the token ({status})"
                if error.response.request.headers.get("Authorization")
                else f"{host} wants a token for {where} ({status})",
                hint="Give one that may read it: HF_TOKEN, or hf auth login.",
                param="model",
            ) from error
        raise SourceUnreachable(
            f"{host} answers {status} when asked for {where}", hint="Try again later."
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise SourceUnreachable(
            f"{host} cannot be reached: {str(error)[:300] or type(error).__name__}",
            hint="Check the connection; HF_ENDPOINT names a mirror.",
        ) from error


def _near(api: HfApi, text: str) -> str:
    """Names of models like it, as a hint; nothing if the hub does not say."""
    try:
        names = [model.id for model in api.list_models(search=text, filter="gguf", limit=NEAR)]
    except (httpx2.HTTPError, OSError, KoloError):  # the error that this is a hint to is told
        names = []
    return f"Near: {', '.join(names)}." if names else f"{api.endpoint}/models lists what there is."
