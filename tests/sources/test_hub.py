"""The Hugging Face hub, asked by its own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fetching import body_of, fetch, plan_of
from hub_server import Hub, hub_server
from huggingface_hub import get_hf_file_metadata
from origin import Fault, Origin

from kolo.config import DownloadSettings, Settings
from kolo.errors import (
    BadParameter,
    ChecksumMismatch,
    ModelNotFound,
    SourceDenied,
    SourceUnreachable,
)

Q4, Q8, IQ2 = body_of(40_000, 1), body_of(70_000, 2), body_of(20_000, 3)
REPO = {
    "README.md": b"# hello",
    "tiny-Q4_K_M.gguf": Q4,
    "tiny-Q8_0.gguf": Q8,
    "tiny-IQ2_XXS.gguf": IQ2,
    "tiny.imatrix.gguf": body_of(3000),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.api.url)
        made.put("some/tiny-GGUF", REPO)
        yield made


async def test_the_default_quant_is_taken_and_said(hub: Hub, tmp_path: Path) -> None:
    plan = await plan_of("some/tiny-GGUF")
    assert (plan.name, plan.quant, plan.size_bytes) == ("some/tiny-GGUF:Q4_K_M", "Q4_K_M", 40_000)
    assert plan.chosen.startswith("Q4_K_M is taken by default")
    assert [c.quant for c in plan.candidates] == ["IQ2_XXS", "Q4_K_M", "Q8_0"]
    assert plan.revision == hub.repos["some/tiny-GGUF"].commit
    assert await fetch(plan, tmp_path) == [Q4]


@pytest.mark.parametrize(
    ("reference", "body"),
    [
        ("hf:some/tiny-GGUF:Q8_0", Q8),
        ("some/tiny-GGUF:q8_0", Q8),
        ("hf:some/tiny-GGUF:iq2", IQ2),
        ("hf:some/tiny-GGUF/tiny-Q8_0.gguf", Q8),
        ("hf:some/tiny-GGUF@main:Q8_0", Q8),
    ],
)
async def test_a_quant_or_a_file_can_be_named(
    hub: Hub, tmp_path: Path, reference: str, body: bytes
) -> None:
    plan = await plan_of(reference)
    assert plan.chosen == ""
    assert await fetch(plan, tmp_path) == [body]


async def test_without_the_default_the_nearest_is_taken_and_said(hub: Hub) -> None:
    hub.put("some/other", {"a-Q2_K.gguf": Q8, "a-Q5_K_M.gguf": Q4, "a-F16.gguf": IQ2})
    plan = await plan_of("some/other")
    assert plan.quant == "Q5_K_M"
    assert plan.chosen.startswith("there is no Q4_K_M, so Q5_K_M is taken")
    wants = Settings(downloads=DownloadSettings(quant="F16"))
    assert (await plan_of("some/other", wants)).quant == "F16"


async def test_a_split_model_comes_whole_with_its_projector(hub: Hub, tmp_path: Path) -> None:
    shards = {f"Q4_K_M/big-Q4_K_M-0000{n}-of-00003.gguf": body_of(5_000, n) for n in (1, 2, 3)}
    eyes = {"mmproj-big-F16.gguf": body_of(2_000, 8), "mmproj-big-F32.gguf": body_of(4_000, 9)}
    hub.put("some/big", {**shards, **eyes, "big-Q8_0.gguf": Q8})
    plan = await plan_of("some/big:Q4_K_M")
    assert [(f.role, f.name) for f in plan.files] == [
        ("shard", "big-Q4_K_M-00001-of-00003.gguf"),
        ("shard", "big-Q4_K_M-00002-of-00003.gguf"),
        ("shard", "big-Q4_K_M-00003-of-00003.gguf"),
        ("mmproj", "mmproj-big-F16.gguf"),
    ]
    assert await fetch(plan, tmp_path) == [*shards.values(), eyes["mmproj-big-F16.gguf"]]


async def test_parts_of_the_same_content_come_once(hub: Hub, tmp_path: Path) -> None:
    hub.put("some/twins", {f"t-Q4_0-0000{n}-of-00002.gguf": Q8 for n in (1, 2)})
    assert await fetch("some/twins", tmp_path) == [Q8, Q8]
    assert len([seen for seen in hub.storage.seen if seen.method == "GET"]) == 1


async def test_a_split_model_that_lacks_a_part_is_not_begun(hub: Hub) -> None:
    hub.put("some/big", {"big-Q4_K_M-00001-of-00002.gguf": Q4})
    with pytest.raises(ModelNotFound, match="lacks 1 of the 2 parts"):
        await plan_of("some/big:Q4_K_M")


async def test_several_models_of_one_quant_are_not_guessed_among(hub: Hub) -> None:
    hub.put("some/two", {"a-Q4_K_M.gguf": Q4, "b-Q4_K_M.gguf": Q8})
    with pytest.raises(BadParameter, match=r"a-Q4_K_M\.gguf, b-Q4_K_M\.gguf"):
        await plan_of("some/two:Q4_K_M")


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("some/tiny-GGUF:Q6_K", "has no Q6_K", "IQ2_XXS, Q4_K_M, Q8_0"),
        ("hf:some/tiny-GGUF/none.gguf", "has no file", "tiny-Q4_K_M.gguf"),
        ("hf:some/tiny-GGUF@v9", "no revision v9", ""),
        ("some/tiny", "the hub has no model some/tiny", "Near: some/tiny-GGUF"),
        ("some/plain", "has no GGUF file", "Near: "),
    ],
)
async def test_what_is_not_there_is_told_with_what_is(
    hub: Hub, reference: str, message: str, hint: str
) -> None:
    hub.put("some/plain", {"model.safetensors": Q4})
    with pytest.raises(ModelNotFound, match=message) as caught:
        await plan_of(reference)
    assert hint in caught.value.hint
    assert (caught.value.exit_code, caught.value.http_status) == (4, 404)


async def test_a_gated_model_wants_a_token_which_goes_nowhere_else(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("some/gated", {"m-Q4_K_M.gguf": Q4}, gated=True)
    with pytest.raises(SourceDenied, match="gated") as caught:
        await plan_of("some/gated")
    assert "HF_TOKEN" in caught.value.hint
    assert caught.value.exit_code == 6
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(SourceDenied, match="does not accept the token"):
        await plan_of("some/gated")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    plan = await plan_of("some/gated")
    assert hub.token not in repr(plan)
    assert await fetch(plan, tmp_path) == [Q4]
    assert any("Authorization" in seen.headers for seen in hub.api.seen)
    assert hub.storage.seen
    assert not any("Authorization" in seen.headers for seen in hub.storage.seen)


async def test_a_private_model_is_not_told_from_none(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put("some/private", {"m-Q4_K_M.gguf": Q4}, private=True)
    with pytest.raises(ModelNotFound) as caught:
        await plan_of("some/private")
    assert "HF_TOKEN" in caught.value.hint
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert (await plan_of("some/private")).quant == "Q4_K_M"


async def test_every_connection_begins_at_the_hub_with_a_fresh_signature(
    hub: Hub, tmp_path: Path
) -> None:
    blob = hub.blob("some/tiny-GGUF", "tiny-Q8_0.gguf")
    blob.faults.extend([Fault(cut_after=30_000), Fault(status=403)])
    assert await fetch("some/tiny-GGUF:Q8_0", tmp_path) == [Q8]
    resolved = [s for s in hub.api.seen if s.method == "GET" and "/resolve/" in s.path]
    assert [seen.headers.get("Range") for seen in resolved] == [None, *["bytes=30000-"] * 2]


async def test_storage_that_holds_something_else_is_found_out(hub: Hub, tmp_path: Path) -> None:
    blob = hub.blob("some/tiny-GGUF", "tiny-Q8_0.gguf")
    blob.body = blob.body[:-1] + b"!"
    with pytest.raises(ChecksumMismatch, match="SHA-256"):
        await fetch("some/tiny-GGUF:Q8_0", tmp_path)


async def test_a_new_commit_is_another_file(hub: Hub, tmp_path: Path) -> None:
    blob = hub.blob("some/tiny-GGUF", "tiny-Q8_0.gguf")
    blob.faults.extend(Fault(cut_after=1000) for _ in range(6))
    with pytest.raises(SourceUnreachable):
        await fetch("some/tiny-GGUF:Q8_0", tmp_path)
    newer = body_of(70_000, seed=77)
    hub.put("some/tiny-GGUF", {**REPO, "tiny-Q8_0.gguf": newer})
    assert await fetch("some/tiny-GGUF:Q8_0", tmp_path) == [newer]


async def test_names_that_would_do_harm_are_not_seen(hub: Hub) -> None:
    odd = {f"{name}.gguf": Q8 for name in ("../up", "a/../../b", "red\x1b[31m", "two\nlines", "")}
    hub.put("some/odd", {**odd, f"{'x' * 300}.gguf": Q8, "fine-Q8_0.gguf": Q4})
    plan = await plan_of("some/odd")
    assert [file.name for file in plan.files] == ["fine-Q8_0.gguf"]
    assert len(plan.candidates) == 1
    with pytest.raises(BadParameter):
        await plan_of("some/odd--name")


async def test_a_hub_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Origin().running() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
    with pytest.raises(SourceUnreachable, match="cannot be reached") as caught:
        await plan_of("some/tiny")
    assert "HF_ENDPOINT" in caught.value.hint


async def test_a_file_in_xet_storage_comes_over_the_bridge_hashed_and_resumable(
    hub: Hub, tmp_path: Path
) -> None:
    """Even though the hub's client sees the marks by which it would fetch it otherwise."""
    plan = await plan_of("hf:some/tiny-GGUF:Q8_0")
    url = plan.files[0].url
    marks = get_hf_file_metadata(url, endpoint=hub.api.url).xet_file_data
    assert marks is not None
    assert "xet-read-token" in marks.refresh_route
    hub.blob("some/tiny-GGUF", "tiny-Q8_0.gguf").faults.append(Fault(cut_after=30_000))
    assert await fetch(plan, tmp_path) == [Q8]
    assert not any("xet" in seen.path or "/v1/" in seen.path for seen in hub.api.seen)
    assert hub.storage.seen[-1].headers["Range"] == "bytes=30000-"
    assert not any("Authorization" in seen.headers for seen in hub.storage.seen)
