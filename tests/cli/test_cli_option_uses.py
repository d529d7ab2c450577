"""Options that no other test has a reason to use, each for what it is there for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_server import Server
from pty_terminal import Terminal
from running import Kolo

from kolo.cli.serve import command as serve
from kolo.config import load_settings
from kolo.config.keys import LEAVES
from kolo.units import Budget, Bytes, Seconds
from kolo.values import choices, custom_kind, holds

ASK = ("Name a river.", "-n", "6", "--local", "--system", "Be brief.")


def test_the_same_seed_draws_the_same_answer(kolo: Kolo) -> None:
    drawn = ("chat", *ASK, "--temp", "2", "--seed", "7", "--top-p", "0.99", "--min-p", "0.0001")
    first = kolo(*drawn)
    assert first.stdout.strip()
    assert kolo(*drawn).stdout == first.stdout


def test_only_the_likeliest_token_is_the_greedy_answer(kolo: Kolo) -> None:
    greedy = kolo("chat", *ASK, "--temp", "0")
    assert greedy.stdout.strip()
    assert kolo("chat", *ASK, "--temp", "2", "--top-k", "1").stdout == greedy.stdout


def test_a_server_is_told_how_to_load_and_lists_its_ids(kolo: Kolo, env: dict[str, str]) -> None:
    with Server(env, "--gpu-layers", "0", "--parallel", "3"):
        done = kolo("load", "guide", "--id", "second", "--gpu-layers", "0", "--ctx", "256")
        assert done.returncode == 0, done.stderr
        assert kolo("ps", "--quiet").stdout.split() == ["guide", "second"]
        engines = {each["engine_id"]: each for each in json.loads(kolo("ps", "--json").stdout)}
    assert (engines["second"]["ctx"], engines["second"]["device_bytes"] or 0) == (256, 0)


TINY = ("-n", "2", "--rounds", "1", "--warmup", "0", "-p", "32", "--output-tokens", "4")


def test_a_sweep_climbs_until_a_goal_fails(kolo: Kolo) -> None:
    flags = ("--sweep", "--goal", "ttft<0.000001ms", "--parallel", "2", "--gpu-layers", "0")
    done = kolo("bench", *TINY, *flags, "--cached", "--json")
    assert done.returncode == 8, done.stderr
    run = json.loads(done.stdout)
    assert (run["sweep"], run["cached"]) == (True, True)
    assert [cell["load"]["concurrency"] for cell in run["cells"]] == [1]
    assert run["targets"][0]["slots"] == 2


def test_answers_that_fit_a_schema_over_the_chat_route(kolo: Kolo, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    flags = ("-w", "json", "--schema", "schema.json", "--api", "chat", "--save", "shaped")
    done = kolo("bench", *TINY, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["workloads"][0]["kind"] == "json"
    kept = kolo("bench", "history", "--last", "1", "--quiet")
    assert kept.stdout.split() == ["shaped"]


SAMPLES = {Seconds: "10m", Bytes: "1GB", Budget: "50%"}
SAMPLES_OF = {
    "engine.ctx": "512",
    "engine.lora": '[{"path": "/adapter.gguf"}]',
    "server.max_connections": "64",
    "server.socket_mode": "0660",
}
TOGETHER = {"server.tls_cert": ["--tls-key", "k.pem"], "server.tls_key": ["--tls-cert", "c.pem"]}
"""What a setting needs besides."""


def sample(key: str) -> str:
    """A value that is right for a setting."""
    kind = LEAVES[key]
    if key in SAMPLES_OF:
        return SAMPLES_OF[key]
    if (custom := custom_kind(kind)) is not None:
        return SAMPLES[custom]
    if allowed := [value for value in choices(kind) if isinstance(value, str)]:
        return allowed[0]
    if holds(kind, list):
        return "1,2"
    if holds(kind, dict):
        return "{}"
    return "1"


@pytest.mark.parametrize("name", serve.keys)
def test_every_setting_is_an_option_of_serve(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path))
    key = serve.keys[name]
    (option,) = [param for param in serve.params if param.name == name]
    value = [] if holds(LEAVES[key], bool) else [sample(key)]
    typed = [option.opts[0], *value, *TOGETHER.get(key, [])]
    with serve.make_context("serve", typed) as context:
        overrides = serve.overrides(context.params)
    assert key in overrides
    settings = load_settings(overrides=overrides)
    assert settings.origin(key) == f"flag {option.opts[0]}"


def test_a_key_has_a_limit_of_its_own(kolo: Kolo) -> None:
    made = kolo("keys", "create", "slow", "--requests-per-minute", "3", "--json")
    assert made.returncode == 0, made.stderr
    (shown,) = json.loads(kolo("keys", "ls", "--json").stdout)
    assert (shown["name"], shown["requests_per_minute"]) == ("slow", 3)


def test_a_conversation_leaves_nothing_behind_if_it_is_to(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "kolo",
        "chat",
        "--local",
        "--no-history",
        "--plain",
        "-n",
        "3",
    ]
    with Terminal(command, env) as terminal:
        terminal.expect("/help")
        terminal.expect(">")
        terminal.type("a word nobody keeps\r")
        terminal.expect("tok/s")
        terminal.expect(">")
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert json.loads(kolo("chat", "--list", "--json").stdout) == []
    kept = [file for file in (tmp_path / "state").rglob("*") if file.is_file()]
    assert not any(b"nobody keeps" in file.read_bytes() for file in kept)
