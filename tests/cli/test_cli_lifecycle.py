"""The life of ``kolo serve`` under a supervisor: systemd's socket, signals, drains, its folders."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo, gone, workers_of


@pytest.fixture(autouse=True)
def frugal(env: dict[str, str]) -> None:
    env["KOLO_ENGINE_THREADS"] = "1"


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.heard: list[dict[str, str]] = []

    def until(self, name: str, value: str = "") -> dict[str, str]:
        """The next message that has ``name``, with ``value`` in it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._sock.settimeout(max(deadline - time.monotonic(), 0.01))
            data = self._sock.recv(8192).decode()
            self.heard.append(dict(line.split("=", 1) for line in data.splitlines()))
            if name in self.heard[-1] and value in self.heard[-1][name]:
                return self.heard[-1]


@pytest.fixture
def systemd(env: dict[str, str], tmp_path: Path) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        env["NOTIFY_SOCKET"] = sock.getsockname()
        yield Systemd(sock)


def test_systemd_is_told_when_it_is_ready_alive_and_stopping(
    env: dict[str, str], systemd: Systemd
) -> None:
    env["WATCHDOG_USEC"] = "200000"
    with Server(env, "guide", "--ctx", "64", "--stop-timeout", "7s") as server:
        ready = systemd.until("READY")
        assert ready["STATUS"] == f"serves at {server.url} · loaded: nothing"
        with urlopen(f"{server.url}/health", timeout=PATIENCE_S) as response:  # it means it
            assert response.status == 200
        assert systemd.until("STATUS", "loaded: guide")
        systemd.until("WATCHDOG", "1")
        systemd.until("WATCHDOG", "1")
        assert (
            b"NOTIFY_SOCKET" not in Path(f"/proc/{workers_of(server.pid)[0]}/environ").read_bytes()
        )
        server.process.terminate()
        stopping = systemd.until("STOPPING", "1")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 7_000_000
        assert server.process.wait(PATIENCE_S) == 0


def test_no_watchdog_no_beats(env: dict[str, str], systemd: Systemd) -> None:
    with Server(env) as server:
        systemd.until("READY")
        assert server.stop() == 0
        systemd.until("STOPPING")
    assert not any("WATCHDOG" in heard for heard in systemd.heard)


# Stopping ------------------------------------------------------------------------------------


