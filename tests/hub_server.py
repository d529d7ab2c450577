"""The Hugging Face hub's protocol on loopback, as far as its own client speaks it: the API, and
files behind a redirect to storage of another origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from origin import File, Handler, Origin

LFS_FROM = 1000
"""Larger files are in LFS, as on the hub."""


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str
    gated: bool = False
    private: bool = False
    blobs: dict[str, File] = field(default_factory=dict)
    """By SHA-256, as the storage serves them."""


class Hub:
    """``repos`` by ``owner/name``; ``token`` is the one that opens what is gated or private."""

    token = "hf_right"

    def __init__(self, api: Origin, storage: Origin) -> None:
        self.api = api
        self.storage = storage
        self.repos: dict[str, Repo] = {}
        api.prefixes["/"] = self._serve

    def put(self, name: str, files: dict[str, bytes], **more: Any) -> Repo:
        """Publish; the same name again is a new commit."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        repo = self.repos[name] = Repo(files, commit, **more)
        for body in files.values():
            sha256 = hashlib.sha256(body).hexdigest()
            repo.blobs[sha256] = self.storage.put(f"/blobs/{sha256}", body, etag=f'"s3-{sha256}"')
        return repo

    def blob(self, name: str, path: str) -> File:
        """A file as the storage serves it, to be tampered with."""
        repo = self.repos[name]
        return repo.blobs[hashlib.sha256(repo.files[path]).hexdigest()]

    def _serve(self, handler: Handler) -> None:
        path = unquote(urlsplit(handler.path).path)
        if path == "/api/models":
            self._search(handler)
            return
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._info(handler, name, revision)
            return
        name, found, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if found:
            self._resolve(handler, name, revision, file)
        else:
            handler.answer(404)

    def _search(self, handler: Handler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        words = query.get("search", [""])[0].lower().split()
        found = [name for name in self.repos if any(word in name.lower() for word in words)]
        _json(handler, [{"id": name, "modelId": name} for name in found])

    def _info(self, handler: Handler, name: str, revision: str) -> None:
        if (repo := self._open(handler, name, revision)) is None:
            return
        siblings = [_sibling(path, body) for path, body in repo.files.items()]
        reply = {
            "id": name,
            "modelId": name,
            "sha": repo.commit,
            "private": repo.private,
            "gated": "manual" if repo.gated else False,
            "siblings": siblings,
            "tags": ["gguf"],
        }
        _json(handler, reply)

    def _resolve(self, handler: Handler, name: str, revision: str, path: str) -> None:
        if (repo := self._open(handler, name, revision)) is None:
            return
        if repo.gated and not self._is_known(handler):
            _refuse(handler, 401 if not _token(handler) else 403, "GatedRepo", "gated")
            return
        body = repo.files.get(path)
        if body is None:
            _refuse(handler, 404, "EntryNotFound", "Entry not found")
            return
        sha256 = hashlib.sha256(body).hexdigest()
        headers = {
            "X_Repo_Commit": repo.commit,
            "X_Linked_Size": str(len(body)),
            "X_Linked_Etag": f'"{sha256}"',
            "ETag": f'"{sha256}"',
            "X_Xet_Hash": sha256,  # of another kind on the hub, and as long
            "Link": ", ".join(
                f'<{self.api.url}/{path}>; rel="{rel}"'
                for path, rel in (
                    (f"api/models/{name}/xet-read-token/{repo.commit}", "xet-auth"),
                    (f"v1/reconstructions/{sha256}", "xet-reconstruction-info"),
                )
            ),
            "Location": f"{self.storage.url}/blobs/{sha256}?signature=secret",
        }
        handler.answer(302, **headers)

    def _open(self, handler: Handler, name: str, revision: str) -> Repo | None:
        repo = self.repos.get(name)
        if _token(handler) and not self._is_known(handler):
            _refuse(handler, 401, "", "Invalid credentials in Authorization header")
        elif repo is None or (repo.private and not self._is_known(handler)):
            _refuse(handler, 401, "RepoNotFound", "Repository not found")
        elif revision not in ("", "main", repo.commit):
            _refuse(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _is_known(self, handler: Handler) -> bool:
        return _token(handler) == f"Bearer {self.token}"


@contextmanager
def hub_server() -> Iterator[Hub]:
    with Origin().running() as api, Origin().running() as storage:
        yield Hub(api, storage)


def _sibling(path: str, body: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    told: dict[str, Any] = {"rfilename": path, "size": len(body), "blobId": blob}
    if len(body) >= LFS_FROM:
        told["lfs"] = {
            "sha256": hashlib.sha256(body).hexdigest(),
            "size": len(body),
            "pointerSize": 134,
        }
    return told


def _token(handler: Handler) -> str:
    return handler.headers.get("Authorization", "")


def _json(handler: Handler, reply: Any) -> None:
    handler.answer(200, json.dumps(reply).encode(), Content_Type="application/json")


def _refuse(handler: Handler, status: int, code: str, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    handler.answer(status, body, X_Error_Code=code, X_Error_Message=message)
