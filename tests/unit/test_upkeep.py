from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from stores import incoming, model, put

from kolo.models.store import Store
from kolo.models.upkeep import clear, problems, verify, waste


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def states(store: Store, name: str = "a") -> list[str]:
    return [finding.state for finding in verify(store, store.get(name), every_version=True)]


def tidied(store: Store, **how: float) -> list[tuple[str, int]]:
    return [(item.kind, item.n_bytes) for item in waste(store, **how)]


# Verify --------------------------------------------------------------------------------------


def test_a_sound_model_is_ok_and_every_byte_of_it_is_read(store: Store, tmp_path: Path) -> None:
    added = put(store, "a", model(tmp_path))
    pieces: list[tuple[str, int]] = []
    (finding,) = verify(store, added.stored, told=lambda file, n: pieces.append((file, n)))
    assert (finding.state, finding.bad) == ("ok", False)
    assert sum(n for _, n in pieces) == model(tmp_path).stat().st_size


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove", "link", "folder"])
def test_any_damage_is_found(store: Store, tmp_path: Path, damage: str) -> None:
    added = put(store, "a", model(tmp_path))
    path = store.path("a", added.stored.version)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    match damage:
        case "flip":
            path.write_bytes(data)
        case "cut":
            os.truncate(path, 100)
        case "grow":
            path.write_bytes(bytes(data) + b"x")
        case _:
            path.unlink()
    if damage == "link":
        path.symlink_to(model(tmp_path))
    elif damage == "folder":
        path.mkdir()
    assert states(store) == ["missing" if damage == "remove" else "damaged"]


def test_a_file_in_place_must_be_as_it_was(store: Store, tmp_path: Path) -> None:
    path = model(tmp_path)
    store.register("a", path)
    assert states(store) == ["unhashed"]
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert states(store) == ["changed"]
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(store) == ["damaged"]
    path.unlink()
    assert states(store) == ["missing"]


def test_folders_that_are_no_models_are_named(store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    (store.home("b") / "x").mkdir(parents=True)
    (remark,) = problems(store.folder)
    assert "manifest.json" in remark


# Prune ---------------------------------------------------------------------------------------


def test_a_tidy_store_has_nothing_to_remove(store: Store, tmp_path: Path) -> None:
    assert waste(store) == []
    put(store, "a", model(tmp_path))
    assert waste(store) == []


def test_former_versions_go_with_what_only_they_have(store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path, 1))
    put(store, "a", model(tmp_path, 2))
    put(store, "b", model(tmp_path, 3))
    put(store, "b", model(tmp_path, 2))
    size = model(tmp_path).stat().st_size
    assert tidied(store) == [("version", size), ("version", size)]
    clear(store, waste(store))
    assert waste(store) == []
    assert [len(stored.versions) for stored in store.models().values()] == [1, 1]
    for name in "ab":
        path = store.path(name, store.get(name).version)
        assert path.read_bytes() == model(tmp_path, 2).read_bytes()


def test_a_former_version_that_shares_its_content_frees_nothing(
    store: Store, tmp_path: Path
) -> None:
    put(store, "a", model(tmp_path, 1))
    put(store, "a", model(tmp_path, 2))
    put(store, "b", model(tmp_path, 1))
    assert tidied(store) == [("version", 0)]


def test_contents_without_a_version_and_leftovers_go(store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    (store.folder / "blobs" / "sha256-0.gguf").write_bytes(b"12345")
    stage = store.home("a") / ".1.2"
    stage.mkdir()
    (stage / "x").write_bytes(b"123")
    assert tidied(store) == [("blob", 5), ("leftover", 3)]
    clear(store, waste(store))
    assert waste(store) == []
    assert states(store) == ["ok"]


def test_partial_downloads_go_when_they_are_old_and_nobody_writes_them(
    store: Store, tmp_path: Path
) -> None:
    part = incoming(store, b"12345").path
    beside = part.with_suffix(".json")
    beside.write_text('{"name": "big.gguf"}')
    assert waste(store) == []
    now_s = part.stat().st_mtime + 8 * 86400
    with open(part, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert waste(store, now_s=now_s) == []
    (item,) = waste(store, now_s=now_s)
    assert (item.kind, item.what, item.n_bytes) == ("partial", "big.gguf", 25)
    with open(part, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear(store, [item])
    assert part.exists()
    clear(store, [item])
    assert list(store.partial.iterdir()) == []
