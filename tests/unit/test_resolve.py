from __future__ import annotations

from pathlib import Path

import pytest

from kolo.config import ModelSettings, Settings
from kolo.errors import BadParameter, KoloError, ModelNotFound
from kolo.models import resolve as module
from kolo.models.gguf import read_model
from kolo.models.resolve import ModelSpec, find_file, resolve
from kolo.types import LoadParams
from kolo.units import Seconds

ENGINE = LoadParams(ctx=512)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder and home folder, with one model in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "one.gguf").touch()
    return tmp_path


@pytest.fixture
def settings(folder: Path) -> Settings:
    own = LoadParams(ctx=1024)
    return Settings(
        engine=ENGINE,
        file=folder / "config.toml",
        models={
            "Qwen3": ModelSettings(
                path=folder / "one.gguf",
                aliases=("q", "large"),
                pin=True,
                ttl_s=Seconds(0),
                description="a model",
                params=own,
            ),
            "gone": ModelSettings(path=folder / "gone.gguf"),
        },
    )


def not_found(reference: str, settings: Settings, *, allow_paths: bool = True) -> ModelNotFound:
    with pytest.raises(ModelNotFound) as caught:
        resolve(reference, settings, allow_paths=allow_paths)
    assert caught.value.param == "model"
    return caught.value


@pytest.mark.parametrize("name", ["Qwen3", "q", "large"])
def test_a_name_or_alias_gives_the_settings_of_the_model(
    folder: Path, settings: Settings, name: str
) -> None:
    assert resolve(name, settings, allow_paths=False) == ModelSpec(
        id="Qwen3",
        path=folder / "one.gguf",
        params=LoadParams(ctx=1024),
        aliases=("q", "large"),
        pin=True,
        ttl_s=0.0,
        source="config",
        description="a model",
    )


def test_a_name_goes_before_a_file_of_that_name(folder: Path, settings: Settings) -> None:
    (folder / "q").touch()
    assert resolve("q", settings).id == "Qwen3"


def test_the_builtin_model_is_found_in_the_package(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "guide.gguf").touch()
    monkeypatch.setattr(module, "files", lambda package: folder)
    spec = resolve("guide", settings, allow_paths=False)
    assert (spec.id, spec.source, spec.params) == ("guide", "builtin", ENGINE)
    assert spec.path == folder / "data" / "guide.gguf"
    spec.path.unlink()
    assert "not part of this installation" in not_found("guide", settings).message


def test_the_builtin_model_is_one_that_generates() -> None:
    header = read_model(resolve("guide", Settings()).path)
    assert (header.refusal(), header.kind) == ("", "generate")
    assert header.chat_templates


@pytest.mark.parametrize("reference", ["one.gguf", "./one.gguf", "~/one.gguf", "x/../one.gguf"])
def test_a_path_is_made_absolute_and_is_the_id(
    folder: Path, settings: Settings, reference: str
) -> None:
    (folder / "x").mkdir()
    spec = resolve(reference, settings)
    assert spec.path.samefile(folder / "one.gguf")
    assert spec.path.is_absolute()
    assert (spec.id, spec.title) == (str(spec.path), "one")
    assert (spec.source, spec.params, spec.ttl_s) == ("path", ENGINE, None)


def test_any_existing_file_will_do_whatever_its_name(folder: Path, settings: Settings) -> None:
    (folder / "sha256-0123").touch()
    assert resolve("sha256-0123", settings).path == folder / "sha256-0123"


def test_links_are_not_followed_as_their_names_say_more(folder: Path, settings: Settings) -> None:
    (folder / "link.gguf").symlink_to(folder / "one.gguf")
    assert resolve("link.gguf", settings).path == folder / "link.gguf"


# Folders and split models ---------------------------------------------------------------------


def test_a_folder_with_one_model_is_that_model(folder: Path, settings: Settings) -> None:
    (folder / "mmproj-one-f16.gguf").touch()
    (folder / "readme.md").touch()
    assert resolve(str(folder), settings).path == folder / "one.gguf"
    assert resolve(".", settings).path == folder / "one.gguf"


