"""``kolo serve`` as a process, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from urllib.request import urlopen

import pytest
from cli_server import PATIENCE_S, Server
from pty_terminal import Terminal
from running import Kolo, gone, workers_of

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))


@pytest.fixture(autouse=True)
def frugal(env: dict[str, str]) -> None:
    env["KOLO_ENGINE_THREADS"] = "1"


def ps(kolo: Kolo) -> dict[str, dict[str, object]]:
    done = kolo("ps", "--json")
    assert done.returncode == 0, done.stderr
    return {engine["engine_id"]: engine for engine in json.loads(done.stdout)}


def elsewhere(env: dict[str, str]) -> dict[str, str]:
    """The same person, with a state folder of its own: two servers share none."""
    return {**env, "XDG_STATE_HOME": f"{env['XDG_STATE_HOME']}-2"}


def beacon(env: dict[str, str]) -> Path:
    return Path(env["XDG_RUNTIME_DIR"]) / "kolo" / "server.json"


def test_a_day_of_a_server(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env, "guide", "--ctx", "512", "--parallel", "2") as server:
        assert json.loads(beacon(env).read_text())["url"] == server.url
        server.until("guide loaded in")
        assert re.search(r"^\d\d:\d\d:\d\d guide loading$", server.said, re.M)

        shown = kolo("ps").stdout.splitlines()
        assert shown[0].split() == ["ID", "STATE", "SLOTS", "CTX", "MEMORY", "PID", "IDLE"]
        assert shown[1].split()[:4] == ["guide", "loaded", "0/2", "512"]

        done = kolo("complete", "What is Kolo?", "-n", "5", "--json")
        assert (done.returncode, done.stderr.count("\n")) == (8, 2), done.stderr
        assert json.loads(done.stdout)["usage"]["completion_tokens"] == 5
        assert workers_of(server.pid) == [ps(kolo)["guide"]["pid"]]

        done = kolo("load", "guide", "--id", "small", "--ctx", "64", "--ttl", "1h30m", "--json")
        engine = json.loads(done.stdout)
        assert (engine["engine_id"], engine["state"], engine["ctx"]) == ("small", "loaded", 64)
        assert engine["ttl_s"] == 5400
        assert kolo("complete", "hi", "-m", "small", "-n", "1").returncode == 8

        assert json.loads(kolo("unload", "small", "--json").stdout) == {
            "id": "small",
            "unloaded": True,
            "forgotten": False,
        }
        assert kolo("unload", "small").stderr == "small was not loaded\n"
        assert ps(kolo)["small"]["state"] == "unloaded"
        assert kolo("unload", "small", "--forget").stderr == "small is forgotten\n"
        assert list(ps(kolo)) == ["guide"]
        server.until("small unloaded (requested)")
        workers = workers_of(server.pid)
        assert server.stop() == 0
    assert server.said.endswith("stopped\n")
    assert not beacon(env).exists()
    assert all(gone(pid) for pid in workers)
    assert server.process.stdout is not None


def test_what_it_prints_works_as_printed(env: dict[str, str]) -> None:
    with Server(env) as server:
        line = next(line for line in server.said.splitlines() if line.startswith("try: curl "))
        words = shlex.split(line.removeprefix("try: "))
        assert words[0] == "curl"
        assert words[2] == "-d"
        with urlopen(words[1], words[3].encode(), timeout=PATIENCE_S) as response:
            answer = json.load(response)
        assert "Kolo" in answer["choices"][0]["message"]["content"]


def test_engines_added_at_run_time_are_there_after_a_restart(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    shutil.copy(GUIDE, tmp_path / "own.gguf")
    with Server(env):
        assert kolo("load", "./own.gguf", "--ctx", "64", "--pin").returncode == 0
        assert kolo("load", "guide", "--id", "gone", "--no-wait").returncode == 0
        assert kolo("unload", "gone", "--forget", "--force").returncode == 0
    with Server(env) as server:
        assert "\n  own    ~/own.gguf\n" in server.said
        found = ps(kolo)
        assert set(found) == {"guide", "own"}
        assert found["own"]["state"] == "unloaded"
        done = kolo("complete", "hi", "-m", "own", "-n", "1")
        assert done.returncode == 8, done.stderr
        assert (ps(kolo)["own"]["ctx"], ps(kolo)["own"]["pinned"]) == (64, True)


def test_models_of_a_folder_and_of_the_line_are_known_by_their_names(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "one.gguf").symlink_to(GUIDE)
    (folder / "guide.gguf").symlink_to(GUIDE)
    (tmp_path / "line.gguf").symlink_to(GUIDE)
    arguments = ("./line.gguf", "--models-dir", str(folder), "--ctx", "64")
    with Server(env, *arguments, cwd=tmp_path) as server:
        assert f"{folder}/guide.gguf is left out: the name 'guide' is taken" in server.until("left")
        server.until("line loaded")
        found = ps(kolo)
        assert {name: engine["state"] for name, engine in found.items()} == {
            "guide": "unloaded",
            "line": "loaded",
            "one": "unloaded",
        }
        for name in ("line", "./line.gguf", str(tmp_path / "line.gguf"), "one"):
            body = {"model": name, "prompt": "a", "max_tokens": 1}
            with server.post("/v1/completions", body) as response:
                assert response.status == 200
        assert ps(kolo)["one"]["ctx"] == 64


def test_two_servers_on_one_port(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        port = server.url.rpartition(":")[2]
        done = kolo("serve", "--port", port, XDG_STATE_HOME=elsewhere(env)["XDG_STATE_HOME"])
        assert done.returncode == 2
        assert f"error: port {port} of 127.0.0.1 is in use by process {server.pid}:" in done.stderr
        assert f"try: --port {int(port) + 1}" in done.stderr
        assert ps(kolo)


def test_a_second_server_leaves_the_first_its_place(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as first:
        with Server(elsewhere(env)) as second:
            assert f"there before, at {first.url} (pid {first.pid})" in second.until("there before")
            assert second.url in second.said.splitlines()[-1]
            assert json.loads(beacon(env).read_text())["url"] == first.url
            done = kolo("load", "guide", "--url", second.url)
            assert done.returncode == 0, done.stderr
            assert ps(kolo)["guide"]["state"] == "unloaded"
            by_url = json.loads(kolo("ps", "--json", KOLO_URL=second.url).stdout)
            assert by_url[0]["state"] == "loaded"
        assert beacon(env).exists()


def lines_of(path: Path, n: int) -> list[dict[str, object]]:
    """The first lines of a monitor socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        with client.makefile() as stream:
            return [json.loads(stream.readline()) for _ in range(n)]


