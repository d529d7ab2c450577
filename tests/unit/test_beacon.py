"""Finding a running server: in order, and only a Kolo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kolo import beacon
from kolo.beacon import Beacon, find_server, server_url
from kolo.config import ServerSettings, Settings
from kolo.errors import UsageError
from kolo.paths import Paths, find_paths


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    env = {"KOLO_HOME": str(tmp_path)}
    find_paths(env).create()
    return env


@pytest.fixture
def paths(env: dict[str, str]) -> Paths:
    return find_paths(env)


@contextmanager
def answering(health: object) -> Iterator[str]:
    """Something that answers GET /health; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = health if isinstance(health, bytes) else json.dumps(health).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server_url("127.0.0.1", server.server_port)
        finally:
            server.shutdown()
            thread.join()


KOLO = {"status": "ok", "server": {"name": "kolo", "version": "1"}, "more": [1]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def settings(url: str | None = None) -> Settings:
    """Settings that name the address of ``url``; None is a default where nobody listens."""
    port = int(url.rpartition(":")[2]) if url else free_port()
    origins = {"server.port": "config.toml:1"} if url else {}
    return Settings(server=ServerSettings(port=port), origins=origins)


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
        return child.pid


def test_nobody_is_nowhere(env: dict[str, str]) -> None:
    assert find_server(settings(), env) is None


def test_a_server_that_left_its_address_is_found(env: dict[str, str], paths: Paths) -> None:
    with answering(KOLO) as url:
        assert beacon.light(paths, url) is None
        assert find_server(settings(), env) == url
        beacon.put_out(paths)
        assert find_server(settings(), env) is None


def test_an_address_in_the_settings_goes_before_the_file(env: dict[str, str], paths: Paths) -> None:
    with answering(KOLO) as named, answering(KOLO) as left:
        beacon.light(paths, left)
        assert find_server(settings(named), env) == named


def test_the_default_address_comes_last(env: dict[str, str], paths: Paths) -> None:
    with answering(KOLO) as default, answering(KOLO) as left:
        unnamed = Settings(server=settings(default).server)
        assert find_server(unnamed, env) == default
        beacon.light(paths, left)
        assert find_server(unnamed, env) == left


@pytest.mark.parametrize(
    "stranger",
    [{"status": "ok"}, {"server": {"name": "llama"}}, [], b"OK", b"\xff", {"server": "kolo"}],
)
def test_a_stranger_on_the_port_is_passed_over(env: dict[str, str], stranger: object) -> None:
    with answering(stranger) as url:
        assert find_server(settings(url), env) is None


def test_one_that_listens_and_says_nothing_is_passed_over(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon, "PROBE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert find_server(settings(f"http://127.0.0.1:{sock.getsockname()[1]}"), env) is None


def test_a_url_that_is_given_is_believed(env: dict[str, str]) -> None:
    assert find_server(settings(), env, url="http://elsewhere:9/") == "http://elsewhere:9"
    by_env = {**env, "KOLO_URL": "elsewhere:9"}
    assert find_server(settings(), by_env) == "http://elsewhere:9"
    assert find_server(settings(), by_env, url="https://a/b/") == "https://a/b"


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://a:0", "http://a:x", "http://a?b", "a\nb"]
)
def test_a_url_that_is_none_is_refused(env: dict[str, str], url: str) -> None:
    with pytest.raises(UsageError, match="is no address of a server"):
        find_server(settings(), env, url=url)


def test_the_file_of_a_dead_process_is_removed(env: dict[str, str], paths: Paths) -> None:
    file = paths.runtime / "server.json"
    with answering(KOLO) as url:
        file.write_text(json.dumps({"url": url, "pid": dead_pid(), "started": 0.0}))
        assert find_server(settings(), env) is None
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{}", '{"url": "a", "pid": 0, "started": 1.0}', "\x00"])
def test_a_file_that_is_none_is_removed(paths: Paths, text: str) -> None:
    file = paths.runtime / "server.json"
    file.write_text(text)
    assert beacon.read(paths) is None
    assert not file.exists()


def test_the_server_that_was_there_first_keeps_its_place(paths: Paths) -> None:
    with answering(KOLO) as first:
        other = Beacon(url=first, pid=os.getppid(), started=1.0)
        file = paths.runtime / "server.json"
        file.write_text(json.dumps({"url": first, "pid": other.pid, "started": 1.0}))
        assert beacon.light(paths, "http://127.0.0.1:1") == other
        beacon.put_out(paths)
        assert beacon.read(paths) == other
    assert beacon.light(paths, "http://127.0.0.1:1") is None  # alive, and serves no more
    assert beacon.read(paths) is not None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("box", "http://box:80"),
    ],
)
def test_every_address_is_reached_by_one(host: str, url: str) -> None:
    assert server_url(host, 80) == url
