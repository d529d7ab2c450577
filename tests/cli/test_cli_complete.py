"""``kolo complete`` on the shipped model: what is on stdout, on stderr, and in the exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pty_terminal import Terminal
from running import Kolo, gone, workers_of

from kolo.cli import main

USER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "user.json"
    path.write_text(json.dumps(USER_SCHEMA))
    return path


@pytest.fixture
def endless(tmp_path: Path) -> list[str]:
    """A command whose answer is long beyond all tests."""
    grammar = tmp_path / "endless.gbnf"
    grammar.write_text("root ::= [a-z]{4000}")
    return [sys.executable, "-m", "kolo", "complete", "Hello", "--grammar", str(grammar)]


def test_a_piped_answer_is_the_answer_and_nothing_else(kolo: Kolo) -> None:
    plain = kolo("complete", "What is Kolo?", "--temp", "0")
    assert (plain.returncode, plain.stderr) == (0, "")
    full = kolo("complete", "What is Kolo?", "--temp", "0", "--json")
    assert (full.returncode, full.stderr) == (0, "")
    result = json.loads(full.stdout)
    assert plain.stdout == result["text"].rstrip("\n") + "\n"
    assert result["model"] == "guide"
    assert result["finish_reason"] == "stop"
    assert result["usage"]["completion_tokens"] > 0
    assert 0 <= result["usage"]["cached_tokens"] <= result["usage"]["prompt_tokens"]
    assert result["timings"]["ttft_ms"] > 0
    assert isinstance(result["seed"], int)


def test_a_seed_repeats_the_answer(kolo: Kolo) -> None:
    first = json.loads(kolo("complete", "Hello", "-n", "24", "--temp", "1.5", "--json").stdout)
    again = kolo(
        "complete", "Hello", "-n", "24", "--temp", "1.5", "--json", "--seed", str(first["seed"])
    )
    assert json.loads(again.stdout)["text"] == first["text"]


def test_schema_with_json_prints_a_document_that_fits(kolo: Kolo, schema: Path) -> None:
    done = kolo("complete", "A user", "--schema", str(schema), "--json", "-n", "200")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    jsonschema.validate(document, USER_SCHEMA)
    assert done.stdout.startswith("{\n  ")


def test_a_cut_document_is_no_document(kolo: Kolo, schema: Path) -> None:
    done = kolo("complete", "A user", "--schema", str(schema), "--json", "-n", "2")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr == "error: the answer was cut at -n 2 tokens\n  try: a larger -n\n"


def test_a_document_that_a_stop_has_cut_is_none(kolo: Kolo, schema: Path) -> None:
    done = kolo("complete", "A user", "--schema", str(schema), "--json", "--stop", ":")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("error: the answer is not whole JSON: ")


def test_a_cut_answer_is_shown_and_exits_8(kolo: Kolo) -> None:
    done = kolo("complete", "What is Kolo?", "-n", "3")
    assert done.returncode == 8
    assert done.stdout.strip()
    assert done.stderr == (
        "error: the answer was cut at -n 3 tokens\n"
        "  try: a larger -n; --allow-cut takes it as whole\n"
    )
    full = kolo("complete", "What is Kolo?", "-n", "3", "--json")
    assert full.returncode == 8
    assert json.loads(full.stdout)["finish_reason"] == "length"


def test_grammar(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "g").write_text('root ::= "yes" | "no"')
    done = kolo("complete", "Is it?", "--grammar", "g")
    assert done.returncode == 0
    assert done.stdout in ("yes\n", "no\n")


def test_a_grammar_that_is_none_names_its_place(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "g").write_text('root ::= "yes" no')
    done = kolo("complete", "Is it?", "--grammar", "g")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: grammar line 1, column 16: rule 'no' is not defined\n")


def test_raw_takes_the_prompt_as_it_is(kolo: Kolo) -> None:
    raw = json.loads(kolo("complete", "--raw", "-n", "4", "--json", stdin="Kolo is").stdout)
    chat = json.loads(kolo("complete", "-n", "4", "--json", stdin="Kolo is").stdout)
    assert raw["usage"]["prompt_tokens"] < chat["usage"]["prompt_tokens"]


def test_stop(kolo: Kolo) -> None:
    whole = kolo("complete", "What is Kolo?", "--temp", "0").stdout
    word = whole.split()[2]
    cut = kolo("complete", "What is Kolo?", "--temp", "0", "--stop", word, "--stop", "not in it")
    assert cut.returncode == 0
    assert cut.stdout == whole[: whole.index(word)].rstrip("\n") + "\n"


def test_input_that_is_not_utf8(kolo: Kolo) -> None:
    done = kolo("complete", stdin=b"ab\xff")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: standard input is not UTF-8: byte 0xff at offset 2\n")
    done = kolo("complete", b"ab\xff")
    assert done.returncode == 2
    assert "'[PROMPT]': not UTF-8: byte 0xff at offset 2" in done.stderr


def test_an_empty_prompt(kolo: Kolo) -> None:
    done = kolo("complete", stdin="\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the prompt is empty\n")


def test_a_prompt_that_does_not_fit(kolo: Kolo) -> None:
    done = kolo("complete", stdin="word " * 20_000)
    assert (done.returncode, done.stdout) == (2, "")
    assert "context" in done.stderr


def test_a_model_that_is_not_there(kolo: Kolo) -> None:
    done = kolo("complete", "Hello", "-m", "gide")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: no model named 'gide'\n")
    assert "guide" in done.stderr


def test_out_of_time(kolo: Kolo) -> None:
    done = kolo("complete", "Hello", "--timeout", "0.001")
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("error: no complete answer within 0.001 s\n  try: ")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["-n", "0"], "'-n' / '--max-tokens': 0 is not in the range 1<=x<=2147483647"),
        (["--temp", "101"], "'--temp' / '--temperature': 101.0 is not in the range 0.0<=x<=100.0"),
        (["--temp", "nan"], "'--temp' / '--temperature': 'nan' is not a number"),
        (["--top-p", "1.5"], "'--top-p': 1.5 is not in the range 0.0<=x<=1.0"),
        (["--min-p", "-1"], "'--min-p': -1.0 is not in the range 0.0<=x<=1.0"),
        (["--top-k", "x"], "'--top-k': 'x' is not a valid integer"),
        (["--seed", "-2"], "'--seed': -2 is not in the range -1<=x<=9223372036854775807"),
        (["--timeout", "0"], "'--timeout': 0.0 is not in the range"),
        (["--stop", ""], "--stop is empty"),
        (["--raw", "--system", "S"], "--system needs the chat template, and --raw has none"),
        (["--schema", "a", "--grammar", "b"], "--schema and --grammar both say"),
        (["--schema", "/no/such"], "--schema: cannot read /no/such: No such file or directory"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_loaded(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["complete", "hello", *argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_its_worker(
    env: dict[str, str], endless: list[str], number: signal.Signals, code: int
) -> None:
    with subprocess.Popen(
        endless,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        came = os.read(process.stdout.fileno(), 1)
        workers = workers_of(process.pid)
        process.send_signal(number)
        came += process.stdout.read()
        told = process.stderr.read()
        assert process.wait(timeout=60) == code
    assert came
    assert told == b""
    assert workers
    assert all(gone(pid) for pid in workers)


def test_an_engine_that_dies_under_the_answer(env: dict[str, str], endless: list[str]) -> None:
    with subprocess.Popen(
        endless,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 1)
        (worker,) = workers_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        process.stdout.read()
        told = process.stderr.read().decode()
        assert process.wait(timeout=60) == 1
    assert told.startswith("error: engine 'guide' crashed: the worker was killed by signal 9")


def test_a_reader_that_goes_away_ends_it_quietly(env: dict[str, str], endless: list[str]) -> None:
    piped = f"{shlex.join(endless)} </dev/null | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", piped], env=env, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_on_a_terminal_it_says_what_it_waits_for(env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "kolo", "complete", "What is Kolo?", "--temp", "0"]
    with Terminal(command, env) as terminal:
        terminal.expect("loading guide…")
        assert terminal.wait() == 0
        assert terminal.raw.endswith(b"\r\n")


def test_ctrl_c_on_a_terminal_leaves_the_line_clean(
    env: dict[str, str], endless: list[str]
) -> None:
    with Terminal(endless, env) as terminal:
        terminal.expect("loading guide…")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.shown
        assert terminal.raw.endswith((b"\r\x1b[K", b"\r\n"))
