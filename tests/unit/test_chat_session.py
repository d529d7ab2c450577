"""Conversations on disk, what is asked with them, and the files that go with a message."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from kolo.chat.attach import Attachment, attach, mentioned, with_files
from kolo.chat.choices import Choices, from_body
from kolo.chat.clipboard import copy
from kolo.chat.conversation import SUMMARISE, Conversation
from kolo.chat.session import Keeper, Session, Shelf, encode, read
from kolo.errors import UsageError
from kolo.types import Chat, Constraint, Reasoning


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "chats")


def session(*texts: str, system: str | None = "S") -> Session:
    conversation = Conversation(system)
    for text in texts:
        conversation.ask(text)
        conversation.answer(text.upper())
    return Session(conversation=conversation, choices=Choices(), model="guide")


# On disk ----------------------------------------------------------------------------------


def test_a_conversation_comes_back_as_it_was(shelf: Shelf) -> None:
    keeper, one = Keeper(shelf), session("What is a slot?", "größer")
    one.choices.set("temp", "0.5")
    one.choices.set("stop", "END")
    one.choices.think("off")
    assert keeper.save(one) is None
    assert keeper.path is not None
    again = read(keeper.path)
    assert again.conversation.all == one.conversation.all
    assert (again.model, again.choices) == ("guide", one.choices)
    assert "what-is-a-slot" in keeper.path.name


def test_the_file_is_a_request_in_openais_words() -> None:
    one = session("hello")
    one.choices.constraint = Constraint(json_schema={"type": "object"})
    body = json.loads(encode(one))
    assert body["messages"] == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "HELLO"},
    ]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert from_body(body).constraint == one.choices.constraint


def test_it_is_its_owners_alone(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.save(session("hello"))
    assert keeper.path is not None
    assert stat.S_IMODE(keeper.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shelf.folder.stat().st_mode) == 0o700


def test_nothing_said_is_nothing_saved(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.save(session())
    assert not shelf.folder.exists() or not list(shelf.folder.iterdir())


def test_a_question_under_way_is_in_the_file(shelf: Shelf) -> None:
    keeper, one = Keeper(shelf), session("one")
    one.conversation.ask("two")
    keeper.save(one)
    assert keeper.path is not None
    again = read(keeper.path)
    assert again.conversation.unanswered == "two"
    assert len(again.conversation) == 2


def test_what_another_program_wrote_is_not_written_over(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.save(session("one"))
    assert keeper.path is not None
    first = keeper.path
    os.replace(_other(first), first)
    remark = keeper.save(session("one", "two"))
    assert remark is not None
    assert keeper.path != first
    assert first.read_bytes() == b"{}"
    assert len(read(keeper.path).conversation) == 4


def test_a_conversation_named_again_as_it_is_called_stays(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.save(session("one"))
    for _ in range(2):
        keeper.move(shelf.folder / "rivers.json", session("one"))
        assert [one.name for one in shelf.saved()] == ["rivers"]


def test_what_another_program_wrote_outlives_the_move_to_another_name(shelf: Shelf) -> None:
    keeper = Keeper(shelf)
    keeper.save(session("one"))
    assert keeper.path is not None
    first = keeper.path
    os.replace(_other(first), first)
    keeper.move(shelf.folder / "rivers.json", session("one"))
    assert first.read_bytes() == b"{}"
    assert [one.name for one in shelf.saved()] == ["rivers"]


def test_a_summary_is_made_without_the_last_exchange_which_stays() -> None:
    told = session("one", "two", "three").conversation
    told.unanswered = "four"
    assert [turn.content for turn in told.before_last()] == ["S", "one", "ONE", "two", "TWO"]
    after = told.summarised("sum up", "so far")
    assert [turn.content for turn in after.turns] == ["sum up", "so far", "three", "THREE"]
    assert after.unanswered == "four"


def test_a_summary_takes_in_what_was_left_out_if_it_is_to() -> None:
    told = session("one", "two", "three").conversation
    told.left_out = 2
    assert [turn.content for turn in told.before_last()] == ["S", "two", "TWO"]
    whole = [turn.content for turn in told.before_last(whole=True)]
    assert whole == ["S", "one", "ONE", "two", "TWO"]


def test_a_summary_gives_a_conversation_neither_its_name_nor_its_title(shelf: Shelf) -> None:
    keeper, told = Keeper(shelf), session("rivers", "lakes")
    keeper.save(told)
    assert keeper.path is not None
    stem = keeper.path.stem
    told.conversation = told.conversation.summarised(f"{SUMMARISE} Above all: Po", "so far")
    keeper.fork()
    keeper.save(told)
    assert {one.name: one.title for one in shelf.saved()} == {stem: "rivers", f"{stem}-2": "lakes"}


@pytest.mark.parametrize("how", ["on", "500"])
def test_how_much_is_thought_is_kept(tmp_path: Path, how: str) -> None:
    one = session("one")
    one.choices.think(how)
    path = tmp_path / "a.json"
    path.write_bytes(encode(one))
    assert read(path).choices.reasoning == one.choices.reasoning


def _other(path: Path) -> Path:
    other = path.with_suffix(".other")
    other.write_bytes(b"{}")
    return other


def test_the_last_one_is_first_and_what_is_none_is_passed_over(shelf: Shelf) -> None:
    for at, text in enumerate(("rivers", "lakes")):
        keeper = Keeper(shelf)
        keeper.save(session(text))
        assert keeper.path is not None
        os.utime(keeper.path, (at, at))
    (shelf.folder / "broken.json").write_text("{")
    assert [one.title for one in shelf.saved()] == ["lakes", "rivers"]
    assert shelf.saved()[0].turns == 1, "its questions"
    last = shelf.last()
    assert last is not None
    assert "lakes" in last.name


def test_a_part_of_a_name_finds_it_if_of_one_only(shelf: Shelf) -> None:
    for text in ("rivers of Africa", "rivers of Asia"):
        Keeper(shelf).save(session(text))
    assert "africa" in shelf.find("africa").name
    with pytest.raises(UsageError, match="a part of 2 names"):
        shelf.find("rivers")
    with pytest.raises(UsageError, match="no conversation called"):
        shelf.find("lakes")
    with pytest.raises(UsageError, match="no such file"):
        shelf.find("./lakes.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no conversation"),
        ('{"model": "x"}', "it has no messages"),
        ('{"messages": [{"content": "no role"}]}', "role"),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}',
            "message 1 holds an image",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=why):
        read(path)


def test_parts_of_text_and_bare_messages_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    path.write_text(
        json.dumps([{"role": "developer", "content": "D"}, {"role": "user", "content": parts}])
    )
    found = read(path).conversation
    assert (found.system, found.unanswered) == ("D", "one two")


# How it is asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("temp", "0.5", 0.5), ("top-k", "40", 40), ("n", "7", 7), ("stop", "a b", ["a b"]),
     ("stop", '["a", "b"]', ["a", "b"]), ("ignore_eos", "true", True),
     ("samplers", '["top_k"]', ["top_k"])],
)  # fmt: skip
def test_set(name: str, text: str, value: object) -> None:
    choices = Choices()
    choices.set(name, text)
    assert list(choices.chosen().values()) == [value]
    choices.set(name, "default")
    assert choices.chosen() == {}


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [("temperatur", "1", "/set temperature"), ("temp", "hot", "/set temperature default"),
     ("top_p", "2", "/set top_p default"), ("xyz", "1", "/set lists all")],
)  # fmt: skip
def test_set_refuses_with_a_next_step(name: str, text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Choices().set(name, text)
    assert caught.value.hint == hint


def test_thinking_is_asked_of_a_server_in_the_templates_words() -> None:
    choices = Choices()
    choices.think("on")
    here, there = choices.request([], local=True).input, choices.request([], local=False).input
    assert isinstance(here, Chat)
    assert isinstance(there, Chat)
    assert here.reasoning == Reasoning(enabled=True)
    assert (there.reasoning, there.template_kwargs) == (
        None,
        {"enable_thinking": True, "thinking": True},
    )
    for how in ("off", "high", "200", "auto"):
        choices.think(how)
        assert choices.request([], local=True).input == choices.request([], local=False).input
    with pytest.raises(UsageError):
        choices.think("hard")


# Files ---------------------------------------------------------------------------------------


def test_files_after_an_at_are_found_and_other_ats_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "b c.txt").write_text("B")
    found = mentioned('compare @a.txt, with @"b c.txt"? @a.txt me@x.org @someone @src/x.py @f(x)')
    assert found.files == [Attachment("a.txt", "A"), Attachment("b c.txt", "B")]
    assert found.missing == ["src/x.py"]


def test_a_file_cannot_close_its_fence() -> None:
    text = with_files("why?", [Attachment("x.md", "```\ncode\n```")])
    assert text == "why?\n\nFile x.md:\n````md\n```\ncode\n```\n````"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image, and the models here read text alone"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"text\0more", "byte 0x00 at offset 4"),
        (b"gr\xfc\xdfe", "is not UTF-8: byte 0xfc at offset 2"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=why):
        attach(str(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("", "is a folder"), ("pipe", "no ordinary file"), ("gone", "No such file")):
        with pytest.raises(UsageError, match=why):
            attach(str(tmp_path / name))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(UsageError, match="5 MiB, and 4 MiB may go along"):
        attach(str(path))


# The clipboard -------------------------------------------------------------------------------


def test_a_terminal_is_asked_by_osc_52_and_through_what_is_between() -> None:
    plain = copy("größe", {"TERM": "xterm"}).sequence
    assert (
        base64.b64decode(plain.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode() == "größe"
    )
    tmux = copy("x", {"TMUX": "/tmp/x", "PATH": "/nonexistent"}).sequence
    assert tmux == "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\"
    assert copy("x", {"TERM": "screen"}).sequence == "\x1bP\x1b]52;c;eA==\x07\x1b\\"


def test_a_desktops_own_tool_goes_first_but_not_from_afar(tmp_path: Path) -> None:
    tool = tmp_path / "wl-copy"
    tool.write_text(f'#!/bin/sh\n/bin/cat > "{tmp_path}/got"\n')
    tool.chmod(0o755)
    env = {"WAYLAND_DISPLAY": "wayland-0", "PATH": str(tmp_path)}
    assert copy("far", {**env, "SSH_CONNECTION": "a b"}).sequence
    assert not (tmp_path / "got").exists()
    assert copy("near", env) == ("", "the clipboard (wl-copy)")
    assert (tmp_path / "got").read_text() == "near"