class Stream(threading.Thread):
    """Reads one stream to its end."""

    def __init__(self, server: Server, path: str, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._ask = (server, path, {"model": "guide", "stream": True, "ignore_eos": True, **body})
        self.began = threading.Event()
        self.text = b""
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        server, path, body = self._ask
        try:
            with server.post(path, body) as response:
                self.began.set()
                self.text = response.read()
        except Exception as error:  # told to the test, which looks at every stream
            self.failure = error
            self.began.set()


def test_sigterm_during_twenty_streams_ends_each_of_them_properly(env: dict[str, str]) -> None:
    with Server(env, "--ctx", "100000", "--parallel", "4", "--stop-timeout", "3s") as server:
        asks: list[tuple[str, dict[str, Any]]] = [
            ("/v1/completions", {"prompt": "one", "max_tokens": 90_000}),
            (
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": "one"}], "max_tokens": 90_000},
            ),
            ("/completion", {"prompt": "one", "n_predict": 90_000}),
        ]
        short = [Stream(server, "/v1/completions", {"prompt": "a", "max_tokens": 2})]
        long = [Stream(server, *asks[at % len(asks)]) for at in range(19)]
        for stream in short + long[:1]:
            assert stream.began.wait(PATIENCE_S)
        waiting_for(lambda: in_flight(server) >= 19)
        server.process.send_signal(signal.SIGTERM)
        server.until("stopping: ")
        refused(server)
        assert server.process.wait(PATIENCE_S) == 0
        for stream in short + long:
            stream.join(PATIENCE_S)
            assert stream.failure is None or isinstance(stream.failure, HTTPError), stream.failure
    assert short[0].text.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"length"' in short[0].text
    for stream in long:
        if isinstance(stream.failure, HTTPError):  # it waited for a slot, and got none in time
            with stream.failure as failure:
                assert failure.code == 503
            continue
        *_, last, end = stream.text.split(b"\n\n")
        assert end == b"", stream.text[-300:]
        # No [DONE]: what was cut off must not pass for whole.
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_stopped"


def waiting_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_flight(server: Server) -> int:
    with urlopen(f"{server.url}/engines", timeout=PATIENCE_S) as response:
        return sum(engine["in_flight"] for engine in json.load(response)["engines"])


def refused(server: Server) -> None:
    """New work is turned away: told to come again, or not let in."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 (of whatever kind)
        server.post("/v1/completions", {"model": "guide", "prompt": "a"}).close()
    error = caught.value
    if isinstance(error, HTTPError):
        with error:
            assert error.code == 503
            assert int(error.headers["Retry-After"]) > 0
            assert json.load(error)["error"]["code"] == "engine_stopped"


# Its folders ---------------------------------------------------------------------------------


def test_a_second_server_on_the_state_folder_is_told_who_has_it(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    with Server(env) as first:
        done = kolo("serve", "--port", "0")
        assert done.returncode == 2
        assert done.stdout == ""
        assert re.search(
            rf"error: another server keeps its state in {tmp_path}/state/kolo: "
            rf"process {first.pid}, at {first.url}\n  try: stop it first",
            done.stderr,
        )
        first.process.kill()
        first.process.wait()
    with Server(env):  # nothing of a killed one is in the way
        pass


def test_a_disk_that_is_full_is_told_of_and_served_on(env: dict[str, str], kolo: Kolo) -> None:
    """No file may grow at all: as a full disk, and stricter."""
    line = f"ulimit -f 0; exec {sys.executable} -B -m kolo serve --port 0 --ctx 64"
    with Limited(env, line) as server:
        body = {"model": "guide", "prompt": "a", "max_tokens": 2}
        with server.post("/v1/completions", body) as response:
            assert json.load(response)["usage"]["completion_tokens"] == 2
        with pytest.raises(HTTPError) as caught:
            server.post("/models/load", {"model": "guide", "id": "other", "wait": True})
        with caught.value as error:
            assert "cannot write" in json.load(error)["error"]["message"]
        assert server.stop() == 0
    assert "other commands need --url" in server.said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("trouble", ["read-only", "full"])
def test_a_state_folder_that_takes_nothing_is_told_of_and_served_on(
    env: dict[str, str], small_disk: Path, trouble: str
) -> None:
    (small_disk / "kolo").mkdir()
    if trouble == "full":
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "ballast").write_bytes(b"x" * (1 << 20))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    env["XDG_STATE_HOME"] = str(small_disk)
    with Server(env, "--ctx", "64") as server:
        body = {"model": "guide", "prompt": "a", "max_tokens": 2}
        with server.post("/v1/completions", body) as response:
            assert json.load(response)["usage"]["completion_tokens"] == 2
        server.until(f"the history cannot be written to {small_disk}")
        if trouble == "read-only":
            server.until(f"the state folder {small_disk}/kolo cannot be written: Read-only")
        assert server.stop() == 0


class Limited(Server):
    """A server that a shell starts."""

    def __init__(self, env: dict[str, str], line: str) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=env["HOME"],
        )
        self.said = ""
        self.url = ""


def test_a_state_folder_that_cannot_be_made_is_refused_with_what_to_do(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    env["XDG_STATE_HOME"] = str(tmp_path / "file")
    done = kolo("serve", "--port", "0")
    assert done.returncode == 2
    assert "cannot make the folder" in done.stderr
    assert "try: set KOLO_HOME" in done.stderr


def test_a_typo_in_the_settings_is_told_with_its_place(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    file = tmp_path / "config" / "kolo" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[server]\n\nstop_timeuot = 3\n")
    done = kolo("serve")
    assert done.returncode == 2
    assert f"{file}:3" in done.stderr
    assert "stop_timeout" in done.stderr


def test_a_worker_that_is_stopped_is_ended_and_its_requests_are_told(env: dict[str, str]) -> None:
    with Server(env, "guide", "--ctx", "200000", "--manager-hang-timeout", "20s") as server:
        server.until("guide loaded")
        stream = Stream(server, "/v1/completions", {"prompt": "a", "max_tokens": 90_000})
        assert stream.began.wait(PATIENCE_S)
        (worker,) = workers_of(server.pid)
        os.kill(worker, signal.SIGSTOP)
        stream.join(PATIENCE_S)
        assert b'"engine_crashed"' in stream.text
        assert b"hung: it did not answer" in stream.text
        waiting_for(lambda: gone(worker))
        body = {"model": "guide", "prompt": "a", "max_tokens": 2}
        with server.post("/v1/completions", body) as response:
            assert json.load(response)["usage"]["completion_tokens"] == 2
        assert workers_of(server.pid) != [worker]
