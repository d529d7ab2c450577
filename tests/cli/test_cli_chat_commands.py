"""What the commands of a chat do, on a terminal of its own with a scripted model."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pty_terminal import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return tmp_path / "state" / "chats"


@pytest.fixture
def start(env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts the scripted chat, without drawing over anything, and waits for its prompt."""
    with ExitStack() as running:

        def run(**more_env: str) -> Terminal:
            script = str(Path(__file__).with_name("scripted_chat.py"))
            command = [sys.executable, script, str(tmp_path / "state"), "--plain"]
            terminal = running.enter_context(
                Terminal(command, {**env, **more_env}, cwd=str(tmp_path))
            )
            terminal.expect(">")
            return terminal

        yield run


def say(terminal: Terminal, line: str, answer: str) -> str:
    """Send ``line``, wait for ``answer`` and the next prompt; all that was shown."""
    terminal.type(f"{line}\r")
    terminal.expect(line)
    shown = terminal.expect(answer)
    return shown + terminal.expect("\n>")


def leave(terminal: Terminal) -> None:
    terminal.type("\x04")
    assert terminal.wait() == 0


def test_retry_edit_and_undo(start: Start) -> None:
    chat = start()
    say(chat, "/retry", "error: nothing has been asked yet")
    say(chat, "one", "s:S|u:one")
    say(chat, "/retry", "s:S|u:one\r\n")
    chat.type("/edit\r")
    chat.expect("> one")
    say(chat, " more", "s:S|u:one more")
    say(chat, "/undo", "taken back: one more")
    say(chat, "/undo", "error: there is nothing to take back")
    leave(chat)


def test_the_system_message_and_what_is_sent(start: Start, tmp_path: Path) -> None:
    (tmp_path / "system.txt").write_text("From a file.\n")
    chat = start()
    say(chat, "/system", "S")
    say(chat, "/system Be brief.", "the system message is set")
    say(chat, "one", "s:Be brief.|u:one")
    say(chat, "/system @system.txt", "the system message is set")
    say(chat, "/system -", "no system message any more")
    say(chat, "/show prompt", "user:one")
    say(chat, "/show messages", "user: one")
    say(chat, "/tokens", "tokens are sent")
    say(chat, "/tokens four", "4 tokens")
    leave(chat)


def test_another_model_keeps_the_conversation(start: Start) -> None:
    chat = start()
    say(chat, "one", "s:S|u:one")
    say(chat, "/model", "* scripted")
    say(chat, "/model nobody", "error: no model named 'nobody'")
    say(chat, "/model other", "now other · 2.0k tokens of context, which reads the 2 turns so far")
    say(chat, "two", "s:S|u:one|a:s:S|u:one|u:two")
    leave(chat)


def test_parameters_are_set_shown_and_refused(start: Start) -> None:
    chat = start()
    say(chat, "/set temp 0.5", "temperature 0.5")
    say(chat, "/set temp", "temperature 0.5")
    say(chat, "/set temp hot", "error: temperature: ")
    say(chat, "/set tmp 1", "try: /set temp")
    say(chat, "/think low", "thinking: low")
    say(chat, "/json on", "answers are JSON objects")
    say(chat, "/show params", "answers are JSON (/json)")
    say(chat, "/json off", "answers are free again")
    say(chat, "/stats", "no answer yet")
    say(chat, "/stats off", "the line after each answer is off")
    assert "tok/s" not in say(chat, "one", "s:S|u:one")
    say(chat, "/stats", "1 answers, 4 tokens")
    leave(chat)


