"""Where the settings say that models are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kolo.config import Settings, load_settings
from kolo.errors import ConfigError


def load(tmp_path: Path, text: str = "", **env: str) -> Settings:
    file = tmp_path / "etc" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return load_settings({"HOME": str(tmp_path), **env}, file)


def test_the_store_is_in_the_data_folder(tmp_path: Path) -> None:
    store = load(tmp_path).store
    assert store.dir == str(tmp_path / ".local/share/kolo/models")
    assert (store.folders, store.hub_cache) == ([], str(tmp_path / ".cache/huggingface/hub"))
    assert Settings().store.dir == ""


def test_folders_of_the_file_are_relative_to_it_and_others_to_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    store = load(tmp_path, '[store]\ndir = "s"\nfolders = ["a", "~/b", "/c"]\n').store
    assert store.dir == str(tmp_path / "etc" / "s")
    assert store.folders == [str(tmp_path / "etc" / "a"), str(tmp_path / "b"), "/c"]
    store = load(tmp_path, KOLO_STORE_DIR="s", KOLO_STORE_FOLDERS="a,/c").store
    assert (store.dir, store.folders) == (str(tmp_path / "s"), [str(tmp_path / "a"), "/c"])
    with pytest.raises(ConfigError):
        load(tmp_path, '[store]\ndir = "~nobody-at-all/x"\n')


@pytest.mark.parametrize(
    ("text", "env", "folder"),
    [
        ("", {"HF_HOME": "/h"}, "/h/hub"),
        ("", {"HF_HOME": "/h", "HF_HUB_CACHE": "/c"}, "/c"),
        ("", {"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ('[store]\nhub_cache = "/mine"\n', {"HF_HUB_CACHE": "/c"}, "/mine"),
        ('[store]\nhub_cache = "off"\n', {"HF_HUB_CACHE": "/c"}, ""),
    ],
)
def test_the_hub_cache_is_where_the_hubs_own_tools_have_it(
    tmp_path: Path, text: str, env: dict[str, str], folder: str
) -> None:
    assert load(tmp_path, text, **env).store.hub_cache == folder
