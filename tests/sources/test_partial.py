"""What is left on the disk when something ends a download."""

from __future__ import annotations

import asyncio
import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from fetching import body_of, fetch, plan_of
from msgspec.structs import replace
from origin import Origin

from kolo.errors import ConfigError, DiskFull
from kolo.models.sources.partial import Note, Partial
from kolo.models.sources.plan import RemoteFile

BODY = body_of(100_000)
FILE = RemoteFile(
    name="m.gguf",
    role="model",
    size_bytes=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    validator=None,
    url="https://example.org/m.gguf",
)


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond: the kernel then writes what fits, and refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def opened(folder: Path, file: RemoteFile = FILE) -> Partial:
    part = Partial.open(folder, file)
    assert part is not None
    return part


def take_up(part: Partial) -> str:
    return part.take_up(lambda _: None, lambda: False)


@pytest.mark.parametrize("room", [1000, 4096, 65_536, 65_537, 99_999])
async def test_a_full_disk_keeps_all_that_found_room(
    origin: Origin, tmp_path: Path, room: int
) -> None:
    origin.put("/m.gguf", BODY)
    plan = await plan_of(f"{origin.url}/m.gguf")
    with room_for(room), pytest.raises(DiskFull) as caught:
        await fetch(plan, tmp_path)
    assert "Make room" in caught.value.hint
    assert (caught.value.exit_code, caught.value.http_status) == (1, 507)
    assert sizes(tmp_path) == [room]
    assert await fetch(plan, tmp_path) == [BODY]
    assert origin.gets("/m.gguf")[-1].headers["Range"] == f"bytes={room}-"


def sizes(folder: Path) -> list[int]:
    return [part.stat().st_size for part in folder.glob("*.part")]


async def test_what_cannot_find_room_is_not_begun(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.put("/m.gguf", BODY)
    plan = await plan_of(f"{origin.url}/m.gguf")
    (file,) = plan.files
    huge = replace(plan, files=(replace(file, size_bytes=2**62),))
    with pytest.raises(DiskFull, match="has room for"):
        await fetch(huge, tmp_path)
    assert origin.gets("/m.gguf") == []


async def test_a_folder_that_cannot_be_written_is_told(origin: Origin, tmp_path: Path) -> None:
    origin.put("/m.gguf", BODY)
    await asyncio.to_thread((tmp_path / "file").write_text, "in the way")
    with pytest.raises(ConfigError, match="cannot write"):
        await fetch(f"{origin.url}/m.gguf", tmp_path / "file")


def test_a_link_is_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f"{FILE.key}.part").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError):
        Partial.open(tmp_path, FILE)
    assert (tmp_path / "precious").read_text() == "mine"


def test_nothing_is_left_beside_what_became_a_model(tmp_path: Path) -> None:
    part = opened(tmp_path)
    take_up(part)
    part.write(BODY)
    part.finish()
    part.path.rename(tmp_path / "model.gguf")
    part.close()
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_only_one_has_it_at_a_time(tmp_path: Path) -> None:
    part = opened(tmp_path)
    assert Partial.open(tmp_path, FILE) is None
    part.close()
    opened(tmp_path).close()


def test_after_a_crash_of_the_machine_only_what_was_synced_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kolo.models.sources.partial.SYNC_BYTES", 40_000)
    part = opened(tmp_path)
    take_up(part)
    for start in range(0, 90_000, 10_000):
        part.write(BODY[start : start + 10_000])
    part.close()
    again = opened(tmp_path)  # the same boot: all of it is there, as after a kill
    take_up(again)
    assert again.n_bytes == 90_000
    again.close()
    monkeypatch.setattr("kolo.models.sources.partial._boot_id", lambda: "another")
    rebooted = opened(tmp_path)
    take_up(rebooted)
    assert rebooted.n_bytes == 80_000
    assert rebooted.digest.hexdigest() == hashlib.sha256(BODY[:80_000]).hexdigest()
    rebooted.close()


def test_a_whole_file_is_not_read_again_unless_it_was_touched(tmp_path: Path) -> None:
    part = opened(tmp_path)
    take_up(part)
    part.write(BODY)
    part.finish()
    part.close()
    told: list[int] = []
    again = opened(tmp_path)
    assert again.take_up(told.append, lambda: False) == ""
    assert (again.whole_sha256, told) == (FILE.sha256, [len(BODY)])
    again.path.write_bytes(BODY[:-1] + b"!")
    again.close()
    touched = opened(tmp_path)
    take_up(touched)
    assert touched.whole_sha256 is None
    assert touched.digest_hex() != FILE.sha256
    touched.close()


@pytest.mark.parametrize("beside", [b"", b"not JSON", b'{"name": 5}', None])
def test_a_partial_that_says_not_what_it_is_is_begun_anew(
    tmp_path: Path, beside: bytes | None
) -> None:
    part = opened(tmp_path)
    take_up(part)
    part.write(BODY[:5000])
    part.close()
    note = part.path.with_suffix(".json")
    if beside is None:
        note.unlink()
    else:
        note.write_bytes(beside)
    again = opened(tmp_path)
    assert "says not what it is" in take_up(again)
    assert again.n_bytes == 0
    again.close()


def test_the_note_beside_it_names_no_url(tmp_path: Path) -> None:
    secret = replace(FILE, sha256=None, validator='"v1"', url="https://example.org/m?sig=secret")
    part = opened(tmp_path, secret)
    take_up(part)
    part.close()
    told = part.path.with_suffix(".json").read_bytes()
    assert b"example" not in told
    assert msgspec.json.decode(told, type=Note).name == "m.gguf"