def test_a_folder_with_several_lists_them(folder: Path, settings: Settings) -> None:
    for i in range(12):
        (folder / f"m{i:02}.gguf").touch()
    with pytest.raises(BadParameter, match=r"holds 13 models: m00\.gguf, .* and 3 more"):
        resolve(str(folder), settings)


def test_a_folder_without_models_is_not_found(folder: Path, settings: Settings) -> None:
    (folder / "one.gguf").unlink()
    assert "no .gguf file in the folder" in not_found(".", settings).message


@pytest.mark.parametrize(
    "reference", ["split", "split/m-00001-of-00003.gguf", "split/m-00003-of-00003.gguf"]
)
def test_a_split_model_is_its_first_part(folder: Path, settings: Settings, reference: str) -> None:
    (folder / "split").mkdir()
    for i in (1, 2, 3):
        (folder / "split" / f"m-{i:05}-of-00003.gguf").touch()
    assert resolve(reference, settings).path == folder / "split" / "m-00001-of-00003.gguf"


@pytest.mark.parametrize("present", [1, 3])
@pytest.mark.parametrize("by_folder", [True, False])
def test_missing_parts_are_named(
    folder: Path, settings: Settings, present: int, by_folder: bool
) -> None:
    (folder / "split").mkdir()
    (folder / "split" / f"m-0000{present}-of-00003.gguf").touch()
    reference = "split" if by_folder else f"split/m-0000{present}-of-00003.gguf"
    missing = [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3) if i != present]
    assert f"of which {', '.join(missing)} are missing" in not_found(reference, settings).message


# Not found --------------------------------------------------------------------------------------


def test_near_names_and_what_is_possible_are_told(folder: Path, settings: Settings) -> None:
    error = not_found("qwen-3", settings)
    assert error.message == "no model named 'qwen-3'"
    assert error.hint == (
        "Did you mean Qwen3? "
        f"kolo ls lists the names there are, guide and those in {folder / 'config.toml'} "
        "among them; a path to a .gguf file does as well."
    )
    assert "Did you mean guide?" in not_found("guid", settings).hint
    assert not_found("zzz", settings).hint.startswith("kolo ls lists the names")


@pytest.mark.parametrize("reference", ["one.gguf", "./one.gguf", "/etc/passwd", ".."])
def test_where_paths_are_not_allowed_they_are_names_nobody_has(
    settings: Settings, reference: str
) -> None:
    error = not_found(reference, settings, allow_paths=False)
    assert error.message == f"no model named {reference!r}"
    assert "path" not in error.hint.replace(str(settings.file), "")


def test_a_missing_file_tells_of_one_nearly_so_named(folder: Path, settings: Settings) -> None:
    error = not_found("./on.gguf", settings)
    assert error.message == f"no such file: {folder / 'on.gguf'}"
    assert error.hint == f"Did you mean {folder / 'one.gguf'}?"
    hint = not_found("nowhere/one.gguf", settings).hint
    assert hint == f"{folder / 'nowhere'}: No such file or directory."


def test_a_missing_file_of_the_settings_names_its_key(folder: Path, settings: Settings) -> None:
    error = not_found("gone", settings, allow_paths=False)
    assert f"(path of models.gone in {folder / 'config.toml'})" in error.message


@pytest.mark.parametrize("reference", ["", "a\0b", "x" * 4097])
def test_what_cannot_be_a_reference_is_refused(settings: Settings, reference: str) -> None:
    with pytest.raises(BadParameter) as caught:
        resolve(reference, settings)
    assert caught.value.param == "model"
    assert "guide" in caught.value.hint


@pytest.mark.parametrize(
    "reference", ["x" * 4000, "x/" * 2000, "~nobody-at-all/x", "\x1b[31m", "é\n", "one.gguf/x"]
)
def test_odd_references_are_refused_with_our_errors(settings: Settings, reference: str) -> None:
    with pytest.raises(KoloError) as caught:
        resolve(reference, settings)
    assert caught.value.param == "model"


def test_a_folder_that_may_not_be_read_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ModelNotFound, match="Permission denied"):
        find_file(folder)
    with pytest.raises(ModelNotFound) as caught:
        find_file(folder / "none.gguf")
    assert "Permission denied" in caught.value.hint
