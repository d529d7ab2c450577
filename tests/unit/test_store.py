from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from stores import incoming, model, put, split

from kolo.errors import BadParameter, Busy, ConfigError, DiskFull, ModelInvalid, ModelNotFound
from kolo.models import blobs, index
from kolo.models.gguf import read_model
from kolo.models.lock import locked
from kolo.models.sources.plan import Extras
from kolo.models.store import Store
from kolo.types import Sampling


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def names(store: Store) -> dict[str, str]:
    return {name: stored.current for name, stored in store.models().items()}


def files(store: Store) -> list[str]:
    """Every file of the store but the lock, relative to it."""
    found = (path for path in store.folder.rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(store.folder)) for path in found if path.name != ".lock")


# Taking in -----------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_empty_and_stays_so(store: Store) -> None:
    assert (store.models(), store.aliases(), store.folder.exists()) == ({}, {}, False)
    with pytest.raises(ModelNotFound):
        store.get("x")


def test_what_is_put_in_is_found_by_another_process(store: Store, tmp_path: Path) -> None:
    path = model(tmp_path)
    extras = Extras(sampling=Sampling(temperature=0.5), ctx=512)
    added = store.add(
        "a/b:Q4",
        [incoming(store, path, "x.gguf")],
        source="hf:a/b:Q4",
        revision="c0ffee",
        extras=extras,
    )
    assert (added.new, added.replaced) == (True, "")
    again = Store(store.folder).get("a/b:Q4")
    assert again == added.stored
    version = again.version
    assert (version.source, version.revision, version.extras) == ("hf:a/b:Q4", "c0ffee", extras)
    assert (version.about.architecture, version.about.kind) == ("llama", "generate")
    loaded = store.path("a/b:Q4", version)
    assert loaded.name == "x.gguf"
    assert loaded.read_bytes() == path.read_bytes()
    assert not list(store.partial.iterdir())


