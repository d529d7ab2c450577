"""A folder of models: what in it is one, and how it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kolo.config import ModelSettings
from kolo.errors import ConfigError
from kolo.models.folder import scan, stem
from kolo.types import LoadParams

PARAMS = LoadParams(ctx=512)


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder: Path, *taken: str) -> tuple[dict[str, ModelSettings], list[str]]:
    return scan(folder, PARAMS, taken)


def test_every_file_is_a_model_known_by_its_stem(tmp_path: Path) -> None:
    make(tmp_path, "b.gguf", "a.GGUF", "notes.txt", ".hidden.gguf", "mmproj-a.gguf")
    models, remarks = found(tmp_path)
    assert models == {
        "a": ModelSettings(path=tmp_path / "a.GGUF", params=PARAMS),
        "b": ModelSettings(path=tmp_path / "b.gguf", params=PARAMS),
    }
    assert remarks == []


def test_a_split_model_is_one_and_its_folder_names_it_too(tmp_path: Path) -> None:
    parts = [f"big/huge-0000{part}-of-00002.gguf" for part in (1, 2)]
    make(tmp_path, *parts, "big/mmproj-f16.gguf")
    models, _ = found(tmp_path)
    assert models == {
        "huge": ModelSettings(path=tmp_path / parts[0], aliases=("big",), params=PARAMS)
    }


def test_a_folder_of_several_names_none_of_them(tmp_path: Path) -> None:
    make(tmp_path, "qwen/q4.gguf", "qwen/q8.gguf", "qwen/deep/er.gguf", ".git/x.gguf")
    models, _ = found(tmp_path)
    assert {name: model.aliases for name, model in models.items()} == {"q4": (), "q8": ()}


def test_what_cannot_be_served_is_left_out_with_the_reason(tmp_path: Path) -> None:
    make(tmp_path, "guide.gguf", "cut-00001-of-00002.gguf", "a.gguf", "z/a.gguf")
    models, remarks = found(tmp_path, "guide")
    assert list(models) == ["a"]
    assert remarks == [
        f"{tmp_path}/cut-00001-of-00002.gguf is left out: cut-00002-of-00002.gguf missing",
        f"{tmp_path}/guide.gguf is left out: the name 'guide' is taken",
        f"{tmp_path}/z/a.gguf is left out: the name 'a' is taken",
    ]


def test_names_that_are_not_utf8_are_left_out_with_one_remark(tmp_path: Path) -> None:
    make(tmp_path, "good.gguf", "sub/also.gguf")
    for name in (b"caf\xe9.gguf", b"\xff\xfe", b"sub/\xe9.gguf"):
        (tmp_path / os.fsdecode(name)).touch()
    models, remarks = found(tmp_path)
    assert list(models) == ["good", "also"]
    assert remarks == [
        f"{tmp_path} has 2 names, such as b'caf\\xe9.gguf', not in UTF-8: left out",
        f"{tmp_path}/sub has a name, b'\\xe9.gguf', not in UTF-8: left out",
    ]


def test_a_link_to_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nowhere")
    assert found(tmp_path) == ({}, [f"{tmp_path}/gone.gguf is left out: gone.gguf missing"])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: No such file or directory"):
        found(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen2.5-7b.gguf", "qwen2.5-7b"),
        ("x-00001-of-00003.gguf", "x"),
        ("x-1-of-3.gguf", "x-1-of-3"),
    ],
)
def test_the_stem_is_the_name_without_ending_and_part(name: str, expected: str) -> None:
    assert stem(Path(name)) == expected