def test_files_go_with_a_message(start: Start, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("rivers\n")
    (tmp_path / "pixel.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    chat = start()
    say(chat, "/file pixel.png", "error: pixel.png is a PNG image, and the models here read text")
    say(chat, "/file notes.txt", "notes.txt (7 bytes, 7 tokens) goes with the next message")
    say(chat, "what?", "u:what?\r\n\r\nFile notes.txt:\r\n```txt\r\nrivers\r\n```")
    shown = say(chat, "and @notes.txt?", "u:and @notes.txt?\r\n\r\nFile notes.txt:")
    assert "attached notes.txt (7 bytes)" in shown
    say(chat, "what of @src/gone.py", "there is no file src/gone.py: @src/gone.py is sent as it is")
    leave(chat)


def test_every_turn_is_saved_and_a_kill_loses_the_answer_under_way_alone(
    start: Start, chats: Path
) -> None:
    chat = start()
    say(chat, "first question", "u:first question")
    chat.type("stream\r")
    chat.expect("one two")
    os.kill(chat.process.pid, signal.SIGKILL)
    chat.wait()
    (path,) = chats.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    body = json.loads(path.read_text())
    assert body["model"] == "scripted"
    assert [message["content"] for message in body["messages"]] == [
        "S", "first question", "s:S|u:first question", "stream",
    ]  # fmt: skip
    chat = start()
    say(chat, "/load", "first-question")
    say(chat, "/load first-question", "first-question: 2 turns")
    say(chat, "/undo", "taken back: stream")
    say(chat, "next", "s:S|u:first question|a:s:S|u:first question|u:next")
    leave(chat)


def test_save_names_a_conversation_or_writes_a_file(
    start: Start, chats: Path, tmp_path: Path
) -> None:
    chat = start()
    say(chat, "/save", "error: there is nothing to save yet")
    say(chat, "one", "s:S|u:one")
    say(chat, "/save rivers", "saved as rivers: kolo chat --resume rivers")
    assert [path.name for path in chats.iterdir()] == ["rivers.json"]
    say(chat, "/save ./copy.json", "saved as ./copy.json")
    say(chat, "/save ./copy.json", "error: copy.json is there already")
    say(chat, "/save -f ./copy.json", "saved as ./copy.json")
    assert json.loads((tmp_path / "copy.json").read_text())["messages"][1]["content"] == "one"
    say(chat, "/export md notes.md", "exported to notes.md")
    assert "## User\n\none\n" in (tmp_path / "notes.md").read_text()
    say(chat, "/export json", "exported to rivers.json")
    say(chat, "/clear", "the conversation is forgotten")
    say(chat, "two", "s:S|u:two")
    assert len(list(chats.iterdir())) == 2
    leave(chat)


def test_copy_asks_the_terminal(start: Start) -> None:
    chat = start()
    say(chat, "/copy", "error: there is no answer to copy yet")
    say(chat, "one", "s:S|u:one")
    say(chat, "/copy", "1 line to the terminal")
    assert b"\x1b]52;c;czpTfHU6b25l\x07" in chat.raw
    say(chat, "/copy code", "error: the last answer has no code block")
    leave(chat)


def test_a_full_context_is_warned_of_then_said_and_the_oldest_goes(start: Start) -> None:
    chat = start()
    long = "x" * 400
    assert "the context is" not in say(chat, long, "4 tok")
    shown = say(chat, "b" * 300, "4 tok")
    assert "% full" in shown
    shown = say(chat, "c" * 60, "not sent from now on")
    assert "the context is full" in shown
    assert long not in shown.partition("not sent from now on")[2]
    say(chat, "/show messages", "user (not sent any more): xxx")
    leave(chat)


def test_compact_goes_on_from_a_summary(start: Start, chats: Path) -> None:
    chat = start()
    say(chat, "/compact", "error: there is not enough yet")
    say(chat, "one", "s:S|u:one")
    say(chat, "two", "u:two")
    say(chat, "/compact", "It was about rivers.")
    shown = say(chat, "three", "|a:It was about rivers.|u:two|")
    assert "u:one|" not in shown.partition("s:S")[2].partition("|a:It was")[0]
    first, second = sorted((path.stem for path in chats.iterdir()), key=len)
    assert (first.endswith("-one"), second) == (True, f"{first}-2")
    leave(chat)


def test_help_of_all_and_of_one(start: Start) -> None:
    chat = start()
    say(chat, "/help copy", "the last answer, its code, or everything to the clipboard")
    shown = say(chat, "/help", "Ctrl-Z")
    assert "/compact" in shown
    leave(chat)
