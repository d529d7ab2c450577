"""An OCI registry on loopback that hands out Ollama's media types, and asks for tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from origin import File, Handler, Origin

OLLAMA = "application/vnd.ollama.image."
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Registry:
    """``put`` pushes. With ``token`` it gives nothing without one, and says where to get it;
    with ``storage`` blobs are redirected there, as large registries do."""

    def __init__(self, origin: Origin, *, token: str = "", storage: Origin | None = None) -> None:
        self.origin = origin
        self.token = token
        self.storage = storage
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, File] = {}
        self.asked: list[dict[str, list[str]]] = []
        origin.prefixes["/v2/"] = self._serve
        origin.prefixes["/token"] = self._give_token

    def put(
        self, name: str, tag: str, layers: Sequence[tuple[str, bytes]], config: Any = None
    ) -> dict[str, Any]:
        told = [self._layer(kind, body) for kind, body in layers]
        inner = json.dumps(config or {"model_format": "gguf"}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER,
            "config": self._layer("application/vnd.docker.container.image.v1+json", inner),
            "layers": told,
        }
        self.manifests[f"{name}/{tag}"] = json.dumps(manifest).encode()
        return manifest

    def _layer(self, kind: str, body: bytes) -> dict[str, Any]:
        digest = digest_of(body)
        self.blobs[digest] = File(body, etag=None)
        if self.storage is not None:
            self.storage.routes[f"/{digest}"] = self.blobs[digest]
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    def _serve(self, handler: Handler) -> None:
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            realm = f"{self.origin.url}/token"
            challenge = f'Bearer realm="{realm}",service="tests",scope="repository:x:pull"'
            handler.answer(401, WWW_Authenticate=challenge)
            return
        name, _, rest = handler.path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            body = self.manifests.get(f"{name}/{rest}")
            if body is None:
                handler.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            else:
                handler.answer(200, body, Content_Type=DOCKER)
            return
        digest = handler.path.rpartition("/")[2]
        if digest not in self.blobs:
            handler.answer(404)
        elif self.storage is not None:
            handler.answer(307, Location=f"{self.storage.url}/{digest}?signature=secret")
        else:
            handler.file(self.blobs[digest])

    def _give_token(self, handler: Handler) -> None:
        self.asked.append(parse_qs(urlsplit(handler.path).query))
        body = json.dumps({"token": self.token}).encode()
        handler.answer(200, body, Content_Type="application/json")
