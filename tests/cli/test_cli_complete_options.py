"""``kolo complete`` on the shipped model: templates, choices, several answers, scores, retries."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cli_server import Server
from pty_terminal import Terminal
from running import Kolo

from kolo.cli import main


@pytest.fixture
def everywhere(env: dict[str, str]) -> Iterator[list[str]]:
    """What makes ``kolo complete`` use a server that runs."""
    with Server(env, "guide") as server:
        yield ["--url", server.url]


def test_choices_are_kept_locally_and_by_a_server(kolo: Kolo, everywhere: list[str]) -> None:
    choices = '["yes, \\"ma\'am\\"", "größer\\n", "no"]'
    for where in (["--local"], everywhere):
        found = set()
        for seed in range(4):
            done = kolo(
                "complete",
                "Is it?",
                "--choices",
                choices,
                "--temp",
                "5",
                "--seed",
                str(seed),
                *where,
            )
            assert (done.returncode, done.stderr) == (0, "")
            found.add(done.stdout)
        assert found <= {'yes, "ma\'am"\n', "größer\n", "no\n"}


def test_scores_are_the_same_locally_and_by_a_server(kolo: Kolo, everywhere: list[str]) -> None:
    for raw in ([], ["--raw"]):
        asked = ["complete", "What is Kolo?", "-n", "3", "--temp", "0", "--allow-cut", "--json"]
        shown = []
        for where in (["--local"], everywhere):
            done = kolo(*asked, "--logprobs", "2", *raw, *where)
            assert (done.returncode, done.stderr) == (0, "")
            shown.append(json.loads(done.stdout))
        assert shown[0]["text"] == shown[1]["text"]
        for ours, theirs in zip(shown[0]["logprobs"], shown[1]["logprobs"], strict=True):
            assert ours["token"] == theirs["token"]
            assert ours["logprob"] == pytest.approx(theirs["logprob"], abs=0.02)
            assert len(ours["top"]) == len(theirs["top"]) == 2
            assert ours["top"][0]["token"] == theirs["top"][0]["token"]
            assert ours["top"][0]["logprob"] >= ours["top"][1]["logprob"]
            assert math.exp(ours["logprob"]) <= 1
        assert "".join(one["token"] for one in shown[0]["logprobs"]) == shown[0]["text"]


def test_several_answers_one_after_another_and_apart_as_json(kolo: Kolo) -> None:
    asked = ["complete", "Hello", "--choices", "a,b,c", "--n", "3", "--seed", "1", "--temp", "9"]
    plain = kolo(*asked)
    assert plain.returncode == 0
    answers = plain.stdout.splitlines()
    assert len(answers) == 3
    full = json.loads(kolo(*asked, "--json").stdout)
    assert [choice["text"] for choice in full["choices"]] == answers
    assert full["text"] == answers[0]


def test_files_then_input_then_the_argument(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n")
    (tmp_path / "b.txt").write_text("two\n")
    (tmp_path / "t").write_text("<{{ input }}>")
    grammar = tmp_path / "g"
    grammar.write_text('root ::= "x"')
    files = ["--file", "a.txt", "--file", "b.txt"]
    done = kolo("complete", "four", *files, "--grammar", "g", "--json", stdin="three\n")
    whole = kolo("complete", "one\n\ntwo\n\nthree\n\nfour", "--grammar", "g", "--json")
    tokens = [json.loads(each.stdout)["usage"]["prompt_tokens"] for each in (done, whole)]
    assert tokens[0] == tokens[1]


def test_a_template_with_variables_and_input(kolo: Kolo, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("{{ input }} in {{ language }}, {{ words }} words")
    (tmp_path / "v.json").write_text('{"words": 3, "language": "English"}')
    given = ["--template", "t", "--vars", "v.json", "--var", "language=Swahili"]
    ends = ["--choices", "x", "--json"]
    done = kolo("complete", *given, *ends, stdin="Say it\n")
    whole = kolo("complete", "Say it in Swahili, 3 words", *ends)
    tokens = [json.loads(each.stdout)["usage"]["prompt_tokens"] for each in (done, whole)]
    assert tokens[0] == tokens[1]
    done = kolo("complete", *given[:2], "Say it")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --template t: 'language' is undefined\n  try: --var language=…\n"
    )


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["x", "--choices", "a,,b"], "--choices: one of them is empty"),
        (["x", "--choices", "[1]"], "--choices: not a list of texts"),
        (["x", "--choices", "[a"], "--choices: column 2"),
        (["x", "--choices", "a", "--schema", "s"], "--schema and --choices both say"),
        (["x", "--logprobs", "3"], "--logprobs needs --json"),
        (["x", "--logprobs", "21", "--json"], "'--logprobs': 21 is not in the range"),
        (["x", "--n", "0"], "'--n': 0 is not in the range"),
        (["x", "--out", "f"], "--out is for --jsonl"),
        (["x", "--retry-failed"], "--retry-failed is for --jsonl"),
        (["--jsonl", "/dev/null", "--retry-failed"], "--retry-failed is for --out"),
        (["x", "--concurrency", "2"], "--concurrency is for --jsonl"),
        (["x", "--var", "a=b"], "--var and --vars are for --template"),
        (["x", "--retries", "-1"], "'--retries': -1 is not in the range"),
        (["x", "--file", "/no/such"], "--file: cannot read /no/such: No such file or directory"),
        (["x", "--template", "/no/such"], "--template: cannot read /no/such"),
        (["x", "--jsonl", "f"], "with --jsonl the prompts are in f"),
        (["--jsonl", "/no/such"], "--jsonl: cannot read /no/such: No such file or directory"),
        (["--jsonl", "/"], "--jsonl: cannot read /: Is a directory"),
        (["--jsonl", "/dev/null", "--var", "a=b"], "--var and --vars are for --template"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_loaded(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["complete", *argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err


def test_a_template_without_a_place_for_the_prompt_refuses_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t").write_text("Hello")
    assert main(["complete", "x", "--template", str(tmp_path / "t")]) == 2
    assert "has no {{ input }} for PROMPT" in capsys.readouterr().err


def test_a_cut_answer_that_may_be_cut_is_fine(kolo: Kolo) -> None:
    done = kolo("complete", "What is Kolo?", "-n", "2", "--allow-cut")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_on_a_terminal_it_says_that_it_waits_for_input(env: dict[str, str]) -> None:
    with Terminal([sys.executable, "-m", "kolo", "complete", "-"], env) as terminal:
        terminal.expect("reading the prompt from standard input (Ctrl-D ends it)")
        terminal.type("\x03")
        assert terminal.wait() == 130


@contextmanager
def busy_before(n: int, then: str) -> Iterator[tuple[str, list[str]]]:
    """A server that is busy ``n`` times, asks for no pause, and then sends on to ``then``."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._refuse()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self._refuse()

        def _refuse(self) -> None:
            if len(asked) > n:
                error = {"message": then, "code": "context_length_exceeded", "type": "t"}
                status = 400
            else:
                error = {"message": "all slots are taken", "code": "engine_busy", "type": "t"}
                status = 503
            if self.path == "/engines":
                body, status = b'{"engines": []}', 200
            else:
                body = json.dumps({"error": error}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_busy_server_is_asked_again_as_often_as_allowed(kolo: Kolo) -> None:
    with busy_before(99, "") as (url, asked):
        done = kolo("complete", "Hello", "--url", url, "--retries", "1")
        assert (done.returncode, done.stdout, len(asked)) == (1, "", 2)
        first, *_, last = done.stderr.splitlines()
        assert first.startswith("all slots are taken; trying again in 0.")
        assert "all slots are taken" in last
        asked.clear()
        assert kolo("complete", "Hello", "--url", url).returncode == 1
        assert len(asked) == 1


def test_what_would_fail_again_is_asked_once(kolo: Kolo) -> None:
    with busy_before(0, "the prompt is too long") as (url, asked):
        done = kolo("complete", "Hello", "--url", url, "--retries", "9")
        assert (done.returncode, len(asked)) == (2, 1)
        assert done.stderr.startswith("error: the prompt is too long\n")


def test_it_starts_without_what_it_does_not_need(env: dict[str, str]) -> None:
    """Its CPU time is measured by bench/cli_cost.py; this says what must not creep in."""
    code = (
        "import sys, kolo.cli.complete_once, kolo.cli.complete, kolo.client.connection\n"
        "import kolo.client.plain, kolo.client.names; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    loaded = set(done.stdout.split())
    heavy = {"httpx2", "rich", "psutil", "jinja2", "numpy", "tempfile", "http.client", "secrets"}
    assert not loaded & heavy
    assert not any(name.startswith(("kolo.manager", "kolo.models")) for name in loaded)
