"""The folder of all engines' saved prefixes, and what the driver's readings become."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kolo.manager.gpus import GpuMemory
from kolo.manager.saved import PrefixFolder, all_saved, folder_of, remove_saved, saved_of
from kolo.models.resolve import ModelSpec
from kolo.monitor.gpu_memory import GpuMemories
from kolo.paths import Paths
from kolo.snapshot import Gpu, GpuProcess
from kolo.types import LoadParams


def paths(root: Path) -> Paths:
    return Paths(*(root / name for name in ("config", "data", "state", "cache", "run")))


def spec(id: str, path: str = "/m.gguf") -> ModelSpec:
    return ModelSpec(id=id, path=Path(path), params=LoadParams(), source="path")


def put(folder: PrefixFolder, id: str, name: str, size: int, used_at: int) -> Path:
    path = Path(folder.saving(spec(id)).folder) / f"{name}.kv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used_at, used_at))
    return path


def test_the_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first = PrefixFolder.open(paths(tmp_path), 1000)
    assert len(first.key) == 32
    assert (tmp_path / "state" / "prefixes.key").stat().st_mode & 0o777 == 0o600
    assert PrefixFolder.open(paths(tmp_path), 1000).key == first.key


def test_a_key_that_others_could_have_read_or_that_is_none_is_made_anew(tmp_path: Path) -> None:
    key = PrefixFolder.open(paths(tmp_path), 1000).key
    file = tmp_path / "state" / "prefixes.key"
    file.chmod(0o644)
    second = PrefixFolder.open(paths(tmp_path), 1000).key
    assert second != key
    file.write_bytes(b"short")
    assert PrefixFolder.open(paths(tmp_path), 1000).key not in (key, second)


def test_the_least_recently_used_of_all_engines_goes_first(tmp_path: Path) -> None:
    folder = PrefixFolder.open(paths(tmp_path), 250)
    old, new, mid = (
        put(folder, "a", "old", 100, 1),
        put(folder, "a", "new", 100, 3),
        put(folder, "b", "mid", 100, 2),
    )
    folder.trim()
    assert [path.exists() for path in (old, mid, new)] == [False, True, True]
    assert PrefixFolder.open(paths(tmp_path), 100).root == folder.root
    assert [path.exists() for path in (old, mid, new)] == [False, False, True]


def test_what_a_killed_worker_left_is_swept_but_not_what_one_writes(tmp_path: Path) -> None:
    folder = PrefixFolder.open(paths(tmp_path), 1000)
    whole = put(folder, "a", "x", 100, 1)
    dead, alive = whole.with_name(".dead.part"), whole.with_name(".alive.part")
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    with alive.open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        folder.trim()
        assert sorted(path.name for path in whole.parent.iterdir()) == [".alive.part", "x.kv"]


def test_engines_have_folders_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    names = ("a", "b", "../a", "a/b", "ä", "x" * 300)
    folders = {folder_of(tmp_path, id, Path("/m.gguf")) for id in names}
    folders.add(folder_of(tmp_path, "a", Path("/other.gguf")))
    assert len(folders) == 7
    assert all(folder.parent == tmp_path for folder in folders)
    for folder in folders:
        folder.mkdir()


def test_what_is_saved_is_told_and_removed_by_engine(tmp_path: Path) -> None:
    folder = PrefixFolder.open(paths(tmp_path), 1000)
    first = put(folder, "a", "x", 100, 1)
    put(folder, "a", "y", 50, 1)
    put(folder, "b", "z", 10, 1)
    told = all_saved(folder.root)
    assert [(one.n, one.n_bytes) for one in told] == [(2, 150), (1, 10)]
    assert saved_of(first.parent) == told[0]
    folder.forget(spec("a"))
    assert [one.n_bytes for one in all_saved(folder.root)] == [10]
    remove_saved(Path(told[1].path))
    assert all_saved(folder.root) == []


async def test_the_memory_of_gpus_is_what_could_be_read_of_it() -> None:
    def read() -> list[Gpu]:
        return [
            Gpu(
                id="nvidia:0",
                vendor="nvidia",
                index=0,
                memory_total_bytes=80,
                memory_used_bytes=30,
                processes=[GpuProcess(pid=7, memory_bytes=20), GpuProcess(pid=8)],
            ),
            Gpu(id="nvidia:1", vendor="nvidia", index=1),
        ]

    expected = GpuMemory(id="nvidia:0", total_bytes=80, used_bytes=30, by_pid={7: 20})
    assert await GpuMemories(read)() == [expected]
