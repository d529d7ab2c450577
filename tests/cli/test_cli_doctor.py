"""``kolo doctor`` finds what is wrong, says what to do about it, and looks at all the rest."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_server import Server
from running import Kolo

from kolo.doctor import Finding
from kolo.doctor.examine import CHECKS, Check, examine
from kolo.doctor.report import ok
from kolo.doctor.software import against_build
from kolo.doctor.subject import Build, Subject

pytestmark = pytest.mark.timeout(600)  # several processes each, beside everything else

Done = subprocess.CompletedProcess[str]


def findings(done: Done) -> dict[str, list[dict[str, Any]]]:
    """By check; the exit code agrees with what was found."""
    report = json.loads(done.stdout)
    failed = any(each["state"] == "fail" for each in report["findings"])
    assert done.returncode == (8 if failed else 0), done
    assert report["healthy"] is not failed
    found: dict[str, list[dict[str, Any]]] = {}
    for each in report["findings"]:
        found.setdefault(each["check"], []).append(each)
    return found


def failures(done: Done) -> dict[str, dict[str, Any]]:
    """Those that failed, one of each check; all others were looked at."""
    found = findings(done)
    assert set(found) == {check.name for check in CHECKS} - {"generation"}
    return {
        name: next(each for each in told if each["state"] == "fail")
        for name, told in found.items()
        if any(each["state"] == "fail" for each in told)
    }


def test_a_sound_machine_is_told_to_be_one_and_a_model_says_a_word(kolo: Kolo) -> None:
    done = kolo("doctor", "--json")
    found = findings(done)
    assert list(found) == [check.name for check in CHECKS]
    assert done.returncode == 0, done.stdout
    assert found["generation"][0]["state"] == "ok"
    assert "gave a token" in found["generation"][0]["found"]
    assert found["llama.cpp"][0]["found"].startswith("llama-cpp-python 0.")
    assert "the defaults" in found["settings"][0]["found"]


def test_lines_for_a_person(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("doctor", "--no-generate")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")].count("ok") >= 10
    assert "0 failed" in done.stderr
    assert "generation" not in done.stdout
    coloured = kolo("doctor", "--no-generate", "--color", "always")
    assert coloured.stdout.startswith("\x1b[32mok\x1b[0m    python")


def test_settings_that_are_wrong_are_told_all_at_once(kolo: Kolo, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[server]\nport = "many"\nhots = "127.0.0.1"\n')
    done = kolo("doctor", "--no-generate", "--json", KOLO_CONFIG=str(file))
    found = findings(done)
    assert [each["state"] for each in found["settings"]] == ["fail", "fail"]
    text = json.dumps(found["settings"])
    assert f"{file}:2" in text
    assert "server.host" in text
    assert set(failures(done)) == {"settings"}


def test_a_settings_file_that_is_no_toml(kolo: Kolo, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("server = [")
    done = kolo("doctor", "--no-generate", "--json", KOLO_CONFIG=str(file))
    assert str(file) in failures(done)["settings"]["found"]


def test_a_folder_that_cannot_be_written(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in place of a folder")
    failed = failures(kolo("doctor", "--no-generate", "--json"))
    assert set(failed) == {"folders"}
    assert failed["folders"]["found"] == f"state: {tmp_path / 'state'}: it is no folder"
    assert "KOLO_HOME" in failed["folders"]["remedy"]


def test_a_runtime_folder_that_others_may_enter(
    kolo: Kolo, tmp_path: Path, env: dict[str, str]
) -> None:
    folder = Path(env["XDG_RUNTIME_DIR"]) / "kolo"
    folder.mkdir()
    folder.chmod(0o755)
    (told,) = findings(kolo("doctor", "--no-generate", "--json"))["folders"]
    assert told["state"] == "warn"
    assert told["remedy"] == f"chmod 700 {folder}"


def test_a_port_that_is_in_use_and_by_whom(kolo: Kolo) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = kolo("doctor", "--no-generate", "--json", KOLO_SERVER_PORT=str(port))
    told = failures(done)["port"]
    assert f"port {port} of 127.0.0.1 is in use by process {os.getpid()}" in told["found"]
    assert "server.port" in told["remedy"]


def test_a_socket_that_is_none(kolo: Kolo, tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    path.write_text("")
    done = kolo("doctor", "--no-generate", "--json", KOLO_MONITOR_SOCKET=str(path))
    assert failures(done)["monitor socket"]["remedy"] == f"move it away: mv {path} {path}.old"
    long = tmp_path / ("s" * 120)
    done = kolo("doctor", "--no-generate", "--json", KOLO_MONITOR_SOCKET=str(long))
    assert "a socket's path may have 107" in failures(done)["monitor socket"]["found"]


def test_a_library_that_is_missing(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "psutil.py").write_text(
        "raise ModuleNotFoundError('no psutil', name='psutil')"
    )
    done = kolo("doctor", "--json", PYTHONPATH=str(tmp_path / "broken"))
    found = findings(done)
    assert set(found) == {check.name for check in CHECKS}
    (memory,) = found["memory"]
    assert memory["found"] == "a library is missing: psutil"
    assert "pip install" in memory["remedy"]
    assert found["generation"][0]["state"] == "fail"
    assert found["python"][0]["state"] == "ok"
    assert found["settings"][0]["state"] == "ok"


def test_a_llama_cpp_that_cannot_be_loaded(kolo: Kolo, tmp_path: Path) -> None:
    package = tmp_path / "broken" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "llama_cpp.py").write_text(
        "raise FileNotFoundError('Shared library with base name llama not found')"
    )
    broken = str(tmp_path / "broken")
    failed = failures(kolo("doctor", "--no-generate", "--json", PYTHONPATH=broken))
    assert set(failed) == {"llama.cpp", "cpu"}
    assert "Shared library with base name llama not found" in failed["llama.cpp"]["found"]
    assert re.search(
        r"pip install --force-reinstall .*llama-cpp-python==\d", failed["llama.cpp"]["remedy"]
    )
    (package / "llama_cpp.py").write_text("import os; os.kill(os.getpid(), 4)")
    failed = failures(kolo("doctor", "--no-generate", "--json", PYTHONPATH=broken))
    assert "built for another CPU" in failed["llama.cpp"]["found"]
    assert "CMAKE_ARGS" in failed["llama.cpp"]["remedy"]
    quiet = kolo("doctor", "--no-generate", "-q", PYTHONPATH=broken)
    assert {line.split()[0] for line in quiet.stdout.splitlines()} == {"fail", "try:"}
    assert quiet.returncode == 8


def test_no_home_hides_nothing_else(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("doctor", "--no-generate", "--json", XDG_STATE_HOME="relative")
    failed = failures(done)
    assert "XDG_STATE_HOME must be an absolute path" in failed["folders"]["found"]
    assert "python" not in failed


def test_a_server_that_runs_is_no_stranger_on_the_port(kolo: Kolo, env: dict[str, str]) -> None:
    with Server(env) as server:
        port = server.url.rpartition(":")[2]
        done = kolo("doctor", "--no-generate", "--json", KOLO_SERVER_PORT=port)
        found = findings(done)
    assert found["port"][0]["found"].endswith("is that of the running server")
    assert found["server"][0]["found"].startswith(server.url)
    assert found["monitor socket"][0]["found"].endswith("a server tells what it does")


def test_a_server_that_was_named_and_does_not_answer(kolo: Kolo) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        failed = failures(kolo("doctor", "--no-generate", "--json", KOLO_URL=url))
    assert set(failed) == {"server"}
    assert url in failed["server"]["found"]


# Within one process -------------------------------------------------------------------------


def steady(subject: Subject) -> Iterator[Finding]:
    yield ok("steady", "fine")


def stumbling(subject: Subject) -> Iterator[Finding]:
    yield ok("stumbling", "so far")
    raise RuntimeError("a driver's odd answer")


released = threading.Event()


def hanging(subject: Subject) -> Iterator[Finding]:
    released.wait(120)
    yield ok("hanging", "too late")


def test_a_check_that_hangs_or_falls_hides_no_other() -> None:
    checks = (
        Check("stumbling", __name__, "stumbling", 60.0),
        Check("hanging", __name__, "hanging", 1.0),
        Check("missing", "kolo.no_such_module", "nothing", 60.0),
        Check("steady", __name__, "steady", 60.0),
    )
    try:
        told = list(examine(checks=checks))
    finally:
        released.set()
    assert [(each.check, each.state) for each in told] == [
        ("stumbling", "ok"),
        ("stumbling", "fail"),
        ("hanging", "fail"),
        ("missing", "fail"),
        ("steady", "ok"),
    ]
    assert "RuntimeError: a driver's odd answer" in told[1].found
    assert told[2].found == "no answer within 1 s"
    assert all(each.remedy for each in told if each.state == "fail")


@pytest.mark.parametrize(
    ("flags", "used", "state", "word"),
    [
        ({"avx", "avx2"}, {"AVX", "AVX2", "OPENMP"}, "ok", "uses all"),
        ({"avx"}, {"AVX", "AVX2"}, "fail", "built to use AVX2"),
        ({"avx", "avx2", "avx512f"}, {"AVX", "AVX2"}, "warn", "built without AVX512"),
        ({"asimd", "i8mm"}, {"NEON"}, "warn", "built without MATMUL_INT8"),
        (set(), {"AVX"}, "ok", "a CPU"),
    ],
)
def test_the_build_is_held_against_the_cpu(
    flags: set[str], used: set[str], state: str, word: str
) -> None:
    (told,) = against_build("a CPU", flags, used)
    assert told.state == state
    assert word in told.found
    assert (state == "ok") or "CMAKE_ARGS" in told.remedy


def test_features_are_read_from_what_llama_cpp_says() -> None:
    said = "CPU : SSE3 = 1 | AVX = 1 | AVX512 = 0 | CUDA : ARCHS = 900 | REPACK = 1 | "
    build = Build("1", "x", said, False, [])
    assert build.features == {"SSE3", "AVX", "REPACK"}


def test_a_folder_of_somebody_else_is_told(tmp_path: Path) -> None:
    from kolo.doctor.places import trouble

    assert trouble(tmp_path) is None
    assert trouble(tmp_path / "not" / "yet") is None
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_text("")
    assert trouble(tmp_path / "file" / "below") == (tmp_path / "file", "it is no folder")
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