def test_one_content_is_kept_once_whatever_its_names(store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    put(store, "b", model(tmp_path), source="ollama:b:latest")
    (blob,) = (store.folder / "blobs").iterdir()
    assert blob.stat().st_nlink == 3


def test_parts_of_a_split_model_lie_side_by_side_under_their_names(
    store: Store, tmp_path: Path
) -> None:
    parts = split(model(tmp_path), tmp_path / "s")
    added = store.add("s", [incoming(store, part, part.name) for part in parts], source="hf:o/s")
    path = store.path("s", added.stored.version)
    assert path.name == "s-00001-of-00002.gguf"
    assert read_model(path).n_params == read_model(parts[0]).n_params


@pytest.mark.parametrize(
    "names",
    [
        ["s-00001-of-00002.gguf", "y.gguf"],
        ["s-00001-of-00002.gguf"],
        ["s-00002-of-00002.gguf", "s-00001-of-00002.gguf"],
        ["x.gguf", "x.gguf"],
        ["../x.gguf"],
        [".x.gguf"],
        ["x\n.gguf"],
    ],
)
def test_files_that_are_not_one_model_are_refused(
    store: Store, tmp_path: Path, names: list[str]
) -> None:
    parts = split(model(tmp_path), tmp_path / "s")
    coming = [
        replace(incoming(store, part), name=name) for part, name in zip(parts, names, strict=False)
    ]
    with pytest.raises(ModelInvalid) as caught:
        store.add("s", coming, source="hf:o/s")
    assert str(store.folder) not in caught.value.message
    assert store.models() == {}
    assert not list((store.folder / "blobs").glob("*"))


def test_a_file_system_without_hard_links_gets_relative_links(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    added = put(store, "a", model(tmp_path))
    path = store.path("a", added.stored.version)
    assert path.is_symlink()
    assert not os.readlink(path).startswith("/")
    assert path.read_bytes() == model(tmp_path).read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!doctype html><html></html>",
        b"GGUF" + b"\xff" * 100,
        b"GGUF\x03\0\0\0" + b"\xff" * 16,
        b"GGUF\x03\0\0\0" + b"\0" * 16,
    ],
)
def test_what_is_no_model_leaves_the_store_as_it_was(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    put(store, "a", model(tmp_path))
    before = files(store)
    with pytest.raises(ModelInvalid) as caught:
        store.add("bad", [incoming(store, content)], source="https://h/x.gguf")
    assert str(store.folder) not in caught.value.message
    assert files(store) == before
    assert list(names(store)) == ["a"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/x", "-x", "a\nb", "x" * 300, "hf:o/r", "ollama:x", " a", "~x"]
)
def test_a_name_that_could_be_taken_for_something_else_is_refused(
    store: Store, tmp_path: Path, name: str
) -> None:
    with pytest.raises(BadParameter):
        put(store, name, model(tmp_path))
    assert store.models() == {}


@pytest.mark.parametrize("name", ["a/../../b", "модель", "a b", "a%2Fb", "x:latest", "a@b+c"])
def test_any_other_name_stays_in_the_folder(store: Store, tmp_path: Path, name: str) -> None:
    put(store, name, model(tmp_path))
    assert list(Store(store.folder).models()) == [name]
    store.rebuild()
    assert list(store.models()) == [name]
    assert {path.parts[:1] for path in map(Path, files(store))} <= {
        ("names",),
        ("blobs",),
        ("index.json",),
    }


# Files in place ------------------------------------------------------------------------------


def test_a_file_in_place_is_known_and_not_copied(store: Store, tmp_path: Path) -> None:
    path = model(tmp_path)
    added = store.register("here", path)
    assert store.path("here", added.stored.version) == path
    assert not (store.folder / "blobs").exists()
    assert store.remove("here") == []
    assert path.exists()


def test_a_file_in_place_that_changed_is_its_only_version(store: Store, tmp_path: Path) -> None:
    path = model(tmp_path)
    first = store.register("here", path)
    assert store.register("here", path).new is False
    path.write_bytes(model(tmp_path, 5).read_bytes())
    second = store.register("here", path)
    assert second.replaced == first.stored.current
    assert len(store.get("here").versions) == 1
    store.rebuild()
    assert store.get("here") == second.stored


# Removing ------------------------------------------------------------------------------------


def test_removing_leaves_what_another_name_has(store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    put(store, "b", model(tmp_path))
    store.set_alias("x", "a")
    assert store.remove("a") == ["x"]
    assert (list(store.models()), store.aliases()) == (["b"], {})
    assert store.path("b", store.get("b").version).exists()
    store.remove("b")
    assert files(store) == ["aliases.json", "index.json"]


def test_a_reader_that_has_the_file_open_keeps_it(store: Store, tmp_path: Path) -> None:
    added = put(store, "a", model(tmp_path))
    with open(store.path("a", added.stored.version), "rb") as file:
        store.remove("a")
        assert file.read() == model(tmp_path).read_bytes()


# Links, damage, crashes ----------------------------------------------------------------------


def test_a_symbolic_link_out_of_the_store_is_refused(store: Store, tmp_path: Path) -> None:
    added = put(store, "a", model(tmp_path))
    path = store.path("a", added.stored.version)
    path.unlink()
    path.symlink_to(model(tmp_path))
    with pytest.raises(ModelInvalid, match="symbolic link out of the store"):
        store.path("a", added.stored.version)
    store.remove("a")
    assert model(tmp_path).exists()


def test_a_linked_folder_is_no_model_and_its_target_survives(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(Store(outside), "evil", model(tmp_path))
    (store.folder / "names").mkdir(parents=True)
    (store.folder / "names" / "evil").symlink_to(outside / "names" / "evil")
    assert store.rebuild() == []
    assert store.models() == {}
    store.remove("evil")
    assert list(Store(outside).models()) == ["evil"]


@pytest.mark.parametrize(
    "file", ["../../../x", "/etc/passwd", "..", ""], ids=["up", "absolute", "dots", "empty"]
)
def test_a_manifest_that_leads_elsewhere_is_left_out(
    store: Store, tmp_path: Path, file: str
) -> None:
    added = put(store, "a", model(tmp_path))
    manifest = store.home("a") / added.stored.current / "manifest.json"
    told = msgspec.json.decode(manifest.read_bytes())
    told["files"][0]["name"] = file
    manifest.write_bytes(msgspec.json.encode(told))
    (remark,) = store.rebuild()
    assert "is not the name of a file" in remark
    assert store.models() == {}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 99, "models": []}', b"\xff"])
def test_a_damaged_index_is_made_again_from_the_folders(
    store: Store, tmp_path: Path, damage: bytes
) -> None:
    put(store, "a", model(tmp_path, 1))
    put(store, "b", model(tmp_path, 2))
    before = store.models()
    (store.folder / "index.json").write_bytes(damage)
    assert Store(store.folder).models() == before
    assert store.rebuild() == []
    assert index.read(store.folder) == before


def test_a_damaged_alias_file_names_itself(store: Store) -> None:
    store.folder.mkdir()
    (store.folder / "aliases.json").write_bytes(b"[")
    with pytest.raises(ConfigError, match=r"aliases\.json"):
        store.aliases()


CRASH = """
import os, sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from kolo.models.store import Store, Incoming
import hashlib
calls, stop_at = 0, int(sys.argv[3])
def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == stop_at:
            os._exit(9)
        return function(*args, **kwargs)
    return call
for name in ("rename", "link", "mkdir", "fsync", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
store, path = Store(Path(sys.argv[1])), Path(sys.argv[2])
digest = hashlib.sha256(path.read_bytes()).hexdigest()
part = store.partial / "new.part"
store.add("a", [Incoming(path=part, name="x.gguf", digest=f"sha256:{digest}",
                         size_bytes=path.stat().st_size)], source="hf:o/r")
"""


def test_a_kill_at_any_step_leaves_the_old_version_or_the_new(store: Store, tmp_path: Path) -> None:
    old, new = model(tmp_path, 1), model(tmp_path, 2)
    put(store, "a", old)
    seen, step = set(), 0
    while True:
        step += 1
        store.partial.mkdir(exist_ok=True)
        (store.partial / "new.part").write_bytes(new.read_bytes())
        ended = subprocess.run(
            [sys.executable, "-c", CRASH, str(store.folder), str(new), str(step)], check=False
        )
        fresh = Store(store.folder).get("a")
        content = store.path("a", fresh.version).read_bytes()
        assert content in (old.read_bytes(), new.read_bytes())
        seen.add(content)
        if ended.returncode == 0:
            break
        store.rebuild()
        store.use("a", store.get("a").versions[0].id)
    assert step > 8
    assert len(seen) == 2


WRITER = """
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from kolo.models.store import Store
for i in range(5):
    store = Store(Path(sys.argv[1]))
    store.register(f"{sys.argv[3]}-{i}", Path(sys.argv[2]))
    if i % 2:
        store.remove(f"{sys.argv[3]}-{i}")
"""


def test_processes_that_change_the_store_together_lose_nothing(
    store: Store, tmp_path: Path
) -> None:
    path = model(tmp_path)
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(store.folder), str(path), name])
        for name in "abc"
    ]
    while any(process.poll() is None for process in running):
        for stored in store.models().values():  # never half of anything
            assert store.path(stored.name, stored.version) == path
    assert [process.returncode for process in running] == [0, 0, 0]
    wanted = sorted(f"{name}-{i}" for name in "abc" for i in (0, 2, 4))
    assert sorted(store.models()) == wanted
    assert sorted(index.scan(store.folder)[0]) == wanted


