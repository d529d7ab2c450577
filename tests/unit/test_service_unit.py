"""The unit file: what systemd itself says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kolo.service.unit import NAME, system_unit, user_unit

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
COMMAND = [sys.executable, "-m", "kolo", "serve"]
WELL = 2.0
"""systemd calls less than this OK, and up to 10 unsafe; PrivateDevices=, which would hide the
GPUs, and PrivateNetwork= are what is missing from 0."""


def analyze(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    runtime = tmp_path / "runtime"
    runtime.mkdir(exist_ok=True, mode=0o700)
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), "LC_ALL": "C.UTF-8"},
    )


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@needs_systemd
@pytest.mark.parametrize(
    "unit",
    [
        system_unit(COMMAND),
        system_unit(COMMAND, account="root", home="read-only"),
        system_unit([*COMMAND, "a path with 100% $spaces"]),
    ],
)
def test_systemd_finds_nothing_wrong_with_the_unit_of_a_machine(unit: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(unit)
    done = analyze(tmp_path, "verify", str(tmp_path / NAME))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit_of_a_person(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(user_unit(COMMAND))
    done = analyze(tmp_path, "--user", "verify", str(tmp_path / NAME))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_scores_its_hardening_well(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(system_unit(COMMAND))
    done = analyze(tmp_path, "security", "--offline=true", "--no-pager", str(tmp_path / NAME))
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) < WELL


def test_a_service_is_watched_restarted_and_stopped_with_patience() -> None:
    found = settings_of(system_unit(COMMAND))
    assert found["Type"] == ["notify"]
    assert found["Restart"] == ["on-failure"]
    assert int(found["WatchdogSec"][0]) > 0
    assert found["KillMode"] == ["mixed"]  # a signal to the workers would cut every answer
    assert found["OOMPolicy"] == ["continue"]  # nor does one engine out of memory end all
    assert found["ExecReload"] == ["kill -HUP $MAINPID"]


def test_gpus_are_not_hidden() -> None:
    found = settings_of(system_unit(COMMAND))
    assert "PrivateDevices" not in found
    assert "char-nvidia* rw" in found["DeviceAllow"]


def test_nothing_of_a_configuration_is_in_the_unit() -> None:
    assert settings_of(system_unit(COMMAND))["ExecStart"] == [" ".join(COMMAND)]
    assert "Environment" not in settings_of(system_unit(COMMAND))


def test_its_folders_are_those_that_kolo_looks_for() -> None:
    found = settings_of(system_unit(COMMAND))
    for kind in ("State", "Cache", "Runtime", "Configuration", "Logs"):
        assert found[f"{kind}Directory"] == ["kolo"]
    # A person's service keeps to the folders of the person's own commands.
    assert "StateDirectory" not in settings_of(user_unit(COMMAND))


def test_a_user_that_exists_takes_the_place_of_one_that_is_made_up() -> None:
    assert settings_of(system_unit(COMMAND))["DynamicUser"] == ["yes"]
    found = settings_of(system_unit(COMMAND, account="models"))
    assert found["User"] == ["models"]
    assert "DynamicUser" not in found
