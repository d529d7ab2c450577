"""Files behind plain URLs: what arrives is what is there, whatever happens on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from fetching import body_of, fetch, plan_of
from origin import Fault, Origin

from kolo.config import Settings
from kolo.errors import (
    ChecksumMismatch,
    ModelInvalid,
    ModelNotFound,
    SourceChanged,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from kolo.models.sources.transfer import Progress, Transfer

BODY = body_of(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def parts(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.glob("*.part")]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def kept_beside(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("*.json"))


def digest(body: bytes) -> dict[str, str]:
    told = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return {"Repr-Digest": f"sha-256=:{told}:"}


async def test_a_file_comes_as_it_is(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m/tiny-Q8_0.gguf", BODY, headers=digest(BODY))
    plan = await plan_of(f"{origin.url}/m/tiny-Q8_0.gguf?token=secret")
    assert (plan.name, plan.quant, plan.size_bytes) == ("tiny-Q8_0", "Q8_0", len(BODY))
    assert plan.files[0].sha256 == SHA256
    told: list[Progress] = []
    assert await fetch(plan, tmp_path, told=told) == [BODY]
    assert told[-1] == Progress(
        state="done", file="tiny-Q8_0.gguf", done_bytes=len(BODY), total_bytes=len(BODY)
    )
    assert b"secret" not in kept_beside(tmp_path)


async def test_all_parts_of_a_split_model_come(origin: Origin, tmp_path: Path) -> None:
    bodies = [body_of(9_000, seed) for seed in (1, 2, 3)]
    for number, body in enumerate(bodies, 1):
        origin.put(f"/big-0000{number}-of-00003.gguf", body)
    plan = await plan_of(f"{origin.url}/big-00002-of-00003.gguf")
    assert [file.role for file in plan.files] == ["shard"] * 3
    assert (plan.name, plan.size_bytes) == ("big", 27_000)
    assert await fetch(plan, tmp_path) == bodies


@pytest.mark.parametrize("etag", ['"v1"', None])
async def test_a_cut_connection_goes_on_where_it_was(
    origin: Origin, tmp_path: Path, etag: str | None
) -> None:
    file = origin.put("/m.gguf", BODY, etag=etag)
    file.faults.extend(Fault(cut_after=n) for n in (0, 1, 3, 70_000, 4))
    assert await fetch(f"{origin.url}/m.gguf", tmp_path) == [BODY]
    starts = [seen.headers.get("Range") for seen in origin.gets("/m.gguf")]
    if etag:
        assert starts[-1] == "bytes=70008-"
    else:  # nothing tells whether it is still the same file, so all of it is compared
        assert starts == [None] * 6


async def test_every_byte_may_be_the_last_of_its_connection(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kolo.models.sources.download.PROGRESS_BYTES", 1)
    body = body_of(40)
    file = origin.put("/m.gguf", body)
    file.faults.extend(Fault(cut_after=1) for _ in body[1:])
    assert await fetch(f"{origin.url}/m.gguf", tmp_path) == [body]


async def test_trying_again_has_an_end_and_keeps_what_came(origin: Origin, tmp_path: Path) -> None:
    file = origin.put("/m.gguf", BODY)
    file.faults.extend(Fault(cut_after=1000) for _ in range(6))
    told: list[Progress] = []
    with pytest.raises(SourceUnreachable, match="again and again") as caught:
        await fetch(f"{origin.url}/m.gguf", tmp_path, told=told)
    assert caught.value.exit_code == 3
    assert parts(tmp_path) == [6000]
    assert any("trying again" in progress.note for progress in told)
    told.clear()
    assert await fetch(f"{origin.url}/m.gguf", tmp_path, told=told) == [BODY]
    assert origin.gets("/m.gguf")[-1].headers["Range"] == "bytes=6000-"


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_a_source_in_trouble_is_asked_again(
    origin: Origin, tmp_path: Path, status: int
) -> None:
    file = origin.put("/m.gguf", BODY)
    file.faults.append(Fault(status=status, headers={"Retry-After": "0"}))
    assert await fetch(f"{origin.url}/m.gguf", tmp_path) == [BODY]


async def test_a_source_that_stands_still_is_asked_again(origin: Origin, tmp_path: Path) -> None:
    file = origin.put("/m.gguf", BODY)
    file.faults.extend([Fault(hold_after=5000), Fault(drip_s=0.02)])
    told: list[Progress] = []
    assert await fetch(f"{origin.url}/m.gguf", tmp_path, stall_s=0.2, told=told) == [BODY]
    notes = " ".join(progress.note for progress in told)
    assert "no answer in time" in notes
    assert "less than 1024 bytes in 0.2 s" in notes


async def test_a_source_without_ranges_is_compared_and_goes_on(
    origin: Origin, tmp_path: Path
) -> None:
    file = origin.put("/m.gguf", BODY, ranges=False)
    file.faults.append(Fault(cut_after=100_000))
    told: list[Progress] = []
    assert await fetch(f"{origin.url}/m.gguf", tmp_path, told=told) == [BODY]
    assert any("from its start again" in progress.note for progress in told)


async def test_what_changed_since_the_last_try_is_not_mixed(origin: Origin, tmp_path: Path) -> None:
    file = origin.put("/m.gguf", BODY)
    file.faults.extend(Fault(cut_after=1000) for _ in range(6))
    with pytest.raises(SourceUnreachable):
        await fetch(f"{origin.url}/m.gguf", tmp_path)
    other = body_of(len(BODY), seed=2)
    origin.put("/m.gguf", other, etag='"v2"')
    told: list[Progress] = []
    assert await fetch(f"{origin.url}/m.gguf", tmp_path, told=told) == [other]
    assert any("changed at its source" in progress.note for progress in told)


@pytest.mark.parametrize("ranges", [True, False])
async def test_what_changes_meanwhile_is_not_mixed(
    origin: Origin, tmp_path: Path, ranges: bool
) -> None:
    file = origin.put("/m.gguf", BODY, ranges=ranges)
    plan = await plan_of(f"{origin.url}/m.gguf")
    file.faults.append(Fault(cut_after=50_000))
    other = origin.put("/m.gguf", body_of(len(BODY), seed=2), etag='"v2"', ranges=ranges)
    other.faults.append(Fault(cut_after=50_000))
    origin.routes["/m.gguf"] = lambda handler: handler.file(file if file.faults else other)
    with pytest.raises(SourceChanged):
        await fetch(plan, tmp_path)
    assert parts(tmp_path) == []


async def test_a_wrong_checksum_leaves_nothing(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY, headers=digest(b"another"))
    with pytest.raises(ChecksumMismatch, match=SHA256):
        await fetch(f"{origin.url}/m.gguf", tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "application/octet-stream", "HTML"),
        (b"<html>", "text/html; charset=utf-8", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "text/plain", "Git LFS"),
        (b'{"error": "no"}', "application/json", "JSON"),
        (b"PK\x03\x04 a zip file", "application/zip", "begins with"),
        (b"GG", "application/octet-stream", "begins with"),
        (b"", "application/octet-stream", "empty"),
    ],
)
async def test_what_is_no_gguf_is_refused_at_its_first_bytes(
    origin: Origin, tmp_path: Path, body: bytes, kind: str, said: str
) -> None:
    origin.put("/m.gguf", body, content_type=kind)
    with pytest.raises(ModelInvalid, match=said):
        await fetch(f"{origin.url}/m.gguf", tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, SourceDenied), (403, SourceDenied), (404, ModelNotFound), (410, ModelNotFound),
     (418, SourceError), (503, SourceUnreachable)],
)  # fmt: skip
async def test_a_refusal_is_told_for_what_it_is(
    origin: Origin, status: int, error: type[Exception]
) -> None:
    origin.routes["/m.gguf"] = lambda handler: handler.answer(status)
    with pytest.raises(error):
        await plan_of(f"{origin.url}/m.gguf")


async def test_a_source_that_lies_about_the_length_is_found_out(
    origin: Origin, tmp_path: Path
) -> None:
    file = origin.put("/m.gguf", BODY)
    plan = await plan_of(f"{origin.url}/m.gguf")
    file.length = len(BODY) - 5
    with pytest.raises(SourceChanged, match="should have"):
        await fetch(plan, tmp_path)
    file.length = -1
    file.body = BODY + b"and more"
    with pytest.raises(SourceError, match="more of"):
        await fetch(plan, tmp_path)
    assert parts(tmp_path) == []


async def test_a_file_of_unknown_length_comes_whole(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY, length=-1)
    plan = await plan_of(f"{origin.url}/m.gguf")
    assert plan.size_bytes is None
    assert await fetch(plan, tmp_path) == [BODY]


async def test_head_need_not_be_served(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY, head=False)
    plan = await plan_of(f"{origin.url}/m.gguf")
    assert plan.size_bytes == len(BODY)
    assert await fetch(plan, tmp_path) == [BODY]


async def test_redirects_are_followed_but_not_in_circles(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY)
    origin.routes["/a.gguf"] = lambda h: h.answer(302, Location="/b.gguf")
    origin.routes["/b.gguf"] = lambda h: h.answer(307, Location=f"{origin.url}/m.gguf")
    origin.routes["/x.gguf"] = lambda h: h.answer(302, Location="/y.gguf")
    origin.routes["/y.gguf"] = lambda h: h.answer(302, Location="/x.gguf")
    origin.prefixes["/n"] = lambda h: h.answer(302, Location=h.path.replace("/n", "/nn"))
    origin.routes["/f.gguf"] = lambda h: h.answer(302, Location="file:///etc/passwd")
    assert await fetch(f"{origin.url}/a.gguf", tmp_path) == [BODY]
    for path, said in (("x", "circle"), ("n", "more than 10"), ("f", "cannot be fetched")):
        with pytest.raises(SourceError, match=said):
            await plan_of(f"{origin.url}/{path}.gguf")


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    with Origin().running() as gone:
        url = gone.url
    with pytest.raises(SourceUnreachable, match="cannot be reached") as caught:
        await plan_of(f"{url}/m.gguf")
    assert caught.value.exit_code == 3


async def test_cancelling_keeps_what_came_and_lets_go_at_once(
    origin: Origin, tmp_path: Path
) -> None:
    file = origin.put("/m.gguf", BODY, hold_at=200_000)
    plan = await plan_of(f"{origin.url}/m.gguf")
    some = asyncio.Event()

    def told(progress: Progress) -> None:
        if progress.done_bytes:
            some.set()

    fetching = asyncio.create_task(Transfer(Settings()).fetch(plan, tmp_path, told))
    await some.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    file.hold_at = None
    assert await fetch(plan, tmp_path) == [BODY]
    assert "Range" in origin.gets("/m.gguf")[-1].headers


async def test_whoever_cannot_hear_of_progress_holds_nothing_up(
    origin: Origin, tmp_path: Path
) -> None:
    origin.put("/m.gguf", BODY)
    plan = await plan_of(f"{origin.url}/m.gguf")

    def deaf(progress: Progress) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await Transfer(Settings()).fetch(plan, tmp_path, deaf)
    assert await fetch(plan, tmp_path) == [BODY]


async def test_two_who_want_one_file_share_it(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY, block_s=0.002)
    plan = await plan_of(f"{origin.url}/m.gguf")
    first, second = await asyncio.gather(fetch(plan, tmp_path), fetch(plan, tmp_path))
    assert first == second == [BODY]
    assert len(origin.gets("/m.gguf")) == 1


async def test_what_the_store_has_is_not_fetched(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY)
    held = tmp_path / "blob"
    held.write_bytes(BODY)
    assert await fetch(f"{origin.url}/m.gguf", tmp_path, have=lambda file: held) == [BODY]
    assert origin.gets("/m.gguf") == []
