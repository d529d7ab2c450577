"""Engines added at run time: kept whole or not at all, and never instead of the configuration."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from kolo.config import BUILTIN_MODEL, ModelSettings, Settings
from kolo.errors import DiskFull
from kolo.models.resolve import ModelSpec, resolve
from kolo.server.state import Registry
from kolo.types import LoadParams, Lora, Sampling
from kolo.units import Seconds
from kolo.whole import write_whole


def spec(id: str, **more: object) -> ModelSpec:
    path = Path(f"/models/{id}.gguf")
    plain = {"path": path, "params": LoadParams(), "source": "path"}
    return ModelSpec(id=id, **{**plain, **more})  # type: ignore[arg-type]


FULL = spec(
    "full",
    path=Path("/with a space/ü.gguf"),
    params=LoadParams(ctx=512, lora=[Lora("/l", 0.5)], sampling=Sampling(top_k=3)),
    aliases=("other", "name"),
    pin=True,
    ttl_s=Seconds(90),
    description="What it is good for",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "engines.json"


def test_the_next_start_knows_what_this_one_was_told(file: Path) -> None:
    registry = Registry(file)
    for one in (FULL, spec("b"), spec("a")):
        registry.remember(one)
    assert Registry(file).specs() == [FULL, spec("b"), spec("a")]
    registry.forget("b")
    registry.forget("never there")
    assert Registry(file).specs() == registry.specs() == [FULL, spec("a")]


def test_remembering_again_replaces_and_keeps_the_order(file: Path) -> None:
    registry = Registry(file)
    registry.remember(spec("a"))
    registry.remember(spec("b"))
    registry.remember(spec("a", pin=True))
    assert Registry(file).specs() == [spec("a", pin=True), spec("b")]


def test_without_a_file_it_lasts_as_long_as_the_process() -> None:
    registry = Registry()
    registry.remember(spec("a"))
    assert registry.specs() == [spec("a")]
    assert Registry().specs() == []


def test_names_of_the_configuration_are_not_kept(file: Path) -> None:
    settings = Settings(models={"mine": ModelSettings(path=Path("/m"), aliases=("also",))})
    registry = Registry(file, settings)
    for id in ("mine", "also", BUILTIN_MODEL):
        registry.remember(spec(id))
    assert registry.specs() == []
    assert not file.exists()


def test_the_configuration_hides_an_engine_of_the_same_name_and_does_not_lose_it(
    file: Path,
) -> None:
    Registry(file).remember(spec("a"))
    registry = Registry(file, Settings(models={"a": ModelSettings(path=Path("/m"))}))
    assert registry.specs() == []
    assert registry.hidden() == ["a"]
    registry.remember(spec("b"))
    assert Registry(file).specs() == [spec("a"), spec("b")]


def test_the_builtin_model_under_another_name_moves_with_the_installation(file: Path) -> None:
    builtin = resolve(BUILTIN_MODEL, Settings())
    registry = Registry(file)
    registry.remember(spec("small", path=Path("/an/older/place.gguf"), source="builtin"))
    assert Registry(file).specs() == [spec("small", path=builtin.path, source="builtin")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2, "engines": []}',
        b'{"version": 1, "engines": [{"id": "a"}]}',
        b'{"version": 1, "more": 1}',
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside_and_said(file: Path, data: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(data)
    registry = Registry(file)
    assert registry.specs() == []
    assert "engines.unreadable.json" in registry.problem
    assert file.with_name("engines.unreadable.json").read_bytes() == data
    registry.remember(spec("a"))
    assert Registry(file).specs() == [spec("a")]


def test_a_file_that_can_neither_be_read_nor_set_aside_stays_as_it_is_and_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.parent.mkdir()
    file.write_bytes(b"{")

    def refuse(self: Path, to: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", refuse)
    registry = Registry(file)
    assert "nor set aside: Read-only file system" in registry.problem
    registry.remember(spec("a"))
    assert (registry.specs(), file.read_bytes()) == ([spec("a")], b"{")


def test_a_disk_that_refuses_leaves_the_old_state_here_and_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(file)
    registry.remember(spec("a"))

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="No space left on device"):
        registry.remember(spec("b"))
    with pytest.raises(DiskFull, match=r"cannot write .*engines\.json"):
        registry.forget("a")
    assert registry.specs() == Registry(file).specs() == [spec("a")]
    assert [path.name for path in file.parent.iterdir()] == ["engines.json"]


def test_write_whole_replaces_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
