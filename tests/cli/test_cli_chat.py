"""``kolo chat`` on the shipped model."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from pty_terminal import Terminal
from running import Kolo, gone, workers_of

RAMBLING = ("--temp", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0")
"""Any token is as likely as any other, the end of the answer too: it goes on for long."""


@pytest.fixture
def chat(env: dict[str, str]) -> Iterator[Terminal]:
    """A conversation that has loaded the model and waits at its prompt."""
    command = [sys.executable, "-m", "kolo", "chat", *RAMBLING]
    with Terminal(command, env) as terminal:
        terminal.expect("guide · 4.1k tokens of context · local")
        terminal.expect("\n>")
        yield terminal


def test_a_prompt_is_answered_once(kolo: Kolo) -> None:
    done = kolo("chat", "What is Kolo?", "--temp", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kolo" in done.stdout
    piped = kolo("chat", "--temp", "0", stdin="What is Kolo?\n")
    assert (piped.returncode, piped.stdout) == (0, done.stdout)


def test_an_answer_cut_by_n_exits_8(kolo: Kolo) -> None:
    done = kolo("chat", "What is Kolo?", "-n", "2")
    assert done.returncode == 8
    assert done.stderr == "error: the answer was cut at -n 2 tokens\n  try: a larger -n\n"


def test_a_model_as_the_prompt_is_taken_for_what_it_was_meant(kolo: Kolo) -> None:
    done = kolo("chat", "guide")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: "guide" is a model\n  try: kolo chat -m guide\n'
    assert kolo("chat", "guide", "-m", "guide").returncode == 0


def test_nothing_piped_in_is_an_empty_prompt(kolo: Kolo) -> None:
    done = kolo("chat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the prompt is empty\n")


def test_a_model_that_is_not_there_is_told_before_the_prompt(env: dict[str, str]) -> None:
    with Terminal([sys.executable, "-m", "kolo", "chat", "-m", "gide"], env) as terminal:
        terminal.expect("error: no model named 'gide'")
        assert terminal.wait() == 4


def test_one_answer_at_a_terminal_shows_its_numbers(env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "kolo", "chat", "What is Kolo?", "--temp", "0"]
    with Terminal(command, env) as terminal:
        terminal.expect("warming up guide…")
        terminal.expect(" tok/s · ttft ")
        assert terminal.wait() == 0


def test_ctrl_c_stops_the_answer_and_not_the_engine(chat: Terminal) -> None:
    (worker,) = workers_of(chat.process.pid)
    chat.type("ramble\r")
    chat.expect("ramble\r\r\n")
    chat.type("\x03")
    chat.expect("^C stopped (")
    chat.expect("\n>")
    chat.type("go on\r")
    chat.expect("go on\r\r\n")
    chat.type("\x03")
    chat.expect("^C stopped (")
    assert workers_of(chat.process.pid) == [worker]
    chat.expect("\n>")
    chat.type("/bye\r")
    assert chat.wait() == 0
    assert gone(worker)


def test_a_killed_engine_is_told_and_the_next_message_has_a_new_one(chat: Terminal) -> None:
    (worker,) = workers_of(chat.process.pid)
    chat.type("ramble\r")
    chat.expect("ramble\r\r\n")
    os.kill(worker, signal.SIGKILL)
    chat.expect("error: engine 'guide' crashed: the worker was killed by signal 9 (SIGKILL)")
    chat.expect("\n>")
    chat.type("once more\r")
    chat.expect("once more\r\r\n")
    chat.type("\x03")
    chat.expect("^C stopped (")
    chat.expect("\n>")
    chat.type("\x04")
    assert chat.wait() == 0


@pytest.mark.parametrize("state", ["typing", "streaming"])
def test_sigterm_leaves_no_worker(chat: Terminal, state: str) -> None:
    (worker,) = workers_of(chat.process.pid)
    if state == "streaming":
        chat.type("ramble\r")
        chat.expect("ramble\r\r\n")
    os.kill(chat.process.pid, signal.SIGTERM)
    assert chat.wait() == 143
    assert gone(worker)
    assert "Traceback" not in chat.shown
