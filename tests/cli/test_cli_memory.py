"""Would it fit, and what happens when it does not: a real server and its real workers."""

from __future__ import annotations

import json
import resource
from importlib.resources import files
from typing import Any

import psutil
from cli_server import Server
from running import Kolo

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
GIB = 1 << 30


def ask(server: Server, model: str, text: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 8,
    }
    with server.post("/v1/chat/completions", body) as reply:
        told: Any = json.load(reply)
    answer: str = told["choices"][0]["message"]["content"]
    return answer


def test_a_dry_run_tells_and_loads_nothing(env: dict[str, str], kolo: Kolo) -> None:
    alone = kolo("load", "guide", "--ctx", "1024", "--dry-run")
    assert alone.returncode == 0, alone.stderr
    assert "it fits" in alone.stdout
    with Server(env) as server:
        args = ("load", "guide", "--ctx", "1024", "--dry-run", "--json", "--url", server.url)
        told = json.loads(kolo(*args).stdout)
        assert told["verdict"] == "go"
        assert told["estimate"]["n_ctx"] == 1024
        parts = ("weights_bytes", "kv_bytes", "compute_bytes", "process_bytes")
        assert sum(told["estimate"][part] for part in parts) == told["need"]["host"]
        engines = json.loads(kolo("ps", "--json", "--url", server.url).stdout)
        assert [engine["state"] for engine in engines] == ["unloaded"]


def test_a_dry_run_of_what_does_not_fit_exits_with_5_and_says_what_would(
    env: dict[str, str], kolo: Kolo
) -> None:
    args = ("load", "guide", "--ctx", "64000000", "--parallel", "64", "--dry-run")
    with Server(env) as server:
        for more in ((), ("--url", server.url)):
            told = kolo(*args, *more)
            assert told.returncode == 5
            assert "too few" in told.stdout
            assert "It would fit with" in told.stdout


def test_a_dry_run_names_what_would_be_unloaded(env: dict[str, str], kolo: Kolo) -> None:
    with Server({**env, "KOLO_MANAGER_MEMORY_BUDGET": "200MiB"}) as server:
        ask(server, "guide", "Hi")
        told = kolo("load", GUIDE, "--id", "own", "--dry-run", "--url", server.url)
        assert told.returncode == 0, told.stdout
        assert "unloaded, which are idle: guide" in told.stdout
        assert kolo("load", GUIDE, "--id", "own", "--url", server.url).returncode == 0
        engines = json.loads(kolo("ps", "--json", "--url", server.url).stdout)
        states = {engine["engine_id"]: engine["state"] for engine in engines}
        assert states == {"guide": "unloaded", "own": "loaded"}


def test_a_load_without_memory_exits_with_5(env: dict[str, str], kolo: Kolo) -> None:
    with Server({**env, "KOLO_MANAGER_MEMORY_BUDGET": "50MiB"}) as server:
        told = kolo("load", "guide", "--url", server.url)
    assert told.returncode == 5
    assert "too few" in told.stderr


def test_a_worker_that_finds_no_memory_is_told_as_that_and_the_server_goes_on(
    env: dict[str, str], kolo: Kolo
) -> None:
    """Workers inherit a limit on their address space; by the numbers of the machine it fits."""
    with Server(env) as server:
        psutil.Process(server.pid).rlimit(resource.RLIMIT_AS, (3 * GIB, 3 * GIB))
        text = ask(server, "guide", "Hi")
        args = ("--id", "large", "--ctx", "500000", "--parallel", "4", "--url", server.url)
        told = kolo("load", GUIDE, *args)
        assert told.returncode == 5, told.stderr
        assert "memory" in told.stderr
        assert "ctx" in told.stderr
        engines = json.loads(kolo("ps", "--json", "--url", server.url).stdout)
        states = {engine["engine_id"]: engine["state"] for engine in engines}
        assert states["large"] == "failed"
        assert states["guide"] == "unloaded", "it was idle, and made room for the second try"
        assert ask(server, "guide", "Hi") == text
