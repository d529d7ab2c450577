"""``kolo chat`` at a terminal against a real ``kolo serve``: Ctrl-C in every state, a server that
is killed, conversations that go on."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cli_server import Server
from pty_terminal import Terminal
from running import Kolo

PATIENCE_S = 60.0
CTRL_C, CTRL_D = "\x03", "\x04"
ENDLESS = ("--temp", "1", "--seed", "1")


@pytest.fixture
def slow(env: dict[str, str]) -> dict[str, str]:
    """One request at a time, whose prompt is read a token at a time."""
    return {**env, "KOLO_ENGINE_PARALLEL": "1", "KOLO_ENGINE_BATCH": "1", "KOLO_ENGINE_UBATCH": "1"}


def at_terminal(env: dict[str, str], *args: str) -> Terminal:
    return Terminal([sys.executable, "-m", "kolo", *args], env)


@pytest.fixture
def server(slow: dict[str, str]) -> Iterator[Server]:
    with Server(slow) as running:
        yield running


def slots(server: Server) -> list[dict[str, Any]]:
    with urlopen(f"{server.url}/slots?model=guide", timeout=PATIENCE_S) as response:
        found: list[dict[str, Any]] = json.load(response)
        return found


def wait_for(server: Server, state: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while [slot["state"] for slot in slots(server)] != [state]:
        assert time.monotonic() < deadline, f"the slot was never in {state}"
        time.sleep(0.05)


def test_ctrl_c_in_every_state_stops_the_work_and_not_the_chat(
    slow: dict[str, str], server: Server
) -> None:
    with at_terminal(slow, "chat") as terminal:
        terminal.expect("using the server at")
        terminal.expect("\n>")

        terminal.type("half a li")
        terminal.expect("half a li")
        terminal.type(CTRL_C)
        terminal.expect("\n>")

        server.process.send_signal(signal.SIGSTOP)
        try:
            terminal.type("to a server that does nothing\r")
            terminal.expect("waiting for the model…")
            terminal.type(CTRL_C)
            terminal.expect("^C stopped (0 tokens)")
            terminal.expect("\n>")
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_for(server, "idle")

        terminal.type("/set ignore_eos true\r")
        terminal.expect("ignore_eos true")
        terminal.expect("\n>")
        words = " ".join(f"word{number}" for number in range(600))
        terminal.type(f"\x1b[200~{words}\x1b[201~")
        terminal.expect("word599")
        terminal.type("\r")
        terminal.expect("reading the prompt… ")
        terminal.type(CTRL_C)
        terminal.expect("^C stopped (0 tokens)")
        terminal.expect("\n>")
        wait_for(server, "idle")

        terminal.type("go on for ever\r")
        wait_for(server, "decode")
        terminal.type(CTRL_C)
        terminal.expect("^C stopped (")
        terminal.expect("\n>")
        wait_for(server, "idle")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.shown


def test_a_killed_server_costs_the_rest_of_the_answer_and_its_successor_is_found(
    env: dict[str, str], tmp_path: Path
) -> None:
    with Server(env) as first, at_terminal(env, "chat", *ENDLESS) as terminal:
        terminal.expect("using the server at")
        terminal.expect("\n>")
        terminal.type("/set ignore_eos true\r")
        terminal.expect("ignore_eos true")
        terminal.expect("\n>")
        terminal.type("go on for ever\r")
        deadline = time.monotonic() + PATIENCE_S
        while not any(slot["n_decoded"] > 5 for slot in _decoding(first)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        first.process.send_signal(signal.SIGKILL)
        terminal.expect("error: the server")
        terminal.expect("kolo serve starts it again, then /retry")
        terminal.expect("what came is kept (")
        terminal.expect("\n>")

        terminal.type("and now?\r")
        terminal.expect("error: no server answers at")
        terminal.expect("your message was not answered: /retry sends it again")
        terminal.expect("\n>")

        with Server(env) as second:
            assert second.url != first.url
            terminal.type("/set ignore_eos false\r")
            terminal.expect("\n>")
            terminal.type("/set n 5\r")
            terminal.expect("\n>")
            terminal.type("/retry\r")
            terminal.expect(f"using the server at {second.url}")
            terminal.expect("5 tok · ")
            terminal.expect("\n>")
            terminal.type(CTRL_D)
            assert terminal.wait() == 0
    (path,) = (tmp_path / "state" / "kolo" / "chats").iterdir()
    roles = [message["role"] for message in json.loads(path.read_text())["messages"]]
    assert roles == ["user", "assistant", "user", "assistant"]


def _decoding(server: Server) -> list[dict[str, Any]]:
    """The next token of each slot that writes."""
    return [token for slot in slots(server) for token in slot.get("next_token", ())]


def test_a_saved_conversation_is_a_request_that_the_server_takes(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    with Server(env) as server:
        with at_terminal(
            env, "chat", "--temp", "0", "-n", "8", "--system", "Be brief."
        ) as terminal:
            terminal.expect("\n>")
            terminal.type("What is Kolo?\r")
            terminal.expect(" tok · ")
            terminal.expect("\n>")
            terminal.type(CTRL_D)
            assert terminal.wait() == 0
        (path,) = (tmp_path / "state" / "kolo" / "chats").iterdir()
        body = json.loads(path.read_text())
        body["messages"].append({"role": "user", "content": "And then?"})
        with server.post("/v1/chat/completions", body) as response:
            assert json.load(response)["choices"][0]["message"]["content"]

        listed = json.loads(kolo("chat", "--list", "--json").stdout)
        assert [(one["name"], one["turns"], one["title"]) for one in listed] == [
            (path.stem, 1, "What is Kolo?")
        ]
        done = kolo("chat", "--last", "And then?", "--json")
        assert json.loads(done.stdout)["model"] == "guide"
        assert len(json.loads(path.read_text())["messages"]) == 5

        with at_terminal(env, "chat", "--resume", "what-is-kolo") as terminal:
            terminal.expect("… 2 turns before")
            terminal.expect("> And then?")
            terminal.expect("\n>")
            terminal.type("/system\r")
            terminal.expect("Be brief.")
            terminal.type(CTRL_D)
            assert terminal.wait() == 0


def test_no_history_keeps_nothing(env: dict[str, str], tmp_path: Path) -> None:
    with at_terminal(env, "chat", "--no-history", "-n", "4") as terminal:
        terminal.expect("\n>")
        terminal.type("What is Kolo?\r")
        terminal.expect(" tok · ")
        terminal.expect("\n>")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
    kept = [path.name for path in (tmp_path / "state").rglob("*chat*")]
    assert kept == []


def test_a_plain_chat_draws_over_nothing_and_has_no_toolbar(env: dict[str, str]) -> None:
    with at_terminal(env, "chat", "--plain", "-n", "4") as terminal:
        terminal.expect("\n>")
        terminal.type("What is Kolo?\r")
        terminal.expect(" tok · ")
        terminal.expect("\n>")
        assert "ctx" not in terminal.shown
        terminal.type(CTRL_D)
        assert terminal.wait() == 0


def test_what_cannot_be_asked_for_is_refused(kolo: Kolo) -> None:
    done = kolo("chat", "--last", stdin="hello")
    assert (done.returncode, done.stderr) == (
        2, "error: no conversation has been saved yet\n  try: kolo chat\n",
    )  # fmt: skip
    done = kolo("chat", "--last", "--resume", "x", stdin="hello")
    assert done.returncode == 2
    assert kolo("chat", "--list").stdout.split() == ["NAME", "UPDATED", "TURNS", "MODEL", "BEGINS"]
    assert json.loads(kolo("chat", "--list", "--json").stdout) == []