def test_a_lock_that_somebody_keeps_ends_in_busy(store: Store) -> None:
    with locked(store.folder), pytest.raises(Busy), locked(store.folder, wait_s=0.05):
        pass


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"store\.dir|cannot write"):
        Store(tmp_path / "file" / "store").rebuild()


def test_no_space_while_the_index_is_written_is_made_good_by_the_next_reader(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a", model(tmp_path, 1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(index, "write", full)
        with pytest.raises(DiskFull, match="No space"):
            put(store, "b", model(tmp_path, 2))
    assert sorted(store.models()) == ["a", "b"]
    assert blobs.orphans(store.folder, store.models().values()) == []


class Full:
    """Stands in for calls of the system; the ``at``-th of them finds the disk full."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def over(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            self.calls += 1
            if self.calls == self.at:
                raise OSError(28, "No space left on device")
            return real(*args, **more)

        return call


def test_a_disk_that_is_full_at_any_step_leaves_the_old_version_or_the_new(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = model(tmp_path, 1), model(tmp_path, 2)
    put(store, "a", old)
    for step in range(1, 1000):
        full, coming = Full(step), incoming(store, new)
        with monkeypatch.context() as patch:
            for name in ("rename", "link", "mkdir", "fsync"):
                patch.setattr(os, name, full.over(getattr(os, name)))
            with suppress(DiskFull):
                store.add("a", [coming], source="hf:o/r")
        fresh = Store(store.folder)
        content = fresh.path("a", fresh.get("a").version).read_bytes()
        assert content in (old.read_bytes(), new.read_bytes())
        assert index.scan(store.folder)[0] == fresh.models()
        coming.path.unlink(missing_ok=True)
        if full.calls < step:
            break
        store.use("a", store.get("a").versions[0].id)
    assert step > 8
    assert content == new.read_bytes()