def test_it_says_what_it_does_on_a_socket_of_its_owner(env: dict[str, str], kolo: Kolo) -> None:
    path = Path(kolo("path", "monitor").stdout.strip())
    with Server(env) as server:
        hello, started, *_ = lines_of(path, 3)
        assert hello["server"]["url"] == server.url  # type: ignore[index]
        assert hello["server"]["pid"] == server.pid  # type: ignore[index]
        assert started["kind"] == "server"
        assert path.stat().st_mode & 0o777 == 0o600
        with Server(elsewhere(env)) as second:
            second.until("cannot see this server: another server speaks at")
            assert lines_of(path, 1)[0]["server"] == hello["server"]
        assert lines_of(path, 1)[0]["server"] == hello["server"]
        server.process.kill()
        server.process.wait()
    assert path.exists()
    with Server(env) as after:
        assert lines_of(path, 1)[0]["server"]["pid"] == after.pid  # type: ignore[index]
    assert not path.exists()


def test_beyond_this_machine_only_when_it_is_said(env: dict[str, str], kolo: Kolo) -> None:
    done = kolo("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "try: kolo keys create NAME, --host 127.0.0.1, or --allow-unauthenticated" in done.stderr
    with Server(env, "--host", "0.0.0.0", "--allow-unauthenticated") as server:
        assert server.url.startswith("http://127.0.0.1:")
        server.until("whoever can reach this machine can use it")
        assert ps(kolo)


def test_local_and_files_that_the_server_does_not_have_use_no_server(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    (tmp_path / "other.gguf").symlink_to(GUIDE)
    with Server(env) as server:
        for where in (("--local",), ("-m", "./other.gguf")):
            assert kolo("complete", "hi", *where).returncode == 0
        assert ps(kolo)["guide"]["state"] == "unloaded"
        done = kolo("complete", "hi", "-m", "./other.gguf", "--url", server.url)
        assert done.returncode == 4
        assert "try: kolo load ./other.gguf, or --local" in done.stderr
        assert kolo("load", "./other.gguf").returncode == 0
        assert kolo("complete", "hi", "-m", "./other.gguf", "--url", server.url).returncode == 0


@pytest.mark.parametrize(
    "command", [["ps"], ["load", "guide"], ["unload", "guide"], ["complete", "hi"]]
)
def test_no_server_at_an_address_is_exit_3(kolo: Kolo, command: list[str]) -> None:
    done = kolo(*command, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(
        "error: no server answers at http://127.0.0.1:1\n  try: kolo serve"
    )


# Stopping ------------------------------------------------------------------------------------


def test_a_signal_lets_running_answers_end(env: dict[str, str]) -> None:
    with Server(env, "--ctx", "512") as server:
        body = {"model": "guide", "prompt": "one", "stream": True, "max_tokens": 100}
        with server.post("/v1/completions", {**body, "ignore_eos": True}) as response:
            assert response.readline().startswith(b"data:")
            server.process.send_signal(signal.SIGTERM)
            server.until("stopping: 1 request to end first")
            rest = response.read()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert b'"finish_reason":"length"' in rest
        assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_at_once_and_every_stream_is_told(env: dict[str, str]) -> None:
    with Server(env, "--ctx", "200000") as server, server.endless() as response:
        server.process.send_signal(signal.SIGINT)
        server.until("stopping: 1 request to end first (Ctrl-C again ends at once)")
        server.process.send_signal(signal.SIGINT)
        assert b'"engine_stopped"' in response.read()
        assert server.process.wait(PATIENCE_S) == 0
        server.until("stopped")


def test_a_terminal_that_closes_stops_it_too(env: dict[str, str]) -> None:
    with Terminal([sys.executable, "-m", "kolo", "serve", "guide", "--port", "0"], env) as terminal:
        terminal.expect("guide loaded")
        workers = workers_of(terminal.process.pid)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), terminal._fd)  # closes our side, as a terminal's window does
        assert terminal.process.wait(PATIENCE_S) == 0
    assert not beacon(env).exists()
    assert all(gone(pid) for pid in workers)


def test_a_server_that_is_killed_ends_an_answer_with_a_clear_error(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    (tmp_path / "grammar").write_text("root ::= [a-z]{9999}")
    asking = [sys.executable, "-m", "kolo", "complete", "a", "--grammar", str(tmp_path / "grammar")]
    with (
        Server(env, "--ctx", "20000") as server,
        subprocess.Popen(asking, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked,
    ):
        assert asked.stdout is not None
        assert asked.stdout.read(1)
        server.process.kill()
        _, error = asked.communicate(timeout=PATIENCE_S)
        assert asked.returncode == 3
        assert error.startswith(f"error: the server at {server.url} went away".encode())
    assert beacon(env).exists()
    done = kolo("ps")
    assert (done.returncode, done.stdout) == (3, "")
    assert not beacon(env).exists()
