"""What survives a swap and a restart: a real server, the real model, real files."""

from __future__ import annotations

import json
import os
import signal
from importlib.resources import files
from pathlib import Path
from typing import Any

import psutil
from cli_server import PATIENCE_S, Server
from running import Kolo

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
LONG = "What is a KV cache, and why is it kept? " * 12


def ask(server: Server, model: str, text: str = LONG) -> tuple[str, int]:
    """The greedy answer, and how many tokens of the prompt were not computed."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 16,
    }
    with server.post("/v1/chat/completions", body) as reply:
        told = json.load(reply)
    cached = told["usage"]["prompt_tokens_details"]["cached_tokens"]
    return told["choices"][0]["message"]["content"], cached


def post(server: Server, path: str, **body: Any) -> Any:
    with server.post(path, body) as reply:
        return json.load(reply)


def kept(kolo: Kolo) -> list[Path]:
    return sorted(Path(kolo("path", "prefixes").stdout.strip()).rglob("*.kv"))


def test_engines_and_their_prefixes_are_back_after_a_restart(
    env: dict[str, str], kolo: Kolo
) -> None:
    with Server(env) as server:
        told = kolo("load", GUIDE, "--id", "own", "--ctx", "1024", "--url", server.url)
        assert told.returncode == 0, told.stderr
        text, cached = ask(server, "own")
        assert cached == 0
        assert server.stop() == 0
    assert "saved: 1" in server.said
    assert [path.stat().st_mode & 0o777 for path in kept(kolo)] == [0o600]
    assert Path(kolo("path", "prefixes").stdout.strip()).stat().st_mode & 0o077 == 0
    with Server(env) as server:
        engines = json.loads(kolo("ps", "--json", "--url", server.url).stdout)
        assert "own" in [engine["engine_id"] for engine in engines]
        again, cached = ask(server, "own")
    assert again == text
    assert cached > 100


def test_an_unloaded_model_goes_on_where_it_was(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        text, _ = ask(server, "guide")
        post(server, "/models/unload", model="guide")
        assert len(kept(kolo)) == 1
        assert ask(server, "guide")[0] == text
        shown = json.loads(kolo("show", "guide", "--json").stdout)
        assert shown["saved_prefixes"] == 1
        assert shown["saved_bytes"] == kept(kolo)[0].stat().st_size
        post(server, "/models/load", model="guide", wait=True)
        post(server, "/models/unload", model="guide")
        again, cached = ask(server, "guide")
        assert again == text
        assert cached > 100


def test_it_is_off_with_one_setting(env: dict[str, str], kolo: Kolo) -> None:
    with Server({**env, "KOLO_CACHE_SAVE": "false"}) as server:
        ask(server, "guide")
        post(server, "/models/unload", model="guide")
        assert kept(kolo) == []
        assert ask(server, "guide")[1] == 0
        server.stop()
    assert kept(kolo) == []


def test_no_more_is_kept_than_the_limit_says(env: dict[str, str], kolo: Kolo) -> None:
    with Server({**env, "KOLO_CACHE_MAX_SIZE": "1MiB"}) as server:
        for n in range(4):
            ask(server, "guide", f"{n} {LONG}")
        server.stop()
    sizes = [path.stat().st_size for path in kept(kolo)]
    assert sizes
    assert sum(sizes) <= 1 << 20
    assert "not saved" in server.said


def test_they_can_be_removed(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        ask(server, "guide")
        server.stop()
    assert len(kept(kolo)) == 1
    (dry,) = json.loads(kolo("prune", "--cache", "--dry-run", "--json").stdout)["removed"]
    assert dry["kind"] == "prefix"
    assert len(kept(kolo)) == 1
    assert kolo("prune", "--yes").returncode == 0
    assert len(kept(kolo)) == 1, "only when asked for"
    assert kolo("prune", "--cache", "--yes").returncode == 0
    assert kept(kolo) == []


def test_forgetting_an_engine_forgets_them(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        kolo("load", GUIDE, "--id", "own", "--url", server.url)
        ask(server, "own")
        assert kolo("unload", "own", "--forget", "--url", server.url).returncode == 0
    assert kept(kolo) == []


def test_a_server_that_is_killed_leaves_whole_files(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        text, _ = ask(server, "guide")
        post(server, "/models/unload", model="guide")
        ask(server, "guide")
        workers = psutil.Process(server.pid).children()
        os.kill(server.pid, signal.SIGKILL)
        psutil.wait_procs(workers, timeout=PATIENCE_S)
    with Server(env) as server:
        assert ask(server, "guide")[0] == text
        server.stop()
    assert len(kept(kolo)) == 1


def test_a_folder_that_cannot_be_written_to_is_told_and_nothing_else_suffers(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    folder = Path(kolo("path", "prefixes").stdout.strip())
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    with Server(env) as server:
        text, _ = ask(server, "guide")
        post(server, "/models/unload", model="guide")
        assert "not saved" in server.until("not saved")
        assert ask(server, "guide")[0] == text
