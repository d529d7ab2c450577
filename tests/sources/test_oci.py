"""OCI registries: Ollama's layers, tokens, redirects to storage, and what goes wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fetching import body_of, fetch, plan_of
from origin import Fault, Origin
from registry_server import OLLAMA, Registry, digest_of

from kolo.config import Settings, StoreSettings
from kolo.errors import (
    ChecksumMismatch,
    ModelInvalid,
    ModelNotFound,
    SourceDenied,
    SourceError,
    SourceUnreachable,
    Unsupported,
)
from kolo.models.reference import OciRef
from kolo.models.sources.plan import plan

MODEL = body_of(60_000)
PARAMS = {
    "temperature": 0.6,
    "top_k": 20,
    "repeat_penalty": 1,
    "num_ctx": 4096,
    "stop": ["<|im_start|>", "<|im_end|>"],
    "num_gpu": 99,
    "top_p": 7.5,
}
LAYERS = [
    (f"{OLLAMA}model", MODEL),
    (f"{OLLAMA}template", b"{{ .Prompt }}"),
    (f"{OLLAMA}system", b"Be brief."),
    (f"{OLLAMA}params", json.dumps(PARAMS).encode()),
    (f"{OLLAMA}license", b"MIT"),
    (f"{OLLAMA}license", b"and more"),
]
CONFIG = {"model_format": "gguf", "model_family": "qwen2", "file_type": "Q8_0"}


@pytest.fixture
def registry(origin: Origin) -> Registry:
    made = Registry(origin)
    made.put("library/tiny", "0.5b", LAYERS, CONFIG)
    return made


@pytest.fixture
def storage() -> Iterator[Origin]:
    with Origin().running() as made:
        yield made


def ollama(registry: Registry, name: str = "library/tiny", tag: str = "0.5b") -> OciRef:
    return OciRef(registry.origin.host, name, tag, ollama=True)


async def test_ollamas_layers_become_a_model_and_its_defaults(
    registry: Registry, tmp_path: Path
) -> None:
    settings = Settings(store=StoreSettings(ollama_registry=registry.origin.host))
    planned = await plan(ollama(registry), settings)
    assert (planned.name, planned.quant, planned.size_bytes) == ("tiny:0.5b", "Q8_0", 60_000)
    extras = planned.extras
    assert (extras.sampling.temperature, extras.sampling.top_k) == (0.6, 20)
    assert extras.sampling.repeat_penalty == 1
    assert (extras.ctx, extras.stop) == (4096, ("<|im_start|>", "<|im_end|>"))
    assert (extras.system, extras.template) == ("Be brief.", "{{ .Prompt }}")
    assert extras.license == ("MIT", "and more")
    assert extras.ignored == ("num_gpu=99", "top_p=7.5")
    assert await fetch(planned, tmp_path) == [MODEL]


async def test_a_projector_comes_with_its_model(registry: Registry, tmp_path: Path) -> None:
    eyes = body_of(3_000, seed=5)
    registry.put("me/sees", "latest", [(f"{OLLAMA}projector", eyes), (f"{OLLAMA}model", MODEL)])
    planned = await plan_of(f"oci:{registry.origin.host}/me/sees")
    assert [file.role for file in planned.files] == ["model", "mmproj"]
    assert await fetch(planned, tmp_path) == [MODEL, eyes]


async def test_a_token_is_fetched_when_asked_for_and_goes_nowhere_else(
    origin: Origin, storage: Origin, tmp_path: Path
) -> None:
    registry = Registry(origin, token="opensesame", storage=storage)
    registry.put("me/tiny", "v1", LAYERS)
    kept = tmp_path / "docker" / "config.json"
    keep(kept, {"auths": {origin.host: {"auth": base64.b64encode(b"me:secret").decode()}}})
    registry.blobs[digest_of(MODEL)].faults.append(Fault(cut_after=20_000))
    assert await fetch(f"oci:{origin.host}/me/tiny:v1", tmp_path / "part") == [MODEL]
    assert registry.asked[0] == {"scope": ["repository:x:pull"], "service": ["tests"]}
    asking = [seen for seen in origin.seen if seen.path.startswith("/token")]
    assert asking[0].headers["Authorization"].startswith("Basic ")
    assert storage.seen[-1].headers["Range"] == "bytes=20000-"
    assert not any("Authorization" in seen.headers for seen in storage.seen)


def keep(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))


async def test_a_registry_that_wants_a_password_says_how_to_give_one(
    origin: Origin, tmp_path: Path
) -> None:
    origin.prefixes["/v2/"] = lambda h: h.answer(401, WWW_Authenticate='Basic realm="tests"')
    with pytest.raises(SourceDenied) as caught:
        await plan_of(f"oci:{origin.host}/me/tiny:v1")
    assert "docker login" in caught.value.hint
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("layers", "error", "said"),
    [
        ([("application/vnd.oci.image.layer.v1.tar+gzip", b"x")], ModelInvalid, "no GGUF model"),
        ([(f"{OLLAMA}model", MODEL), (f"{OLLAMA}adapter", b"x")], Unsupported, "adapter"),
        ([], ModelInvalid, "no GGUF model"),
    ],
)
async def test_what_is_no_model_is_refused(
    registry: Registry, layers: list[tuple[str, bytes]], error: type[Exception], said: str
) -> None:
    registry.put("me/odd", "v1", layers)
    with pytest.raises(error, match=said):
        await plan_of(f"oci:{registry.origin.host}/me/odd:v1")


async def test_what_is_not_there_is_told(registry: Registry) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await plan_of(f"oci:{registry.origin.host}/me/none:v1")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", SourceError),
        (b'{"layers": 5}', SourceError),
        (b"[" * 10_000, SourceError),
        (b" " * (5 << 20), SourceError),
    ],
)
async def test_a_manifest_that_is_none_is_refused(
    registry: Registry, body: bytes, error: type[Exception]
) -> None:
    registry.manifests["me/odd/v1"] = body
    with pytest.raises(error):
        await plan_of(f"oci:{registry.origin.host}/me/odd:v1")


async def test_a_manifest_named_by_digest_is_checked(registry: Registry) -> None:
    digest = digest_of(b"another")
    registry.manifests[f"me/odd/{digest}"] = b"{}"
    with pytest.raises(ChecksumMismatch):
        await plan_of(f"oci:{registry.origin.host}/me/odd@{digest}")


async def test_a_blob_that_is_not_what_its_digest_says_is_not_kept(
    registry: Registry, tmp_path: Path
) -> None:
    registry.blobs[digest_of(MODEL)].body = MODEL[:-1] + b"!"
    with pytest.raises(ChecksumMismatch):
        await fetch(f"oci:{registry.origin.host}/library/tiny:0.5b", tmp_path)
    params = next(d for d in registry.blobs if registry.blobs[d].body == b"Be brief.")
    registry.blobs[params].body = b"Be rude.."
    with pytest.raises(ChecksumMismatch):
        await plan_of(f"oci:{registry.origin.host}/library/tiny:0.5b")


async def test_a_registry_that_breaks_off_is_told() -> None:
    with Origin().running() as gone:
        host = gone.host
    with pytest.raises(SourceUnreachable):
        await plan_of(f"oci:{host}/me/tiny:v1")
