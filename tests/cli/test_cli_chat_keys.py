"""The conversation loop on a terminal of its own: keys, signals, and what they do when."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pty_terminal import Terminal

CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"
ENTER, ALT_ENTER, UP = "\r", "\x1b\r", "\x1b[A"
PROMPT = ">"
HINT = "Ctrl-D or /exit leaves"

Start = Callable[..., Terminal]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history"


@pytest.fixture
def start(env: dict[str, str], history: Path) -> Iterator[Start]:
    """Starts the scripted chat and waits for its prompt."""
    with ExitStack() as running:

        def run(*args: str, **more_env: str) -> Terminal:
            script = str(Path(__file__).with_name("scripted_chat.py"))
            command = [sys.executable, script, str(history.parent), *args]
            terminal = running.enter_context(Terminal(command, {**env, **more_env}))
            terminal.expect(PROMPT)
            return terminal

        yield run


def send(terminal: Terminal, text: str) -> None:
    terminal.type(text + ENTER)


def leave(terminal: Terminal) -> None:
    terminal.expect(PROMPT)
    terminal.type(CTRL_D)
    assert terminal.wait() == 0


def test_an_answer_and_its_numbers(start: Start) -> None:
    terminal = start()
    send(terminal, "hello")
    terminal.expect("s:S|u:hello")
    terminal.expect("4 tok · 100 tok/s · ttft 210 ms · prompt 17 · cached 1.1k")
    leave(terminal)


@pytest.mark.parametrize("goodbye", ["/exit", "/bye"])
def test_leaving(start: Start, goodbye: str) -> None:
    terminal = start()
    send(terminal, goodbye)
    assert terminal.wait() == 0


def test_ctrl_c_while_streaming_keeps_what_came(start: Start) -> None:
    terminal = start()
    send(terminal, "stream")
    terminal.expect("one two")
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (2 tokens)")
    terminal.expect(PROMPT)
    send(terminal, "and?")
    terminal.expect("s:S|u:stream|a:one two|u:and?")
    leave(terminal)


def test_ctrl_c_while_waiting_takes_the_question_back(start: Start) -> None:
    terminal = start()
    send(terminal, "stall")
    terminal.expect("waiting for the model…")
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (0 tokens)")
    terminal.expect(PROMPT)
    send(terminal, "and?")
    terminal.expect("s:S|u:and?")
    leave(terminal)


def test_ctrl_c_while_a_prompt_is_read(start: Start) -> None:
    terminal = start()
    send(terminal, "prefill")
    terminal.expect("reading the prompt… 62 %")
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (0 tokens)")
    leave(terminal)


def test_ctrl_c_while_typing_clears_the_line(start: Start) -> None:
    terminal = start()
    terminal.type("half a li")
    terminal.expect("half a li")
    terminal.type(CTRL_C)
    terminal.expect("\n" + PROMPT)
    send(terminal, "whole")
    terminal.expect("s:S|u:whole")
    assert HINT not in terminal.shown
    leave(terminal)


def test_ctrl_c_on_an_empty_prompt_hints_and_twice_leaves(start: Start) -> None:
    terminal = start()
    terminal.type(CTRL_C)
    terminal.expect(HINT)
    terminal.expect(PROMPT)
    terminal.type(CTRL_C)
    assert terminal.wait() == 130


def test_ctrl_c_again_leaves_when_the_engine_does_not_let_go(start: Start) -> None:
    terminal = start()
    send(terminal, "hold")
    terminal.expect("one two")
    terminal.type(CTRL_C)
    terminal.expect("stopping (Ctrl-C again leaves)")
    terminal.type(CTRL_C)
    assert terminal.wait() == 130


def test_a_sigint_from_outside_is_a_ctrl_c(start: Start) -> None:
    terminal = start()
    os.kill(terminal.process.pid, signal.SIGINT)
    terminal.expect(HINT)
    leave(terminal)


@pytest.mark.parametrize("state", ["typing", "streaming"])
def test_sigterm_ends_with_143(start: Start, state: str) -> None:
    terminal = start()
    if state == "streaming":
        send(terminal, "stream")
        terminal.expect("one two")
    os.kill(terminal.process.pid, signal.SIGTERM)
    assert terminal.wait() == 143
    assert "Traceback" not in terminal.shown


def test_keys_typed_during_an_answer_do_not_show_in_it(start: Start) -> None:
    terminal = start()
    send(terminal, "stream")
    terminal.expect("one two")
    terminal.type("zzz")
    terminal.type(CTRL_C)
    assert "zzz" not in terminal.expect("^C stopped (2 tokens)")


def test_what_was_typed_before_a_ctrl_c_waits_for_the_next_line(start: Start) -> None:
    terminal = start()
    send(terminal, "stream")
    terminal.expect("one two")
    terminal.type("and")
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (2 tokens)")
    terminal.expect("> and")
    send(terminal, " then?")
    terminal.expect("|u:and then?")
    leave(terminal)


def test_what_is_typed_during_an_answer_waits_for_the_next_line(start: Start) -> None:
    terminal = start()
    terminal.type("one\rtwo")
    terminal.expect("s:S|u:one")
    terminal.expect("> two")
    send(terminal, "!")
    terminal.expect("|u:two!")
    leave(terminal)


def test_ctrl_c_typed_at_once_after_enter_is_not_lost(start: Start) -> None:
    terminal = start()
    terminal.type("stall\r" + CTRL_C)
    terminal.expect("^C stopped (0 tokens)")
    leave(terminal)


def test_a_crash_is_told_and_the_conversation_goes_on(start: Start) -> None:
    terminal = start()
    send(terminal, "one")
    terminal.expect("s:S|u:one")
    send(terminal, "crash")
    terminal.expect("error: engine 'scripted' crashed")
    terminal.expect("your message was not answered: /retry sends it again")
    terminal.expect(PROMPT)
    send(terminal, "/retry")
    terminal.expect("error: engine 'scripted' crashed")
    terminal.expect(PROMPT)
    send(terminal, "two")
    terminal.expect("s:S|u:one|a:s:S|u:one|u:two")
    leave(terminal)


def test_a_crash_in_the_middle_keeps_what_came(start: Start) -> None:
    terminal = start()
    send(terminal, "break")
    terminal.expect("half an ans\r\nerror: engine 'scripted' crashed")
    terminal.expect("what came is kept (3 tokens)")
    terminal.expect(PROMPT)
    send(terminal, "two")
    terminal.expect("s:S|u:break|a:half an ans|u:two")
    leave(terminal)


def test_a_message_that_does_not_fit(start: Start) -> None:
    terminal = start()
    send(terminal, "long")
    terminal.expect("error: 9000 tokens and a context of 2048")
    terminal.expect("try: a shorter message, or /clear to begin anew")
    terminal.expect(PROMPT)
    send(terminal, "two")
    terminal.expect("s:S|u:two")
    leave(terminal)


def test_an_answer_that_fills_the_context(start: Start) -> None:
    terminal = start()
    send(terminal, "cut")
    terminal.expect("cut here, the context is full: /compact makes a summary")
    leave(terminal)


def test_clear_help_and_unknown(start: Start) -> None:
    terminal = start()
    send(terminal, "one")
    terminal.expect("s:S|u:one")
    send(terminal, "/claer")
    terminal.expect("did you mean /clear?")
    send(terminal, "/clear")
    terminal.expect("the conversation is forgotten")
    send(terminal, "//two")
    terminal.expect("s:S|u:/two")
    send(terminal, "/help")
    terminal.expect("forget the conversation")
    leave(terminal)


def test_alt_enter_and_pasted_line_breaks_do_not_send(start: Start) -> None:
    terminal = start()
    terminal.type("one" + ALT_ENTER + "two\x1b[200~\nthree\x1b[201~")
    terminal.expect("three")
    send(terminal, "")
    terminal.expect("s:S|u:one\r\ntwo\r\nthree")
    leave(terminal)


def test_history_is_the_owners_alone_and_comes_back(start: Start, history: Path) -> None:
    terminal = start()
    send(terminal, "remember me")
    terminal.expect("s:S|u:remember me")
    leave(terminal)
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = start()
    again.type(UP)
    again.expect("remember me")
    send(again, "")
    again.expect("s:S|u:remember me")
    leave(again)


def test_a_history_that_cannot_be_kept_is_told(start: Start, history: Path) -> None:
    history.parent.write_text("a file where the folder should be")
    terminal = start()
    assert "what you type is not kept" in terminal.shown
    send(terminal, "hello")
    terminal.expect("cached 1.1k")
    leave(terminal)


def test_the_models_escape_sequences_do_nothing(start: Start) -> None:
    terminal = start()
    send(terminal, "escape")
    terminal.expect("a^[[2Jb")
    assert b"\x1b[2Jb" not in terminal.raw
    leave(terminal)


def test_reasoning_is_dim_and_apart(start: Start) -> None:
    terminal = start()
    send(terminal, "think")
    terminal.expect("let me see\r\n\r\nI see.\r\n")
    assert b"\x1b[2mlet me see\x1b[0m" in terminal.raw
    leave(terminal)


def test_hidden_thoughts_are_told_by_their_time(start: Start) -> None:
    terminal = start()
    send(terminal, "/think hide")
    terminal.expect("thoughts are not shown")
    send(terminal, "think")
    assert "let me see" not in terminal.expect("I see.")
    assert "thought for " in terminal.shown
    terminal.expect("4 tok")
    leave(terminal)


def test_a_dumb_terminal_without_utf8(start: Start) -> None:
    terminal = start(TERM="dumb", PYTHONIOENCODING="ascii")
    send(terminal, "hello")
    terminal.expect("s:S|u:hello")
    terminal.expect("4 tok - 100 tok/s - ttft 210 ms - prompt 17 - cached 1.1k")
    terminal.expect(PROMPT)
    terminal.type(CTRL_C)
    terminal.expect(HINT)
    terminal.expect(PROMPT)
    send(terminal, "stream")
    terminal.expect("one two")
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (2 tokens)")
    leave(terminal)
    assert b"\x1b" not in terminal.raw


def test_lines_pasted_into_a_dumb_terminal_are_one_message(start: Start) -> None:
    terminal = start(TERM="dumb")
    terminal.type("one\ntwo\nthree\n")
    terminal.expect("(3 lines: Enter sends them, Ctrl-C drops them)")
    terminal.type("\n")
    terminal.expect("s:S|u:one\r\ntwo\r\nthree")
    leave(terminal)


def test_no_colour(start: Start) -> None:
    terminal = start(NO_COLOR="1")
    send(terminal, "hello")
    terminal.expect("cached 1.1k")
    assert b"\x1b[2m" not in terminal.raw
    leave(terminal)


def test_500_pasted_lines_are_one_message_that_enter_sends(start: Start) -> None:
    terminal = start()
    lines = [f"line {number}" for number in range(1, 501)]
    terminal.type("\x1b[200~count\r" + "\r".join(lines) + "\x1b[201~")
    terminal.expect("line 500")
    assert "501 lines" not in terminal.shown
    send(terminal, "")
    terminal.expect("501 lines in 1 turn")
    leave(terminal)


def test_quotes_hold_a_message_of_several_lines(start: Start) -> None:
    terminal = start()
    terminal.type('"""one\rtwo\r"""\r')
    terminal.expect("s:S|u:one\r\ntwo")
    leave(terminal)


def test_up_brings_back_what_begins_alike(start: Start) -> None:
    terminal = start()
    for text in ("alpha", "beta"):
        send(terminal, text)
        terminal.expect(f"|u:{text}")
        terminal.expect(PROMPT)
    terminal.type("al" + UP)
    terminal.expect("alpha")
    send(terminal, "")
    terminal.expect("|u:beta|a:")
    terminal.expect("|u:alpha")
    leave(terminal)


def test_ctrl_g_writes_the_message_in_an_editor(start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "from the editor" > "$1"\n')
    editor.chmod(0o755)
    terminal = start(EDITOR=str(editor))
    terminal.type("\x07")
    terminal.expect("from the editor")
    send(terminal, "")
    terminal.expect("|u:from the editor")
    leave(terminal)


def test_tab_completes_commands_and_what_stands_after_them(start: Start) -> None:
    terminal = start()
    terminal.type("/mod\t")
    terminal.expect("/model")
    terminal.type(" oth\t")
    terminal.expect("other")
    send(terminal, "")
    terminal.expect("now other · 2.0k tokens of context")
    leave(terminal)


def test_markdown_is_shown_as_such_and_no_line_twice(start: Start) -> None:
    terminal = start()
    send(terminal, "markdown")
    terminal.expect("The end.")
    terminal.expect("4 tok")
    for text in (b"\x1b[1;4mTitle", b"\x1b[1mbold", b"```python", b"return"):
        assert terminal.raw.count(text) == 1
    assert "• one" in terminal.shown
    leave(terminal)


@pytest.mark.parametrize("how", ["--plain", "TERM=dumb"])
def test_plain_answers_are_as_they_come(start: Start, how: str) -> None:
    terminal = start("--plain") if how == "--plain" else start(TERM="dumb")
    send(terminal, "markdown")
    terminal.expect("# Title\r\n\r\nSome **bold** words.")
    terminal.expect("The end.\r\n4 tok")
    leave(terminal)


def test_a_resize_during_an_answer_costs_no_text(start: Start) -> None:
    terminal = start()
    send(terminal, "half")
    terminal.expect("first line")
    terminal.expect("many words " * 5 + "many words\r")  # the third row, the last one
    terminal.resize(40, 24)
    terminal.type(CTRL_C)
    terminal.expect("^C stopped (2 tokens)")
    terminal.expect(PROMPT)
    narrow = terminal.as_seen()
    assert narrow.count("first line") == 1
    answer = narrow[narrow.index("first line") + 1 : narrow.index("^C stopped (2 tokens)")]
    assert " ".join(answer).split() == ["many", "words"] * 20
    terminal.type(CTRL_D)
    assert terminal.wait() == 0


def test_ctrl_z_suspends_an_answer_and_it_goes_on(env: dict[str, str], history: Path) -> None:
    script = Path(__file__).with_name("scripted_chat.py")
    shell = ["bash", "--norc", "--noprofile", "-i"]
    with Terminal(shell, {**env, "PS1": "shell% "}) as terminal:
        terminal.expect("shell% ")
        send(terminal, f"{sys.executable} {script} {history.parent}")
        terminal.expect("scripted · ctx")
        send(terminal, "stream")
        terminal.expect("one two")
        terminal.type(CTRL_Z)
        terminal.expect("Stopped")
        terminal.expect("shell% ")
        send(terminal, "fg")
        terminal.expect("one two")
        terminal.type(CTRL_C)
        terminal.expect("^C stopped (2 tokens)")
        terminal.expect("scripted · ctx")
        terminal.type(CTRL_Z)
        terminal.expect("shell% ")
        send(terminal, "fg")
        terminal.expect("scripted · ctx")
        terminal.type(CTRL_D)
        terminal.expect("shell% ")


def test_the_toolbar_tells_the_model_and_the_context(start: Start) -> None:
    terminal = start()
    terminal.expect("scripted · ctx 2.0k · local")
    send(terminal, "/set temp 0.5")
    terminal.expect("temperature 0.5")
    terminal.expect("scripted · ctx 2.0k · temp 0.5 · local")
    terminal.type(CTRL_D)
    assert terminal.wait() == 0
