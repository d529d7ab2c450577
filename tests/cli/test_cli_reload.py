"""Settings read anew by a server that runs: by signal, by HTTP and by ``kolo reload``."""

from __future__ import annotations

import json
import signal
import socket
import time
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))


class Config:
    """The settings file of a test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config" / "kolo" / "config.toml"
        self.file.parent.mkdir(parents=True)

    def write(self, rest: str = "", **models: int) -> None:
        """``rest``, and models by name with their context."""
        sections = [
            f'[models.{name}]\npath = "{GUIDE}"\nctx = {ctx}\nthreads = 1\n'
            for name, ctx in models.items()
        ]
        self.file.write_text(f"{rest}\n" + "".join(sections))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


def engines(server: Server) -> dict[str, dict[str, Any]]:
    with urlopen(f"{server.url}/engines", timeout=PATIENCE_S) as response:
        return {engine["engine_id"]: engine for engine in json.load(response)["engines"]}


def ask(server: Server, model: str) -> int:
    """A short answer; its tokens."""
    body = {"model": model, "prompt": "a", "max_tokens": 2, "ignore_eos": True}
    with server.post("/v1/completions", body) as response:
        tokens: int = json.load(response)["usage"]["completion_tokens"]
        return tokens


def endless(server: Server, model: str) -> Any:
    body = {"model": model, "prompt": "a", "stream": True, "max_tokens": -1, "ignore_eos": True}
    response = server.post("/v1/completions", body)
    assert response.readline().startswith(b"data:")
    return response


def reload(server: Server) -> dict[str, Any]:
    request = Request(f"{server.url}/models?reload=1", b"", method="POST")
    with urlopen(request, timeout=PATIENCE_S) as response:
        told: dict[str, Any] = json.load(response)
        return told


def test_a_reload_during_streams_touches_only_what_changed(
    env: dict[str, str], config: Config
) -> None:
    config.write(same=100_000, other=3000, gone=3000, idle=64)
    with Server(env) as server:
        assert ask(server, "idle") == 2
        with (
            endless(server, "same") as same,
            endless(server, "other") as other,
            endless(server, "gone") as gone,
        ):
            before = engines(server)
            config.write("[manager]\nmax_queue = 7", same=100_000, other=128, new=64, idle=96)
            server.process.send_signal(signal.SIGHUP)
            server.until("settings read anew")
            # Streams of engines that are other now, or gone, come to their own end.
            for response in (other, gone):
                assert response.read().endswith(b"data: [DONE]\n\n")
            assert engines(server)["same"]["pid"] == before["same"]["pid"]
            assert same.readline() == b"\n"
            assert same.readline().startswith(b"data:")
        for model in ("same", "other", "new", "idle"):
            assert ask(server, model) == 2
        after = engines(server)
        assert after["same"]["pid"] == before["same"]["pid"]
        assert (after["other"]["ctx"], after["idle"]["ctx"]) == (128, 96)
        assert "gone" not in after
        with pytest.raises(HTTPError) as caught:
            ask(server, "gone")
        with caught.value as error:
            assert error.code == 404
        assert "engines removed: gone" in server.said
        assert "engines to be loaded anew: " in server.said


def test_settings_with_a_mistake_change_nothing_and_say_where(
    env: dict[str, str], kolo: Kolo, config: Config, tmp_path: Path
) -> None:
    config.write(one=64)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        env["NOTIFY_SOCKET"] = systemd.getsockname()
        with Server(env) as server:
            assert ask(server, "one") == 2
            pid = engines(server)["one"]["pid"]
            config.write("[server]\nstop_timeuot = 3\n", one=128, two=64)
            where = f"{config.file}:2"

            with pytest.raises(HTTPError) as caught:
                reload(server)
            with caught.value as error:
                told = json.load(error)["error"]
                assert (error.code, told["code"]) == (422, "invalid_config")
            assert where in told["message"]

            server.process.send_signal(signal.SIGHUP)
            server.until("settings not changed: ")
            assert where in server.said

            while where not in (message := systemd.recv(8192).decode()):
                pass
            assert "READY=1" in message  # the reload is over, and it serves as before
            assert {name: one["pid"] for name, one in engines(server).items() if one["pid"]} == {
                "one": pid
            }
            assert "two" not in engines(server)
            done = kolo("logs", "--json", "--url", server.url, KOLO_CONFIG=str(empty(tmp_path)))
            lines = json.loads(done.stdout)
            assert any(where in line["message"] and line["level"] == "ERROR" for line in lines)


def empty(folder: Path) -> Path:
    file = folder / "empty.toml"
    file.touch()
    return file


def test_what_needs_a_restart_is_named_each_time(
    env: dict[str, str], kolo: Kolo, config: Config
) -> None:
    config.write("[server]\nheartbeat = '9s'\n", one=64)
    with Server(env) as server:
        config.write("[server]\nheartbeat = '8s'\n[history]\nmax_size = '32MiB'\n", one=64)
        first = reload(server)
        assert first["settings"] == ["server.heartbeat"]
        assert first["needs_restart"] == ["history.max_size"]
        assert (first["engines_changed"], first["engines_removed"]) == ([], [])
        done = kolo("reload", "--url", server.url)
        assert done.returncode == 0, done.stderr
        assert done.stderr == "heeded only after a restart: history.max_size\n"
        config.write("[server]\nheartbeat = '8s'\n", one=64)
        assert kolo("reload", "--url", server.url).stderr == "nothing has changed\n"
        with urlopen(f"{server.url}/models?reload=1", timeout=PATIENCE_S) as response:
            assert "one" in {model["id"] for model in json.load(response)["data"]}


def test_flags_win_over_the_file_after_a_reload_as_before(
    env: dict[str, str], config: Config, tmp_path: Path
) -> None:
    (tmp_path / "line.gguf").symlink_to(GUIDE)
    config.write("[engine]\nthreads = 1\n")
    with Server(env, "./line.gguf", "--ctx", "96", cwd=tmp_path) as server:
        server.until("line loaded")
        pid = engines(server)["line"]["pid"]
        config.write("[engine]\nthreads = 1\nctx = 64\n")
        assert reload(server)["engines_changed"] == []
        assert engines(server)["line"]["pid"] == pid


def test_the_log_can_change_while_it_runs(
    env: dict[str, str], config: Config, tmp_path: Path
) -> None:
    log = tmp_path / "kolo.log"
    with Server(env) as server:
        config.write(f"[log]\nfile = '{log}'\nformat = 'json'\naccess = true\n")
        assert reload(server)["settings"] == ["log.format", "log.file", "log.access"]
        ask(server, "guide")
        while '"access"' not in log.read_text():  # written once the answer is out
            time.sleep(0.02)
        log.rename(tmp_path / "old.log")
        server.process.send_signal(signal.SIGUSR1)
        while not log.exists():  # the signal may be a moment on its way
            ask(server, "guide")
        ask(server, "guide")
        config.write(f"[log]\nfile = '{tmp_path}/none/kolo.log'\n")
        with pytest.raises(HTTPError) as caught:
            reload(server)
        with caught.value as error:
            assert "log.file: cannot write" in json.load(error)["error"]["message"]
        assert server.stop() == 0
    records = [json.loads(line) for line in (tmp_path / "old.log").read_text().splitlines()]
    assert any(record.get("event") == "access" for record in records)
    assert any(record.get("event") == "loaded" for record in records)
    last = [json.loads(line) for line in log.read_text().splitlines()]
    assert last[-1]["event"] == "stopped"


def test_an_operator_sees_a_reload_among_the_events(
    env: dict[str, str], kolo: Kolo, config: Config
) -> None:
    config.write(one=64)
    path = kolo("path", "monitor").stdout.strip()
    with Server(env) as server, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        with client.makefile() as stream:
            config.write("[manager]\nmax_queue = 9\n", one=64)
            reload(server)
            while '"kind":"config"' not in (line := stream.readline()):
                assert line
        assert "manager.max_queue" in json.loads(line)["text"]
