"""The registry that Docker's users run, from Debian's package docker-registry."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fetching import body_of, fetch, plan_of
from registry_server import OLLAMA, digest_of

from kolo.errors import ChecksumMismatch, ModelNotFound
from kolo.models.sources.transfer import Progress

PROGRAM = shutil.which("docker-registry") or ""

pytestmark = pytest.mark.skipif(not PROGRAM, reason="docker-registry is not installed")

SHARDS = [body_of(50_000, seed) for seed in (1, 2)]


class Running:
    """A registry with its data in ``folder``."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.host = f"127.0.0.1:{port}"
        self.client = httpx2.Client(base_url=f"http://{self.host}", timeout=10)

    def push(self, body: bytes) -> str:
        digest = digest_of(body)
        begun = self.client.post("/v2/me/model/blobs/uploads/")
        place = httpx2.URL(begun.headers["Location"]).copy_add_param("digest", digest)
        assert self.client.put(place, content=body).status_code == 201
        return digest

    def put(self, tag: str, layers: list[tuple[str, bytes, str]]) -> str:
        """The digest of the manifest."""
        told = [
            {
                "mediaType": kind,
                "digest": self.push(body),
                "size": len(body),
                "annotations": {"org.opencontainers.image.title": title} if title else {},
            }
            for kind, body, title in layers
        ]
        config = b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": self.push(config),
                "size": len(config),
            },
            "layers": told,
        }
        body = json.dumps(manifest).encode()
        headers = {"Content-Type": manifest["mediaType"]}
        assert isinstance(headers["Content-Type"], str)
        made = self.client.put(f"/v2/me/model/manifests/{tag}", content=body, headers=headers)
        assert made.status_code == 201, made.text
        return digest_of(body)

    def corrupt(self, body: bytes) -> None:
        """Change a byte of a blob on its disk."""
        hex_digest = digest_of(body).removeprefix("sha256:")
        (file,) = self.folder.glob(f"**/sha256/*/{hex_digest}/data")
        file.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    process = subprocess.Popen(
        [PROGRAM, "serve", str(tmp_path / "config.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    made = Running(tmp_path / "data", port)
    try:
        for _ in range(500):
            try:
                if made.client.get("/v2/").status_code == 200:
                    break
            except httpx2.TransportError:
                time.sleep(0.02)
        yield made
    finally:
        made.client.close()
        process.send_signal(signal.SIGTERM)
        process.wait(10)


async def test_a_model_comes_by_tag_and_by_digest(running: Running, tmp_path: Path) -> None:
    body = body_of(200_000)
    digest = running.put("v1", [(f"{OLLAMA}model", body, ""), (f"{OLLAMA}system", b"Hi.", "")])
    by_tag = await plan_of(f"oci:{running.host}/me/model:v1")
    assert (by_tag.revision, by_tag.extras.system) == (digest, "Hi.")
    told: list[Progress] = []
    assert await fetch(by_tag, tmp_path / "a", told=told) == [body]
    assert await fetch(f"oci:{running.host}/me/model@{digest}", tmp_path / "b") == [body]
    assert told[-1].done_bytes == told[-1].total_bytes == 200_000


async def test_what_came_before_is_gone_on_with(running: Running, tmp_path: Path) -> None:
    body = body_of(200_000)
    running.put("v1", [(f"{OLLAMA}model", body, "")])
    plan = await plan_of(f"oci:{running.host}/me/model:v1")
    assert await fetch(plan, tmp_path) == [body]
    shorten(tmp_path, 123_456)
    assert await fetch(plan, tmp_path) == [body]


def shorten(folder: Path, n_bytes: int) -> None:
    (part,) = folder.glob("*.part")
    with part.open("r+b") as file:
        file.truncate(n_bytes)


async def test_a_split_model_pushed_as_files_comes_in_order(
    running: Running, tmp_path: Path
) -> None:
    kind = "application/octet-stream"
    titles = [f"big-0000{n}-of-00002.gguf" for n in (1, 2)]
    running.put("v1", [(kind, SHARDS[1], titles[1]), (kind, SHARDS[0], titles[0])])
    plan = await plan_of(f"oci:{running.host}/me/model:v1")
    assert [(file.name, file.role) for file in plan.files] == [(t, "shard") for t in titles]
    assert await fetch(plan, tmp_path) == SHARDS


async def test_a_blob_that_rotted_is_found_out(running: Running, tmp_path: Path) -> None:
    body = body_of(50_000)
    running.put("v1", [(f"{OLLAMA}model", body, "")])
    running.corrupt(body)
    with pytest.raises(ChecksumMismatch):
        await fetch(f"oci:{running.host}/me/model:v1", tmp_path)


async def test_an_unknown_tag_is_told_with_those_there_are(running: Running) -> None:
    running.put("v1", [(f"{OLLAMA}model", SHARDS[0], "")])
    with pytest.raises(ModelNotFound) as caught:
        await plan_of(f"oci:{running.host}/me/model:v2")
    assert "v1" in caught.value.hint
