"""A GGUF file behind a URL; of a split one, all its parts beside it."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import httpx2

from kolo.config import Settings
from kolo.errors import ModelInvalid, ModelNotFound, SourceDenied, SourceError, SourceUnreachable
from kolo.models.folder import stem
from kolo.models.gguf import shard_paths
from kolo.models.reference import UrlRef
from kolo.models.sources.download import strong_validator
from kolo.models.sources.plan import Plan, RemoteFile, Role, file_name
from kolo.models.sources.quants import quant_of
from kolo.models.sources.web import Web, with_web

MOST_PARTS = 500
"""Each is asked for before anything is fetched."""
_DIGEST = re.compile(r"sha-256=:?([A-Za-z0-9+/]+=*):?", re.IGNORECASE)
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


async def plan_url(reference: UrlRef, settings: Settings, *, allow_private: bool) -> Plan:
    """``plan`` for a URL. Size and validator are those that the server gives now."""
    return await with_web(reference, settings, allow_private, lambda web: _plan(web, reference))


def _plan(web: Web, reference: UrlRef) -> Plan:
    urls = _parts(httpx2.URL(reference.url))
    role: Role = "shard" if len(urls) > 1 else "model"
    files = tuple(_ask(web, url, role) for url in urls)
    name = stem(Path(files[0].name))
    return Plan(
        reference=reference,
        name=name,
        source="url",
        revision=files[0].sha256 or files[0].validator or "",
        quant=quant_of(name),
        files=files,
    )


def _parts(url: httpx2.URL) -> list[httpx2.URL]:
    """The URL of each part of a split model; else of the file alone."""
    folder, _, name = unquote(url.raw_path.decode().split("?")[0]).rpartition("/")
    parts = shard_paths(Path(name))
    if len(parts) == 1:
        return [url]
    if len(parts) > MOST_PARTS:
        raise ModelInvalid(
            f"{name} says that it is one of {len(parts)} parts; {MOST_PARTS} are the most",
            hint="Look at the address.",
        )
    return [url.copy_with(path=quote(f"{folder}/{part.name}")) for part in parts]


def _ask(web: Web, url: httpx2.URL, role: Role) -> RemoteFile:
    """HEAD, or where that is not served, the first bytes."""
    with web.open(str(url), method="HEAD") as head:
        if head.is_success:
            return _file(url, head, role)
    with web.open(str(url), headers={"Range": "bytes=0-3"}) as first:
        if first.is_success:
            return _file(url, first, role)
    raise _refusal(url, first, web)


def _file(url: httpx2.URL, response: httpx2.Response, role: Role) -> RemoteFile:
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "text/html":
        raise ModelInvalid(
            f"{url.host} has a page of HTML at that address, no GGUF file",
            hint="Use the address of the file itself, often behind a link named download or raw.",
            param="model",
        )
    length = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        length = match[1] if match else ""
    return RemoteFile(
        name=file_name(unquote(url.path), "model.gguf"),
        role=role,
        size_bytes=int(length) if length.isdigit() else None,
        sha256=_sha256(response),
        validator=strong_validator(response),
        url=str(url),
    )


def _sha256(response: httpx2.Response) -> str | None:
    """Of the whole file, where the server tells it (RFC 9530; Digest of RFC 3230 before)."""
    headers = response.headers
    match = _DIGEST.search(headers.get("Repr-Digest", "") or headers.get("Digest", ""))
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None


def _refusal(url: httpx2.URL, response: httpx2.Response, web: Web) -> Exception:
    status, host = response.status_code, response.url.host
    if status in (401, 403):
        return SourceDenied(
            f"{host} does not give that file to everybody ({status})",
            hint=web.auth.hint,
            param="model",
        )
    if status in (404, 410):
        return ModelNotFound(
            f"{host} has no {PurePosixPath(unquote(url.path)).name}",
            hint="Check the address.",
            param="model",
        )
    if status >= 500 or status == 429:
        return SourceUnreachable(f"{host} answers {status}", hint="Try again later.")
    return SourceError(f"{host} answers {status} when asked for that file")
