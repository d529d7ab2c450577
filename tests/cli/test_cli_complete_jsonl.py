"""``kolo complete --jsonl``: every request has one result, in order, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_server import Server
from running import Kolo, gone, workers_of

PATIENCE_S = 150.0
N_REQUESTS = 500


def requests(path: Path, lines: Sequence[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def results(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def whole_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until(path: Path, n: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until there are ``n`` results."""
    deadline = time.monotonic() + PATIENCE_S
    while whole_lines(path) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(env: dict[str, str], *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kolo", "complete", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=env["HOME"],
    )


def half_of(lines: list[bytes], env: dict[str, str], *args: str) -> subprocess.Popen[bytes]:
    """A run that has the first half of the requests, and waits for the rest: however slow the
    test is, it cannot be over before its time."""
    run = start(env, "--jsonl", "-", *args)
    assert run.stdin is not None
    run.stdin.write(b"".join(lines[: len(lines) // 2]))
    run.stdin.flush()
    return run


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def many() -> list[bytes]:
    lines = [{"id": f"r{index}", "prompt": f"Word {index}"} for index in range(N_REQUESTS)]
    return [json.dumps(line).encode() + b"\n" for line in lines]


def check_all(out: Path) -> None:
    """A result for each, in order, none twice, none failed."""
    found = results(out.read_text())
    assert [each["index"] for each in found] == list(range(N_REQUESTS))
    assert [each["id"] for each in found] == [f"r{index}" for index in range(N_REQUESTS)]
    assert all(each["text"] in ("yes", "no") for each in found)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_started_again_in_the_middle(
    env: dict[str, str], kolo: Kolo, many: list[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    """The token by which a server knows its own user is another one then."""
    assert kolo("keys", "create", "somebody").returncode == 0
    out = tmp_path / "out.jsonl"
    port = str(free_port())
    options = ["--out", str(out), "--choices", "yes,no", "--retries", "40"]
    with Server(env, "guide", "--port", port) as first:
        run = half_of(many, env, *options, "--url", first.url)
        until(out, N_REQUESTS // 10, run)
        first.stop(number)
    with Server(env, "guide", "--port", port):
        rest = b"".join(many[N_REQUESTS // 2 :])
        stdout, stderr = run.communicate(rest, timeout=PATIENCE_S)
    assert (run.returncode, stdout) == (0, b""), stderr
    check_all(out)


@pytest.mark.timeout(400)
def test_a_run_that_is_killed_is_gone_on_with(
    env: dict[str, str], many: list[bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    asked = tmp_path / "in.jsonl"
    asked.write_bytes(b"".join(many))
    options = ["--out", str(out), "--choices", "yes,no"]
    with Server(env, "guide") as server:
        options += ["--url", server.url]
        for share in (10, 4):
            run = half_of(many, env, *options)
            until(out, N_REQUESTS // share, run)
            run.kill()
            run.communicate(timeout=PATIENCE_S)
            with out.open("ab") as file:  # what a torn write leaves
                file.write(b'{"index":')
        before = out.read_bytes().rpartition(b"\n")[0]
        run = start(env, "--jsonl", str(asked), *options)
        stdout, stderr = run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, stdout) == (0, b""), stderr
        assert stderr == f"{out}: cut off a torn last line of 9 bytes\n".encode()
        assert out.read_bytes().startswith(before)
        check_all(out)
        again = start(env, "--jsonl", str(asked), *options)
        assert again.communicate(timeout=PATIENCE_S) == (b"", b"")
        check_all(out)


@pytest.mark.timeout(400)
def test_an_engine_that_is_killed_in_the_middle(
    env: dict[str, str], many: list[bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run = half_of(many, env, "--out", str(out), "--choices", "yes,no", "--local")
    until(out, N_REQUESTS // 10, run)
    (worker,) = workers_of(run.pid)
    os.kill(worker, signal.SIGKILL)
    rest = b"".join(many[N_REQUESTS // 2 :])
    stdout, stderr = run.communicate(rest, timeout=PATIENCE_S)
    assert (run.returncode, stdout) == (0, b""), stderr
    assert gone(worker)
    check_all(out)


def test_lines_of_every_kind_to_stdout(kolo: Kolo, tmp_path: Path) -> None:
    lines = [
        "Hello",
        {"id": 7, "messages": [{"role": "user", "content": "Hello"}], "choices": ["b"]},
        {"id": "x", "prompt": "Kolo is", "raw": True, "max_tokens": 2, "n": 2},
        {"prompt": "Hello", "schema": {"type": "boolean"}},
        {"prompt": "Hello", "tempreture": 1},
        {"prompt": "Hello", "model": "gide"},
    ]
    path = requests(tmp_path / "in", lines)
    with path.open("a") as file:
        file.write("\n{not json\n")
    done = kolo("complete", "--jsonl", "in", "--choices", "a", "--temp", "0")
    found = results(done.stdout)
    assert [each["index"] for each in found] == list(range(7))
    assert found[0]["text"] == "a"
    assert (found[1]["id"], found[1]["text"]) == (7, "b")
    assert len(found[2]["choices"]) == 2
    assert found[3]["text"] in ("true", "false")
    assert "tempreture" in found[4]["error"]["message"]
    assert found[5]["error"]["code"] == "model_not_found"
    assert found[6]["error"]["message"].startswith("line 8 is not JSON")
    assert done.returncode == 8
    assert done.stderr.startswith("error: of 7 requests: 3 failed\n")


def test_a_cut_answer_is_a_partial_result_unless_allowed(kolo: Kolo) -> None:
    line = '"What is Kolo?"\n'
    done = kolo("complete", "--jsonl", "-", "-n", "2", stdin=line)
    assert done.returncode == 8
    assert json.loads(done.stdout)["finish_reason"] == "length"
    assert done.stderr == (
        "error: of 1 requests: 1 cut by the length limit\n  try: a larger -n, or --allow-cut\n"
    )
    done = kolo("complete", "--jsonl", "-", "-n", "2", "--allow-cut", stdin=line)
    assert (done.returncode, done.stderr) == (0, "")


def test_with_a_template_a_line_is_its_variables(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("{{ name }} in {{ language }}")
    requests(tmp_path / "in", [{"id": "a", "name": "Ada"}, {"nam": "Bo"}])
    done = kolo(
        *("complete", "--jsonl", "in", "--template", "t", "--var", "language=en"),
        *("--choices", "x"),
    )
    good, bad = results(done.stdout)
    assert (good["id"], good["text"]) == ("a", "x")
    assert "line 2: --template t: 'name' is undefined" in bad["error"]["message"]


def test_a_model_that_is_not_there_ends_the_run_before_anything_is_written(
    kolo: Kolo, tmp_path: Path
) -> None:
    requests(tmp_path / "in", ["a"] * 50)
    done = kolo("complete", "--jsonl", "in", "--out", "out", "-m", "gide")
    assert (done.returncode, done.stdout) == (4, "")
    assert "0 results are in out" in done.stderr
    assert (tmp_path / "out").read_bytes() == b""


def test_a_server_that_is_not_there_ends_the_run(kolo: Kolo, tmp_path: Path) -> None:
    requests(tmp_path / "in", ["a"] * 50)
    url = f"http://127.0.0.1:{free_port()}"
    done = kolo("complete", "--jsonl", "in", "--url", url, "--retries", "1")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no server answers at {url}" in done.stderr


def test_requests_of_a_pipe_are_answered_before_it_ends(env: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kolo", "complete", "--jsonl", "-", "--choices", "yes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        for index in range(2):
            run.stdin.write(b'"Hello"\n')
            run.stdin.flush()
            assert json.loads(run.stdout.readline())["index"] == index
        run.stdin.close()
        assert run.wait(PATIENCE_S) == 0


def test_what_failed_is_asked_again_when_told_to(kolo: Kolo, tmp_path: Path) -> None:
    lines = ["a", {"prompt": "b", "model": "later"}, "c"]
    requests(tmp_path / "in", lines)
    asked = ["complete", "--jsonl", "in", "--out", "out", "--choices", "x"]
    assert kolo(*asked).returncode == 8
    before = results((tmp_path / "out").read_text())
    assert before[1]["error"]["code"] == "model_not_found"
    assert kolo(*asked).returncode == 8
    requests(tmp_path / "in", [*lines[:1], {"prompt": "b", "model": "guide"}, *lines[2:]])
    done = kolo(*asked, "--retry-failed")
    assert (done.returncode, done.stderr) == (0, "")
    after = results((tmp_path / "out").read_text())
    assert after[1]["text"] == "x"
    assert [after[0], after[2]] == [before[0], before[2]]


def test_ctrl_c_says_how_to_go_on(env: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = requests(tmp_path / "in", ["Hello"] * 10_000)
    run = start(env, "--jsonl", str(path), "--out", str(out), "--choices", "yes")
    until(out, 1, run)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130
    assert stderr.decode() == (
        f"{whole_lines(out)} results are in {out}: the same command goes on from there\n"
    )
    assert out.read_bytes().endswith(b"}\n")


def test_a_reader_that_goes_away_ends_it_quietly(env: dict[str, str], tmp_path: Path) -> None:
    requests(tmp_path / "in", ["Hello"] * 10_000)
    command = f"{sys.executable} -m kolo complete --jsonl in --choices yes"
    piped = f"{command} | head -n 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", piped],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_disk_that_is_full_is_said_so(kolo: Kolo, tmp_path: Path) -> None:
    requests(tmp_path / "in", ["Hello"])
    os.symlink("/dev/full", tmp_path / "out")
    done = kolo("complete", "--jsonl", "in", "--out", "out", "--choices", "yes")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
