"""``kolo pull`` from a web server on loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_server import Server
from hub_server import hub_server
from origin import Fault, Origin
from pty_terminal import Terminal
from running import Kolo
from stores import model

from kolo.config import Settings
from kolo.models.resolve import resolve
from kolo.models.store import Store

PATIENCE_S = 30.0


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin().running() as origin:
        yield origin


@pytest.fixture
def store(env: dict[str, str]) -> Store:
    return Store(Path(env["XDG_DATA_HOME"]) / "kolo" / "models")


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def partial_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in store.partial.glob("*.part"))


def test_the_plan_comes_before_the_first_byte_and_a_dry_run_ends_there(
    kolo: Kolo, origin: Origin, store: Store, tmp_path: Path
) -> None:
    body = model(tmp_path).read_bytes()
    origin.put("/m.gguf", body)
    url = f"{origin.url}/m.gguf"
    done = kolo("pull", url, "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        url,
        "m.gguf",
        "name",
        "size",
        "disk",
        "memory",
    ]
    (plan,) = events(kolo("pull", url, "--dry-run", "--jsonl").stdout)
    assert (plan["event"], plan["name"], plan["size_bytes"]) == ("plan", "m", len(body))
    assert (plan["fits_disk"], plan["fits_memory"], plan["there"]) == (True, True, "")
    assert store.models() == {}
    assert partial_bytes(store) == 0


def test_json_is_one_document_with_the_progress_as_lines_beside_it(
    kolo: Kolo, origin: Origin, store: Store, tmp_path: Path
) -> None:
    body = model(tmp_path).read_bytes()
    origin.put("/m.gguf", body)
    done = kolo("pull", f"{origin.url}/m.gguf", "--json")
    assert json.loads(done.stdout)["event"] == "done"
    seen = [each["done_bytes"] for each in events(done.stderr) if each["event"] == "progress"]
    assert seen == sorted(seen)
    assert seen[-1] == len(body)


def test_a_pull_is_there_and_a_second_one_fetches_nothing(
    kolo: Kolo, origin: Origin, store: Store, tmp_path: Path
) -> None:
    body = model(tmp_path).read_bytes()
    origin.put("/m.gguf", body)
    told = events(kolo("pull", f"{origin.url}/m.gguf", "--jsonl").stdout)
    assert [told[0]["event"], told[-1]["event"], told[-1]["new"]] == ["plan", "done", True]
    seen = [each["done_bytes"] for each in told if each["event"] == "progress"]
    assert seen == sorted(seen)
    assert seen[-1] == len(body)
    assert store.path("m", store.get("m").version).read_bytes() == body
    fetched = len(origin.gets("/m.gguf"))
    for reference in (f"{origin.url}/m.gguf", "m"):
        done = kolo("pull", reference)
        assert done.returncode == 0
        assert "already" in done.stderr
    assert len(origin.gets("/m.gguf")) == fetched


def test_a_name_that_changed_upstream_becomes_a_new_version(
    kolo: Kolo, origin: Origin, store: Store, tmp_path: Path
) -> None:
    origin.put("/m.gguf", model(tmp_path, 1).read_bytes())
    assert kolo("pull", f"{origin.url}/m.gguf", "--name", "mine").returncode == 0
    first = store.get("mine").current
    origin.put("/m.gguf", model(tmp_path, 2).read_bytes(), etag='"v2"')
    done = kolo("pull", "mine")
    assert done.returncode == 0
    assert "kolo rollback mine" in done.stderr
    assert store.get("mine").current != first
    assert kolo("rollback", "mine").returncode == 0
    assert "is that version again" in kolo("pull", "mine").stderr
    assert store.get("mine").current != first


def test_two_models_of_one_name_from_two_places_stay_apart(
    kolo: Kolo, origin: Origin, store: Store, tmp_path: Path
) -> None:
    origin.put("/a/m.gguf", model(tmp_path, 1).read_bytes())
    origin.put("/b/m.gguf", model(tmp_path, 2).read_bytes())
    origin.put("/guide.gguf", model(tmp_path, 3).read_bytes())
    for path in ("a/m", "b/m", "guide"):
        assert kolo("pull", f"{origin.url}/{path}.gguf").returncode == 0
    assert sorted(store.models()) == ["guide-2", "m", "m-2"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_pull_that_is_stopped_goes_on_from_there(
    kolo: Kolo, env: dict[str, str], origin: Origin, store: Store, tmp_path: Path, how: int
) -> None:
    body = model(tmp_path).read_bytes()
    file = origin.put("/m.gguf", body, hold_at=len(body) // 2)
    url = f"{origin.url}/m.gguf"
    pulling = subprocess.Popen(
        [sys.executable, "-m", "kolo", "pull", url],
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE_S
    while partial_bytes(store) < len(body) // 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pulling.send_signal(how)
    out, err = pulling.communicate(timeout=PATIENCE_S)
    assert out == b""
    assert pulling.returncode == (128 + how if how != signal.SIGKILL else -how)
    if how != signal.SIGKILL:
        assert f"kolo pull {url} goes on from there".encode() in err
    assert store.models() == {}
    assert partial_bytes(store) == len(body) // 2
    file.hold_at = None
    done = kolo("pull", url)
    assert done.returncode == 0, done.stderr
    assert "of it here" in done.stderr
    assert origin.gets("/m.gguf")[-1].headers["Range"] == f"bytes={len(body) // 2}-"
    assert store.path("m", store.get("m").version).read_bytes() == body


@pytest.mark.parametrize(
    "body", [b"<html>no</html>" * 100, b"GGUF\x03\0\0\0" + b"\xff" * 200, b"GGUF" + b"\0" * 50]
)
def test_what_is_no_model_does_not_enter_the_store(
    kolo: Kolo, origin: Origin, store: Store, body: bytes
) -> None:
    origin.put("/m.gguf", body)
    done = kolo("pull", f"{origin.url}/m.gguf")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: " in done.stderr
    assert store.models() == {}
    assert partial_bytes(store) == 0
    assert kolo("prune", "--dry-run").stdout == ""


def test_pulls_of_one_file_at_the_same_time_share_it(
    env: dict[str, str], origin: Origin, store: Store, tmp_path: Path
) -> None:
    body = model(tmp_path).read_bytes()
    origin.put("/m.gguf", body, block_s=0.01)
    command = [sys.executable, "-m", "kolo", "pull", f"{origin.url}/m.gguf"]
    pulls = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE) for _ in range(3)]
    said = [pull.communicate(timeout=PATIENCE_S)[1].decode() for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0, 0, 0], said
    assert len(store.get("m").versions) == 1
    assert store.path("m", store.get("m").version).read_bytes() == body
    assert partial_bytes(store) == 0


def test_a_terminal_gets_a_bar_that_never_goes_back(
    env: dict[str, str], origin: Origin, store: Store, tmp_path: Path
) -> None:
    body = model(tmp_path).read_bytes()
    cut = origin.put("/m.gguf", body, block_s=0.02)
    cut.faults.append(Fault(cut_after=len(body) // 2))
    with Terminal([sys.executable, "-m", "kolo", "pull", f"{origin.url}/m.gguf"], env) as terminal:
        shown = terminal.expect("m is there")
        assert terminal.process.wait(20) == 0
    done = [line.split(" of ")[0].split()[-2] for line in shown.split("\r") if " kB of " in line]
    amounts = [float(each) for each in done]
    assert amounts == sorted(amounts)
    assert amounts


# From the hub --------------------------------------------------------------------------------


def test_pull_load_chat_and_remove_as_one_story(
    kolo: Kolo, env: dict[str, str], store: Store
) -> None:
    guide = resolve("guide", Settings()).path.read_bytes()
    with hub_server() as hub:
        hub.put("kolo-llm/guide-GGUF", {"guide-Q8_0.gguf": guide, "README.md": b"x"})
        done = kolo("pull", "kolo-llm/guide-GGUF", HF_ENDPOINT=hub.api.url)
        assert done.returncode == 0, done.stderr
        again = kolo("pull", "hf:kolo-llm/guide-GGUF:Q8_0", "--jsonl", HF_ENDPOINT=hub.api.url)
        assert [event["event"] for event in events(again.stdout)] == ["plan", "done"]
    name = "kolo-llm/guide-GGUF:Q8_0"
    assert name in done.stderr
    assert list(store.models()) == [name]
    assert store.get(name).version.source == "hf:kolo-llm/guide-GGUF:Q8_0"
    with Server(env) as server:
        assert f"{name} is loaded" in kolo("load", "kolo-llm/guide").stderr
        chat = [sys.executable, "-m", "kolo", "chat", "-m", "guide-GGUF"]
        with Terminal(chat, env) as terminal:
            terminal.expect(server.url)
            terminal.expect(">")
            terminal.type("What is a slot?\n")
            assert "slot" in terminal.expect("tok/s")
            terminal.expect(">")
            terminal.type("\x04")
            assert terminal.process.wait(20) == 0
        done = kolo("rm", name, "--yes")
        assert f"kolo unload {name}" in done.stderr
    assert store.models() == {}
