"""Asking an OCI registry, and showing who asks (distribution-spec 1.1; Docker's token scheme)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from kolo.config import Settings
from kolo.errors import ChecksumMismatch, SourceDenied, SourceError
from kolo.models.reference import OciRef
from kolo.models.sources.guard import origin
from kolo.models.sources.web import Web

MAX_TOKEN_BYTES = 1 << 20

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


def base_url(reference: OciRef, settings: Settings) -> str:
    """``http`` on this machine and where the settings say so, as Docker does; else ``https``."""
    insecure = reference.host in settings.downloads.insecure_registries
    scheme = "http" if insecure or _LOOPBACK.fullmatch(reference.host) else "https"
    return f"{scheme}://{reference.host}"


def trusted(reference: OciRef, settings: Settings) -> set[str]:
    """Its origin, if the operator chose it."""
    chosen = (settings.store.ollama_registry, *settings.downloads.insecure_registries)
    url = httpx2.URL(base_url(reference, settings))
    return {origin(url)} if reference.host in chosen else set()


class RegistryAuth:
    """Answers a registry's challenge, with what ``docker login`` has kept for it if anything."""

    hint = "docker login (or podman login) keeps a password for a registry, which is used here."

    def __init__(self, reference: OciRef, settings: Settings, *, allow_private: bool) -> None:
        self._url = httpx2.URL(base_url(reference, settings))
        self._origin = origin(self._url)
        self._trusted = trusted(reference, settings)
        self._allow_private = allow_private
        self._scope = f"repository:{reference.name}:pull"
        self._password = _password(reference.host)
        self._value: str | None = None

    def header(self, url: httpx2.URL) -> str | None:
        return self._value if origin(url) == self._origin else None

    def challenged(self, response: httpx2.Response) -> bool:
        if origin(response.request.url) != self._origin:
            return False
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        parameters = dict(_PARAMETER.findall(rest))
        before = self._value
        if scheme.lower() == "bearer" and "realm" in parameters:
            self._value = f"Bearer {self._token(parameters)}"
        elif scheme.lower() == "basic" and self._password:
            self._value = f"Basic {self._password}"
        return self._value != before

    def _token(self, parameters: dict[str, str]) -> str:
        """From the server that the registry names. SourceDenied if it gives none."""
        realm = httpx2.URL(parameters["realm"])
        if realm.scheme != "https" and origin(realm) != self._origin and self._url.scheme != "http":
            raise SourceError(f"{self._url.host} asks for a token from {realm.host}, unencrypted")
        query = {
            "scope": parameters.get("scope") or self._scope,
            **({"service": parameters["service"]} if "service" in parameters else {}),
        }
        headers = {"Authorization": f"Basic {self._password}"} if self._password else {}
        with closing(Web(allow_private=self._allow_private, trusted=self._trusted)) as web:
            url = str(realm.copy_merge_params(query))
            response, body = web.small(url, MAX_TOKEN_BYTES, headers=headers)
        if not response.is_success:
            raise SourceDenied(
                f"{realm.host} gives no token for {self._url.host} ({response.status_code})",
                hint=self.hint,
                param="model",
            )
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = {}
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SourceError(f"{realm.host} answers with no token")
        return token


def blob_url(base: str, name: str, digest: str) -> str:
    return f"{base}/v2/{name}/blobs/{digest}"


def small_blob(web: Web, base: str, name: str, digest: str, limit: int) -> bytes:
    """A short blob, checked against its digest."""
    response, body = web.small(blob_url(base, name, digest), limit)
    if not response.is_success:
        raise SourceError(f"{httpx2.URL(base).host} answers {response.status_code} for {digest}")
    check_digest(body, digest, name)
    return body


def check_digest(body: bytes, digest: str, name: str) -> None:
    found = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if found != digest:
        raise ChecksumMismatch(
            f"a part of {name} should be {digest}, and came as {found}",
            hint="Try again; if it stays, the registry is broken.",
        )


def _password(host: str) -> str:
    """``user:password`` in base64 as Docker keeps it; empty if there is none, or a helper that
    only Docker can ask has it."""
    folder = os.environ.get("DOCKER_CONFIG") or str(Path("~/.docker").expanduser())
    try:
        kept = json.loads((Path(folder) / "config.json").read_bytes())
        auth = kept["auths"][host]["auth"]
        return auth if ":" in base64.b64decode(auth, validate=True).decode() else ""
    except (OSError, ValueError, KeyError, TypeError, binascii.Error):
        return ""
