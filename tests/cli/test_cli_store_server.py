"""A running server and a store that other commands change meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo
from stores import put

from kolo.config import Settings
from kolo.models.gguf import read_header
from kolo.models.resolve import resolve
from kolo.models.store import Store

GUIDE = resolve("guide", Settings()).path


@pytest.fixture
def store(env: dict[str, str]) -> Store:
    return Store(Path(env["XDG_DATA_HOME"]) / "kolo" / "models")


def variant(folder: Path, no: int) -> Path:
    """The built-in model as another file: it ends in padding that nobody reads."""
    path = folder / f"guide-{no}.gguf"
    path.write_bytes(GUIDE.read_bytes() + bytes([no]) * 64)
    read_header(path)
    return path


def get(server: Server, path: str) -> Any:
    with urlopen(server.url + path, timeout=PATIENCE_S) as response:
        return json.load(response)


def engines(server: Server) -> dict[str, dict[str, Any]]:
    return {engine["engine_id"]: engine for engine in get(server, "/engines")["engines"]}


def ask(server: Server, model: str) -> str:
    body = {"model": model, "prompt": "What is a slot?", "max_tokens": 4, "temperature": 0}
    with server.post("/v1/completions", body) as response:
        return str(json.load(response)["choices"][0]["text"])


def stream(server: Server, model: str) -> Any:
    """An answer that goes on for long, of which the first piece was read."""
    body = {"model": model, "prompt": "one", "stream": True, "max_tokens": 600}
    response = server.post("/v1/completions", {**body, "ignore_eos": True})
    assert response.readline().startswith(b"data:")
    return response


@contextmanager
def halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_model_that_is_pulled_while_a_server_runs_is_served_at_once(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    with Server(env, "--parallel", "2", "--ctx", "1024") as server:
        assert "new" not in {model["id"] for model in get(server, "/v1/models")["data"]}
        done = kolo("pull", str(variant(tmp_path, 1)), "--copy", "--name", "new")
        assert done.returncode == 0, done.stderr
        listed = {model["id"]: model for model in get(server, "/v1/models")["data"]}
        assert listed["new"]["source"] == "store"
        assert ask(server, "new")
        assert ask(server, "ne"), "the beginning of its name will do"
        shown = json.loads(kolo("ls", "--json").stdout)
        (row,) = [row for row in shown if row["name"] == "new"]
        assert row["state"] == "loaded"
        assert row["last_used"] is not None
        done = kolo("rm", "new", "--yes")
        assert (
            "free again when the server has unloaded it\n  kolo unload new --forget" in done.stderr
        )
        assert kolo("unload", "new", "--forget").returncode == 0
        with pytest.raises(HTTPError, match="404"):
            ask(server, "new")
    assert Store(Path(env["XDG_DATA_HOME"]) / "kolo" / "models").models() == {}


def test_a_rollback_swaps_the_engine_and_no_request_fails(
    env: dict[str, str], kolo: Kolo, store: Store, tmp_path: Path
) -> None:
    first = put(store, "m", variant(tmp_path, 1)).stored.current
    second = put(store, "m", variant(tmp_path, 2)).stored.current
    with Server(env, "--parallel", "4", "--ctx", "1024") as server:
        open_streams = [stream(server, "m") for _ in range(3)]
        before = engines(server)["m"]
        assert second in before["model_path"]
        with halted(before["pid"]):  # so that none ends before it is looked at
            done = kolo("rollback", "m", "--json")
            assert json.loads(done.stdout) == {
                "name": "m",
                "version": first,
                "former": second,
                "dry_run": False,
            }
            assert ask(server, "m")
            now = engines(server)
            assert first in now["m"]["model_path"]
            assert now["m"]["pid"] != before["pid"]
            old = now[f"m@{second}"]
            assert (old["pid"], old["in_flight"]) == (before["pid"], 3)
            assert f"m@{second}" not in {model["id"] for model in get(server, "/v1/models")["data"]}
            with pytest.raises(HTTPError, match="404"):
                ask(server, f"m@{second}")
        for response in open_streams:
            with response:
                text = response.read()
            assert text.endswith(b"data: [DONE]\n\n")
            assert b'"finish_reason":"length"' in text
            assert b"error" not in text
        until(lambda: f"m@{second}" not in engines(server))
        assert ask(server, "m")


def test_an_engine_loaded_by_name_under_another_id_follows_its_model(
    env: dict[str, str], kolo: Kolo, store: Store, tmp_path: Path
) -> None:
    first = put(store, "m", variant(tmp_path, 1)).stored.current
    with Server(env) as server:
        done = kolo("load", "m", "--id", "fast", "--ctx", "512", "--parallel", "1")
        assert done.returncode == 0, done.stderr
        assert first in engines(server)["fast"]["model_path"]
        second = put(store, "m", variant(tmp_path, 2)).stored.current
        assert ask(server, "fast")
        until(lambda: second in engines(server)["fast"]["model_path"])
        assert engines(server)["fast"]["ctx"] == 512
        assert ask(server, "fast")
