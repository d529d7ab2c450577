"""``kolo bench`` as a person runs it: on the built-in model, on a server, on servers that fail."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from benching import FakeOpenAI, Script, Step, steady
from cli_server import Server
from pty_terminal import Terminal
from running import Kolo

from kolo.bench import probe
from kolo.cli import main
from kolo.cli.bench import SECTIONS, command
from kolo.cli.boundary import EXIT_CODES
from kolo.errors import OutOfMemory

TINY = ("-n", "2", "--rounds", "1", "--warmup", "0", "-p", "32", "--output-tokens", "8")


@pytest.fixture
def server(env: dict[str, str]) -> Iterator[Server]:
    with Server(env) as running:
        yield running


@contextmanager
def fake(script: Callable[[dict[str, Any]], Script]) -> Iterator[str]:
    """The address of a scripted server on a loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    made = FakeOpenAI(script)
    try:
        asyncio.run_coroutine_threadsafe(made.__aenter__(), loop).result(30)
        yield made.url
        asyncio.run_coroutine_threadsafe(made.__aexit__(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        running.join()
        loop.close()


def quick(body: dict[str, Any]) -> Script:
    """An honest server: what was asked for, at once."""
    words = len(body["prompt"].split())
    return steady(body["max_tokens"], first_s=0.001, gap_s=0.001, prompt=words)


# On the real thing -----------------------------------------------------------------------------


def test_the_built_in_model_on_a_server_of_its_own(kolo: Kolo) -> None:
    done = kolo("bench", *TINY, "-c", "1,2", "--engine", "--json")
    assert done.returncode == 0, done.stderr
    assert "measuring guide on a server of its own at http://127.0.0.1:" in done.stderr
    run = json.loads(done.stdout)
    (target,) = run["targets"]
    assert (target["kind"], target["model"], target["exact_prompts"]) == ("private", "guide", True)
    assert len(target["model_sha256"]) == 64
    samples = [sample for cell in run["cells"] for sample in cell["rounds"][0]["samples"]]
    assert len(samples) == 4
    assert {sample["prompt_tokens"] for sample in samples} == {32}
    assert {sample["output_tokens"] for sample in samples} == {8}
    assert all(sample["ttft_ms"] > 0 and sample["queue_ms"] >= 0 for sample in samples)
    rows = run["summary"]
    assert [row["load"] for row in rows] == ["1 user", "2 users"]
    assert all(row["figures"]["memory_bytes"]["max"] > 10e6 for row in rows)
    assert all(row["engine_tok_s"] > 0 for row in rows)
    assert all(row["overhead_percent"] is not None for row in rows)
    port = int(target["url"].rpartition(":")[2])
    listening = [c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN"]
    assert port not in listening


def test_the_server_that_runs_is_used_and_left_alone(kolo: Kolo, server: Server) -> None:
    done = kolo("bench", *TINY)
    assert done.returncode == 0, done.stderr
    assert f"measuring guide on the server at {server.url}" in done.stderr
    assert "a running server" in done.stdout
    assert server.process.poll() is None


def test_the_server_of_this_machine_is_measured_without_a_key(
    kolo: Kolo, env: dict[str, str]
) -> None:
    assert kolo("keys", "create", "laptop").returncode == 0
    with Server(env) as server:
        done = kolo("bench", *TINY, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["targets"][0]["url"] == server.url


def test_every_workload_has_its_answers(kolo: Kolo, server: Server) -> None:
    kinds = ("prefix", "chat", "interference", "mixed", "json")
    sizes = ("--prefix-tokens", "64", "--long-tokens", "256", "--turns", "2")
    flags = [part for kind in kinds for part in ("-w", kind)]
    # Prompts so long that having them from a cache beats computing them, wherever they lie.
    done = kolo("bench", *TINY, *sizes, *flags, "-p", "160", "-c", "2", "-o", "jsonl")
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    counts = {kind: sum(s["workload"].startswith(kind) for s in samples) for kind in kinds}
    assert counts == {"prefix": 2, "chat": 4, "interference": 3, "mixed": 2, "json": 2}
    assert not any("error" in sample for sample in samples)
    later = [s for s in samples if s["workload"].startswith("chat") and s.get("turn") == 1]
    assert all(sample["cached_tokens"] > 0 for sample in later)


def test_a_run_is_kept_shown_and_compared(kolo: Kolo, server: Server) -> None:
    for name in ("before", "after"):
        done = kolo("bench", *TINY, "--rounds", "3", "--save", name)
        assert done.returncode == 0, done.stderr
    taken = kolo("bench", *TINY, "--save", "before")
    assert (taken.returncode, taken.stdout) == (2, "")
    assert "already there" in taken.stderr
    compared = kolo("bench", "compare", "before", "last", "--json")
    assert compared.returncode == 0
    changes = json.loads(compared.stdout)["changes"]
    assert {change["metric"] for change in changes} >= {"ttft", "itl", "tok_s"}
    failed = kolo("bench", "compare", "before", "after", "--fail-if", "ttft>0ms")
    assert failed.returncode == 8
    assert "failed: ttft>0ms" in failed.stderr
    assert "CHANGE" in failed.stdout
    listed = json.loads(kolo("bench", "history", "--json").stdout)
    assert [entry["name"] for entry in listed] == ["before", "after"]
    assert "TREND" in kolo("bench", "history", "guide").stdout
    assert kolo("bench", "show", "before", "-o", "html").stdout.startswith("<!doctype html>")
    assert kolo("bench", "show", "before").stdout == kolo("bench", "show", "last~1").stdout


def test_ctrl_c_prints_what_was_measured(env: dict[str, str]) -> None:
    asked = threading.Semaphore(0)

    def script(body: dict[str, Any]) -> Script:
        asked.release()
        return quick(body)

    with fake(script) as url:
        args = ("bench", *TINY[2:], "-n", "1000000", "-o", "csv", "--url", url)
        process = subprocess.Popen(
            [sys.executable, "-m", "kolo", *args],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8):  # two to meet the server, the others counted
            assert asked.acquire(timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped: this is what was measured until then" in err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["metric"] for row in rows} >= {"ttft", "tok_s"}


def test_what_was_measured_before_a_failure_is_not_lost(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise OutOfMemory("no room for the engine")

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(probe, "measure", fail)
    assert main(["bench", *TINY, "--local", "--engine"]) == OutOfMemory.exit_code
    shown = capsys.readouterr()
    assert "TTFT p50" in shown.out
    assert "error: no room for the engine" in shown.err


def test_a_terminal_sees_how_it_goes(env: dict[str, str], server: Server) -> None:
    command = [sys.executable, "-m", "kolo", "bench", *TINY[2:], "-n", "1000000"]
    with Terminal(command, env) as terminal:
        terminal.expect("round 1/1 · 1 user · kolo · ")
        terminal.expect(" tok/s · TTFT ")
        terminal.type("\x03")
        terminal.expect("TTFT p50")
        terminal.expect("stopped: ")


# On servers that fail --------------------------------------------------------------------------


def test_two_servers_take_turns_and_are_compared(kolo: Kolo) -> None:
    with fake(quick) as one, fake(quick) as other:
        urls = ("--url", f"a={one}", "--url", f"b={other}")
        done = kolo("bench", *TINY[2:], "-n", "4", "--rounds", "5", *urls)
    assert done.returncode == 0, done.stderr
    assert "over a, ratios [95 % interval]" in done.stdout
    assert "targets taking turns" in done.stdout
    assert "has no /tokenize: the lengths of prompts are near, not exact" in done.stdout


def test_keys_are_sent_and_never_written_down(kolo: Kolo, env: dict[str, str]) -> None:
    def script(body: dict[str, Any]) -> Script:
        return quick(body)

    secret = "sk-very-secret"
    with fake(script) as url:
        done = kolo("bench", *TINY, "--url", url, "--api-key", secret, "--json")
    assert done.returncode == 0
    assert secret not in done.stdout + done.stderr
    state = Path(env["XDG_STATE_HOME"])
    kept = [path.read_text() for path in state.rglob("*.json")]
    assert kept
    assert not any(secret in text for text in kept)


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [(401, "Invalid API key", 6), (404, "no such model", 4), (500, "oh dear", 1)],
)
def test_a_server_that_refuses_ends_the_run_with_its_words(
    kolo: Kolo, status: int, message: str, code: int
) -> None:
    with fake(lambda body: Script([], status, {"error": {"message": message}})) as url:
        done = kolo("bench", *TINY, "--url", f"x={url}")
    assert (done.returncode, done.stdout) == (code, "")
    assert f"error: x: {status}: {message}" in done.stderr
    assert code in EXIT_CODES


def test_streams_that_are_cut_are_errors_of_that_kind(kolo: Kolo) -> None:
    asked = 0

    def script(body: dict[str, Any]) -> Script:
        nonlocal asked
        asked += 1
        cut = asked > 2 and asked % 2 == 0  # not while the server is met
        return Script([Step(0.001, ["a"])], cut=True) if cut else quick(body)

    with fake(script) as url:
        done = kolo("bench", *TINY[2:], "-n", "4", "--url", f"x={url}")
    assert done.returncode == 8
    assert "ERR" in done.stdout
    assert "2 x cut: the server closed the connection inside its answer" in done.stdout


def test_a_goal_that_never_held_is_exit_code_8(kolo: Kolo) -> None:
    with fake(quick) as url:
        met = kolo("bench", *TINY, "--url", url, "--goal", "ttft<60s")
        missed = kolo("bench", *TINY, "--url", url, "--goal", "ttft<0.000001ms")
    assert (met.returncode, missed.returncode) == (0, 8)
    assert "held up to 1 user" in met.stdout
    assert "held at no load" in missed.stdout


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--url", "http://127.0.0.1:1"), 3, "Connection refused"),
        (("--url", "ftp://x"), 2, "is no address of a server"),
        (("--url", "a=http://x", "--url", "a=http://y"), 2, "two targets are named 'a'"),
        (("-c", "0"), 2, "'0' is no number from 1 on"),
        (("-c", "1", "--rate", "3"), 2, "each say what the load is"),
        (("-c", "8", "-n", "4"), 2, "some users would never send"),
        (("-w", "interference", "--rate", "3"), 2, "goes by users"),
        (("-w", "interference", "-n", "9"), 2, "one answer for each user"),
        (("--turns", "3"), 2, "--turns is for the workload chat"),
        (("--arrival", "constant"), 2, "goes with a --rate"),
        (("--overwrite",), 2, "goes with --save"),
        (("--engine", "--rate", "3"), 2, "as wide as there are users"),
        (("--file", "good.jsonl", "-p", "9"), 2, "have their own lengths"),
        (("--duration", "soon"), 2, "--duration 'soon'"),
        (("--goal", "speed>3"), 2, "no metric 'speed'"),
        (("--file", "requests.jsonl"), 2, "requests.jsonl:2: is no JSON"),
        (("--file", "nowhere.jsonl"), 2, "cannot be read"),
        (("--body", "[]"), 2, "--body is no JSON object"),
        (("--url", "http://127.0.0.1:1", "--threads", "2"), 2, "--local, or leave it out"),
        (("--engine", "-w", "chat"), 2, "-w fixed"),
        (("--save", "a/b"), 2, "is no name"),
        (("-m", "nowhere.gguf"), 4, "nowhere.gguf"),
        (("guide",), 2, "kolo bench -m guide"),
        (("compare", "one", "two"), 2, "no run is named 'one'"),
    ],
)
def test_what_cannot_be_says_why(
    kolo: Kolo, tmp_path: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "good.jsonl").write_text('{"prompt": "a"}')
    (tmp_path / "requests.jsonl").write_text('{"prompt": "a"}\n{"prompt: 1}\n')
    done = kolo("bench", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "internal error" not in done.stderr


def test_help_shows_every_option_in_a_section(kolo: Kolo) -> None:
    shown = kolo("bench", "--help").stdout
    for param in command.params:
        if getattr(param, "hidden", False):  # those of every command
            continue
        assert max(param.opts, key=len) in shown
        assert any(param.name in names.split() for names in SECTIONS.values())
    assert "x<=" not in shown


def test_formulas_are_printed(kolo: Kolo) -> None:
    done = kolo("bench", "--formulas")
    assert done.returncode == 0
    assert "itl: ITL (ms)\n    (E2E - TTFT) / (output tokens - 1)" in done.stdout
