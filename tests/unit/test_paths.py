from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from kolo.errors import ConfigError
from kolo.paths import Paths, find_paths


def test_home_folder_gives_the_usual_places() -> None:
    assert find_paths({"HOME": "/h"}) == Paths(
        config=Path("/h/.config/kolo"),
        data=Path("/h/.local/share/kolo"),
        state=Path("/h/.local/state/kolo"),
        cache=Path("/h/.cache/kolo"),
        runtime=Path(f"/tmp/kolo-{os.getuid()}"),
    )


def test_xdg_wins_over_home() -> None:
    env = {"HOME": "/h", "TMPDIR": "/t"}
    env |= {f"XDG_{name}_HOME": f"/x/{name}" for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    assert find_paths({**env, "XDG_RUNTIME_DIR": "/x/run"}) == Paths(
        config=Path("/x/CONFIG/kolo"),
        data=Path("/x/DATA/kolo"),
        state=Path("/x/STATE/kolo"),
        cache=Path("/x/CACHE/kolo"),
        runtime=Path("/x/run/kolo"),
    )
    assert find_paths(env).runtime == Path(f"/t/kolo-{os.getuid()}")


def test_systemd_wins_over_xdg_and_its_folders_are_taken_as_they_are() -> None:
    env = {
        "HOME": "/h",
        "XDG_STATE_HOME": "/x",
        "XDG_DATA_HOME": "/x",
        "CONFIGURATION_DIRECTORY": "/etc/kolo",
        "STATE_DIRECTORY": "/var/lib/kolo:/var/lib/other",
        "CACHE_DIRECTORY": "/var/cache/kolo",
        "RUNTIME_DIRECTORY": "/run/kolo",
    }
    assert find_paths(env) == Paths(
        config=Path("/etc/kolo"),
        data=Path("/var/lib/kolo/data"),
        state=Path("/var/lib/kolo"),
        cache=Path("/var/cache/kolo"),
        runtime=Path("/run/kolo"),
    )


def test_kolo_home_wins_over_all_and_may_be_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_paths({"KOLO_HOME": "here", "STATE_DIRECTORY": "/s", "HOME": "/h"})
    assert found == Paths(
        *(tmp_path / "here" / n for n in ("config", "data", "state", "cache", "run"))
    )


def test_empty_variables_count_as_not_set() -> None:
    env = {"HOME": "/h", "KOLO_HOME": "", "XDG_CONFIG_HOME": "", "STATE_DIRECTORY": ""}
    assert find_paths(env) == find_paths({"HOME": "/h"})


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"])
def test_a_relative_folder_is_refused_by_name(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable} must be an absolute path"):
        find_paths({"HOME": "/h", variable: "relative"})


def test_without_home_the_passwd_entry_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        pw_dir = "/from/passwd"

    monkeypatch.setattr(pwd, "getpwuid", lambda uid: Entry)
    assert find_paths({}).config == Path("/from/passwd/.config/kolo")


def test_without_home_and_passwd_entry_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ConfigError) as caught:
        find_paths({})
    assert "KOLO_HOME" in caught.value.hint
    assert find_paths({"KOLO_HOME": "/k"}).state == Path("/k/state")


def test_finding_creates_nothing_and_create_is_repeatable(tmp_path: Path) -> None:
    found = find_paths({"KOLO_HOME": str(tmp_path / "new")})
    assert not (tmp_path / "new").exists()
    found.create()
    found.create()
    assert all(folder.is_dir() for folder in (found.config, found.data, found.state, found.cache))
    assert found.runtime.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    found = find_paths({"KOLO_HOME": str(tmp_path)})
    found.runtime.mkdir(mode=0o755)
    found.create()
    assert found.runtime.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    found = find_paths({"KOLO_HOME": str(tmp_path)})
    (tmp_path / "elsewhere").mkdir()
    found.runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="somebody else"):
        found.create()


def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_paths({"KOLO_HOME": str(tmp_path)})
    found.create()
    nobody = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: nobody)
    with pytest.raises(ConfigError, match="somebody else"):
        found.create()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder") as caught:
        find_paths({"KOLO_HOME": str(tmp_path / "file")}).create()
    assert "KOLO_HOME" in caught.value.hint
