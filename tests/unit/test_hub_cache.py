from __future__ import annotations

import os
from pathlib import Path

import pytest
from stores import model

from kolo.models.hub_cache import Cached
from kolo.models.hub_cache import cached as look

MAIN, OLD = "a" * 40, "b" * 40


def cached(folder: Path) -> list[Cached]:
    found, remarks = look(folder)
    assert remarks == []
    return found


class Repo:
    """A repository in a cache, laid out as huggingface_hub does."""

    def __init__(self, cache: Path, owner: str = "o", repo: str = "R-GGUF") -> None:
        self.home = cache / f"models--{owner}--{repo}"
        (self.home / "blobs").mkdir(parents=True)
        (self.home / "refs").mkdir()

    def add(self, file: str, content: bytes, commit: str = MAIN) -> Path:
        blob = self.home / "blobs" / f"{abs(hash(content)):x}"
        blob.write_bytes(content)
        return self.link(file, blob, commit)

    def link(self, file: str, blob: Path, commit: str = MAIN) -> Path:
        path = self.home / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (len(Path(file).parts) + 1)
        path.symlink_to(f"{up}blobs/{blob.name}" if blob.is_relative_to(self.home) else blob)
        return path

    def main(self, commit: str = MAIN) -> None:
        (self.home / "refs" / "main").write_text(commit)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def test_a_cache_that_is_not_there_holds_nothing(cache: Path) -> None:
    assert cached(cache) == []


def test_a_snapshot_that_is_removed_meanwhile_is_passed_over(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo(cache)
    data = model(tmp_path).read_bytes()
    repo.add("R-Q4_K_M.gguf", data)
    repo.add("R-Q8_0.gguf", data, OLD)
    stat = Path.stat

    def gone(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self.name == OLD:
            raise FileNotFoundError(self)
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", gone)
    assert [one.commit for one in cached(cache)] == [MAIN]


def test_models_are_those_of_the_main_commit_by_repository_and_quant(
    cache: Path, tmp_path: Path
) -> None:
    repo = Repo(cache)
    data = model(tmp_path).read_bytes()
    path = repo.add("R-Q4_K_M.gguf", data)
    repo.add("sub/R-Q8_0.gguf", data)
    repo.add("R-Q2_K.gguf", data, OLD)
    repo.add("mmproj-R-F16.gguf", data)
    repo.add("config.json", b"{}")
    repo.main()
    found = {each.name: each for each in cached(cache)}
    assert sorted(found) == ["o/R-GGUF:Q4_K_M", "o/R-GGUF:Q8_0"]
    first = found["o/R-GGUF:Q4_K_M"]
    assert (first.path, first.commit, first.file) == (path, MAIN, "R-Q4_K_M.gguf")
    assert first.path.read_bytes() == data
    assert found["o/R-GGUF:Q8_0"].file == "sub/R-Q8_0.gguf"


def test_a_split_model_is_one_and_only_when_it_is_whole(cache: Path) -> None:
    repo = Repo(cache)
    repo.add("x-Q4_0-00001-of-00002.gguf", b"one")
    assert cached(cache) == []
    repo.add("x-Q4_0-00002-of-00002.gguf", b"two")
    (found,) = cached(cache)
    assert (found.quant, found.path.name) == ("Q4_0", "x-Q4_0-00001-of-00002.gguf")


def test_a_link_out_of_the_cache_is_left_out(cache: Path, tmp_path: Path) -> None:
    repo = Repo(cache)
    outside = tmp_path / "outside.gguf"
    outside.write_bytes(b"secret")
    repo.link("x-Q4_0.gguf", outside)
    repo.link("y-Q4_0.gguf", repo.home / "blobs" / "gone")
    assert cached(cache) == []


def test_a_linked_cache_is_read_all_the_same(cache: Path, tmp_path: Path) -> None:
    Repo(cache).add("x-Q4_0.gguf", b"x")
    (tmp_path / "link").symlink_to(cache)
    assert [each.name for each in cached(tmp_path / "link")] == ["o/R-GGUF:Q4_0"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "o/R-GGUF:Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "o/R-GGUF:Q4_K_M"),
        ("x-UD-Q4_K_XL.gguf", "o/R-GGUF:UD-Q4_K_XL"),
        ("Q8_0/model.gguf", "o/R-GGUF:Q8_0"),
        ("x-fp16.gguf", "o/R-GGUF:F16"),
        ("sub/x.gguf", "o/R-GGUF/sub/x"),
    ],
)
def test_a_model_is_called_as_if_it_had_been_pulled(cache: Path, file: str, name: str) -> None:
    Repo(cache).add(file, b"x")
    assert [each.name for each in cached(cache)] == [name]


def test_names_that_are_not_utf8_are_left_out_with_one_remark(cache: Path) -> None:
    repo = Repo(cache)
    good = repo.add("good-Q4_0.gguf", b"x")
    for name in (b"caf\xe9-Q4_0.gguf", b"\xff"):
        (good.parent / os.fsdecode(name)).touch()
    found, remarks = look(cache)
    assert [each.name for each in found] == ["o/R-GGUF:Q4_0"]
    (remark,) = remarks
    assert remark == (
        f"{good.parent} has 2 names, such as b'caf\\xe9-Q4_0.gguf', not in UTF-8: left out"
    )
    remark.encode()
