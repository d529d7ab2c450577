"""``kolo service``, with a systemctl that writes down what it is told, and without one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from running import Kolo

SYSTEMCTL = """#!/bin/bash
# A systemd as far as a command can see one: what is enabled and runs is files of a folder.
here={folder}
echo "$*" >> "$here/calls"
words=(); for word in "$@"; do [[ $word == --* ]] || words+=("$word"); done
case ${{words[0]}} in
  is-system-running) echo running ;;
  enable) touch "$here/enabled" ;;
  disable) rm -f "$here/enabled" "$here/runs" ;;
  start|restart) [[ -e $here/broken ]] && {{ echo "Job for kolo.service failed." >&2; exit 1; }}
    touch "$here/runs" ;;
  stop) rm -f "$here/runs" ;;
  show)
    if [[ -e {unit} ]]; then echo LoadState=loaded; else echo LoadState=not-found; fi
    [[ -e $here/enabled ]] && echo UnitFileState=enabled
    if [[ -e $here/runs ]]; then
      echo ActiveState=active; echo MainPID=4711; echo "StatusText=serves at http://127.0.0.1:8080"
    else echo ActiveState=inactive; echo MainPID=0; fi
    echo NRestarts=0; echo Result=success ;;
esac
"""


@pytest.fixture
def systemd(env: dict[str, str], tmp_path: Path) -> Path:
    """The folder of a systemctl that comes first on the path."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    unit = tmp_path / "config" / "systemd" / "user" / "kolo.service"
    script = folder / "systemctl"
    script.write_text(SYSTEMCTL.format(folder=folder, unit=unit))
    script.chmod(0o755)
    env["PATH"] = f"{folder}:{env['PATH']}"
    return folder


def unit_file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "systemd" / "user" / "kolo.service"


def test_the_life_of_a_service(kolo: Kolo, systemd: Path, tmp_path: Path) -> None:
    done = kolo("service", "status", "--user")
    assert (done.returncode, done.stdout) == (3, "not installed\n")
    assert "try: kolo service install --user" in done.stderr

    done = kolo("service", "install", "--user", "--now")
    assert done.returncode == 0, done.stderr
    assert f"{unit_file(tmp_path)} is written, and enabled" in done.stderr
    assert "kolo serve" in unit_file(tmp_path).read_text().replace("-m kolo", "kolo")
    done = kolo("service", "status", "--user")
    assert (done.returncode, done.stdout) == (
        0,
        "active · pid 4711\nserves at http://127.0.0.1:8080\n",
    )

    assert kolo("service", "stop", "--user").returncode == 0
    done = kolo("service", "status", "--user", "--json")
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert (told["installed"], told["enabled"], told["state"]) == (True, True, "inactive")
    assert told["pid"] is None

    assert kolo("service", "start", "--user").returncode == 0
    assert kolo("service", "status", "--user").returncode == 0
    assert kolo("service", "uninstall", "--user").returncode == 0
    assert not unit_file(tmp_path).exists()
    assert kolo("service", "status", "--user").returncode == 3
    calls = (systemd / "calls").read_text()
    assert "--user --no-pager --no-ask-password disable --now kolo.service" in calls


def test_installed_again_it_stays_as_it_is_or_becomes_what_it_should_be(
    kolo: Kolo, systemd: Path, tmp_path: Path
) -> None:
    assert kolo("service", "install", "--user").returncode == 0
    before = unit_file(tmp_path).stat()
    done = kolo("service", "install", "--user", "--now")
    assert "was as it should be" in done.stderr
    assert unit_file(tmp_path).stat().st_mtime_ns == before.st_mtime_ns
    with unit_file(tmp_path).open("a") as file:
        file.write("# of an older Kolo\n")
    done = kolo("service", "install", "--user", "--now")
    assert "is written" in done.stderr
    assert "of an older" not in unit_file(tmp_path).read_text()
    assert "restart kolo.service" in (systemd / "calls").read_text()


def test_a_unit_that_somebody_else_wrote_is_left_alone(
    kolo: Kolo, systemd: Path, tmp_path: Path
) -> None:
    unit_file(tmp_path).parent.mkdir(parents=True)
    unit_file(tmp_path).write_text("[Service]\nExecStart=/usr/local/bin/my-kolo\n")
    for verb in ("install", "uninstall"):
        done = kolo("service", verb, "--user")
        assert done.returncode == 1
        assert "was not written by Kolo and is left alone" in done.stderr
    assert "my-kolo" in unit_file(tmp_path).read_text()


def test_a_dry_run_writes_the_unit_to_stdout_and_changes_nothing(
    kolo: Kolo, systemd: Path, tmp_path: Path
) -> None:
    done = kolo("service", "install", "--dry-run")
    assert done.returncode == 0
    assert "Type=notify" in done.stdout
    assert done.stderr == "# /etc/systemd/system/kolo.service\n"
    assert not (systemd / "calls").exists()
    assert not unit_file(tmp_path).exists()


def test_a_start_that_fails_says_where_to_look(kolo: Kolo, systemd: Path) -> None:
    (systemd / "broken").touch()
    assert kolo("service", "install", "--user").returncode == 0
    done = kolo("service", "start", "--user")
    assert done.returncode == 1
    assert "systemctl start failed: Job for kolo.service failed." in done.stderr
    assert "try: journalctl --user -u kolo" in done.stderr


def test_what_is_not_installed_cannot_be_started(kolo: Kolo, systemd: Path) -> None:
    done = kolo("service", "start", "--user")
    assert done.returncode == 1
    assert "the service is not installed" in done.stderr


@pytest.mark.parametrize("verb", ["install", "uninstall", "status", "start"])
def test_without_systemd_it_says_so_and_what_to_do(
    env: dict[str, str], kolo: Kolo, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "bin").mkdir()
    env["PATH"] = str(tmp_path / "bin")
    done = kolo("service", verb, "--user")
    assert done.returncode == 1
    assert "systemd does not run here" in done.stderr
    assert "try: run 'kolo serve'" in done.stderr


def test_a_user_that_does_not_exist_is_refused(kolo: Kolo, systemd: Path) -> None:
    done = kolo("service", "install", "--as", "nobody-of-that-name", "--dry-run")
    assert done.returncode == 2
    assert "there is no such user" in done.stderr
    done = kolo("service", "install", "--as", "root", "--dry-run")
    assert "User=root" in done.stdout
    assert os.path.isabs(done.stdout.split("ExecStart=")[1].split()[0].strip('"'))
