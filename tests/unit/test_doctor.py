"""What the checks of ``kolo doctor`` make of what they read."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from kolo.doctor import hardware, software
from kolo.doctor.examine import CHECKS
from kolo.doctor.report import Finding
from kolo.doctor.running import service
from kolo.doctor.subject import Subject
from kolo.manager import machine
from kolo.manager.machine import Machine
from kolo.snapshot import Gpu

GB = 10**9
Usage = namedtuple("Usage", "total used free")


def only(check: str, subject: Subject | None = None) -> Finding:
    (found,) = {each.name: each for each in CHECKS}[check].load()(subject or Subject())
    return found


def gpu(**readings: object) -> Gpu:
    return Gpu(id="nvidia:0", vendor="nvidia", index=0, name="H200", **readings)  # type: ignore[arg-type]


def test_a_gpu_is_told_with_driver_and_memory() -> None:
    told = hardware.judged(
        gpu(driver="550.54", memory_used_bytes=1 << 30, memory_total_bytes=141 << 30, throttle=[])
    )
    assert told.state == "ok"
    assert told.found == "H200, driver 550.54, 150.3 GB of 151.4 GB free"


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        ({"temperature_c": 93.0}, "93 °C"),
        ({"throttle": ["power cap"]}, "power cap"),
        ({"throttle": ["clocks set", "hot"]}, "hot"),
    ],
)
def test_a_gpu_that_is_held_back_is_a_warning(readings: dict[str, object], why: str) -> None:
    told = hardware.judged(gpu(**readings))
    assert told.state == "warn"
    assert told.found.endswith(f"held back ({why})")
    assert told.remedy


def test_clocks_that_somebody_set_are_no_trouble() -> None:
    assert hardware.judged(gpu(throttle=["clocks set"])).state == "ok"


@pytest.mark.parametrize(
    ("free", "state", "word"), [(GB, "warn", "1.0"), (20 * GB, "ok", "20.0 GB")]
)
def test_memory(free: int, state: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available", lambda: Machine(32 * GB, free, "/sys/fs/cgroup/x"))
    told = only("memory")
    assert told.state == state
    assert "by the limit of /sys/fs/cgroup/x" in told.found


@pytest.mark.parametrize(("free", "state"), [(GB // 10, "fail"), (GB, "warn"), (50 * GB, "ok")])
def test_disk(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GB, 0, free))
    told = only("disk")
    assert told.state == state
    assert "models, state, cache" in told.found
    assert bool(told.remedy) == (state != "ok")


@pytest.mark.parametrize(
    ("installed", "wanted", "problem"),
    [
        ("8.5.1", ">=8.4", ""),
        ("0.3.36", "==0.3.36", ""),
        ("2.0", "==2.0.0", ""),
        ("0.22.0", ">=0.19,<1", ""),
        ("1.0", ">=0.19,<1", "x 1.0 is installed, and Kolo needs <1"),
        ("8.3.0", ">=8.4", "x 8.3.0 is installed, and Kolo needs >=8.4"),
        ("0.3.35", "==0.3.36", "x 0.3.35 is installed, and Kolo needs ==0.3.36"),
        ("1.5+local", ">=1.5", ""),
    ],
)
def test_versions_of_libraries(
    installed: str, wanted: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software.metadata, "version", lambda name: installed)
    assert software.version_problem("x", wanted) == problem


def test_a_library_that_is_not_installed() -> None:
    assert software.version_problem("no-such-library", ">=1") == (
        "no-such-library is not installed"
    )


SYSTEMCTL = """#!/bin/sh
case "$*" in
  *is-system-running*) echo running ;;
  *--user*show*) echo LoadState=not-found ;;
  *show*)
    echo LoadState=loaded; echo FragmentPath=/etc/systemd/system/kolo.service
    echo ActiveState={state}; echo Result={result}; echo NRestarts={restarts}; echo MainPID=0 ;;
esac
"""


@pytest.mark.parametrize(
    ("state", "result", "restarts", "judged"),
    [
        ("active", "success", 0, "ok"),
        ("active", "success", 3, "warn"),
        ("failed", "exit-code", 0, "fail"),
    ],
)
def test_the_service(
    state: str,
    result: str,
    restarts: int,
    judged: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = tmp_path / "systemctl"
    script.write_text(SYSTEMCTL.format(state=state, result=result, restarts=restarts))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (told,) = service(Subject())
    assert told.state == judged
    assert told.found.startswith(f"/etc/systemd/system/kolo.service is {state}")
    assert ("journalctl" in told.remedy) == (judged != "ok")
