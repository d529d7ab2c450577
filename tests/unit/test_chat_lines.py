"""Slash commands, the turns of a conversation, the line of numbers after an answer."""

from __future__ import annotations

import pytest

from kolo.chat.commands import COMMANDS, Call, Say, Unknown, find, help_text, read_line
from kolo.chat.conversation import Conversation
from kolo.chat.lines import unfinished
from kolo.chat.stats import context, duration, short_count, stats_line
from kolo.cli.output import Look, fitting
from kolo.types import Generated, Timings, Usage


@pytest.mark.parametrize("line", ["", "   ", "\n\t ", '""""""', '"""\n"""'])
def test_an_empty_line_is_nothing(line: str) -> None:
    assert read_line(line) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("hello", "hello"),
        ("  two\nlines  ", "two\nlines"),
        ("//usr/bin?", "/usr/bin?"),
        ("///", "//"),
        ("a /clear inside", "a /clear inside"),
    ],
)
def test_text_is_for_the_model(line: str, text: str) -> None:
    assert read_line(line) == Say(text)


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("/exit", "/exit", ""),
        ("/bye", "/exit", ""),
        ("/clear ", "/clear", ""),
        ("/HELP", "/help", ""),
        ("/?", "/help", ""),
        ("/set  temp   0.5 ", "/set", "temp   0.5"),
        ("/system be\nbrief", "/system", "be\nbrief"),
    ],
)
def test_commands(line: str, name: str, rest: str) -> None:
    command = find(name)
    assert command is not None
    assert read_line(line) == Call(command, rest)


def test_no_two_commands_share_a_name() -> None:
    names = [name for command in COMMANDS for name in command.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('"""one\ntwo"""', "one\ntwo"),
        ('"""\n  indented\n"""', "  indented"),
        ('"""/clear @file"""', "/clear @file"),
    ],
)
def test_quotes_hold_a_message_as_it_is(line: str, text: str) -> None:
    assert read_line(line) == Say(text, quoted=True)


def test_quotes_are_closed_before_a_message_is_whole() -> None:
    assert unfinished('"""one')
    assert unfinished('"""')
    assert unfinished('  """one\ntwo')
    assert not unfinished('"""one"""')
    assert not unfinished('one """ two')


def test_an_unknown_command_is_not_sent_and_the_nearest_is_named() -> None:
    near = read_line("/claer")
    assert isinstance(near, Unknown)
    assert (
        near.message
        == "no command /claer: did you mean /clear? (// sends a line that begins with /)"
    )
    far = read_line("/usr/bin/env what is this")
    assert isinstance(far, Unknown)
    assert far.message.startswith("no command /usr/bin/env: /help lists all")


def test_a_command_refuses_what_it_would_ignore() -> None:
    assert read_line("/clear all") == Unknown("/clear takes nothing after it, not 'all'")


def test_help_names_every_command() -> None:
    for command in COMMANDS:
        assert all(name in help_text() for name in command.names)
        assert command.help in help_text()
        assert command.help in help_text(command.names[0])
        assert command.help in help_text(command.names[0].removeprefix("/"))


def roles(conversation: Conversation) -> list[str]:
    return [message.role for message in conversation.messages]


def test_turns_alternate_after_the_system_message() -> None:
    talk = Conversation("Be brief.")
    talk.ask("one?")
    talk.answer("One.")
    talk.ask("two?")
    assert roles(talk) == ["system", "user", "assistant", "user"]


def test_a_question_without_any_answer_is_taken_back() -> None:
    talk = Conversation()
    talk.ask("one?")
    talk.answer("One.")
    talk.ask("two?")
    talk.answer("")
    assert roles(talk) == ["user", "assistant"]


def test_what_came_of_a_stopped_answer_stays() -> None:
    talk = Conversation()
    talk.ask("why?")
    talk.answer("", "let me see")
    assert roles(talk) == ["user", "assistant"]
    assert talk.messages[-1].reasoning_content == "let me see"


def test_clear_keeps_the_system_message() -> None:
    talk = Conversation("Be brief.")
    talk.ask("one?")
    talk.answer("One.")
    talk.clear()
    assert roles(talk) == ["system"]


def test_messages_sent_do_not_change_afterwards() -> None:
    talk = Conversation()
    talk.ask("one?")
    sent = talk.messages
    talk.answer("One.")
    assert len(sent) == 1


def test_another_answer_replaces_the_last_one_only_if_it_comes() -> None:
    talk = Conversation()
    talk.ask("one?")
    talk.answer("One.")
    assert talk.ask_again()
    assert roles(talk) == ["user"]
    talk.answer("")
    assert [message.content for message in talk.messages] == ["one?", "One."]
    assert talk.ask_again()
    talk.answer("Uno.")
    assert [message.content for message in talk.messages] == ["one?", "Uno."]


def test_an_unanswered_question_can_be_asked_again() -> None:
    talk = Conversation()
    assert not talk.ask_again()
    talk.ask("one?")
    talk.answer("")
    assert (talk.unanswered, len(talk)) == ("one?", 0)
    assert [message.content for message in talk.all] == ["one?"]
    assert talk.ask_again()
    assert roles(talk) == ["user"]


def test_undo_takes_back_one_exchange_at_a_time() -> None:
    talk = Conversation("S")
    for number in ("one", "two"):
        talk.ask(number)
        talk.answer(number.upper())
    assert (talk.undo(), talk.undo(), talk.undo()) == ("two", "one", None)
    assert roles(talk) == ["system"]


def test_what_is_left_out_is_saved_and_not_sent() -> None:
    talk = Conversation("S")
    for number in ("one", "two", "three"):
        talk.ask(number)
        talk.answer(number.upper())
    talk.left_out = 4
    assert [message.content for message in talk.messages] == ["S", "three", "THREE"]
    assert len(talk.all) == 7
    assert talk.exchanges() == [4]


def test_a_summary_stands_for_all_but_the_last_exchange() -> None:
    talk = Conversation("S")
    for number in ("one", "two"):
        talk.ask(number)
        talk.answer(number.upper())
    short = talk.summarised("Sum up.", "Numbers.")
    assert [message.content for message in short.messages] == [
        "S",
        "Sum up.",
        "Numbers.",
        "two",
        "TWO",
    ]
    assert len(talk) == 4


def result(n: int, decode_ms: float, ttft_ms: float, cached: int, prefill_ms: float) -> Generated:
    return Generated(
        usage=Usage(prompt_tokens=2000, cached_tokens=cached, completion_tokens=n),
        timings=Timings(ttft_ms=ttft_ms, decode_ms=decode_ms, prefill_ms=prefill_ms),
    )


def test_stats_line() -> None:
    assert stats_line(result(412, 8544.7, 210.4, 1130, 966.7)) == (
        "412 tok · 48.1 tok/s · ttft 210 ms · prompt 2.0k @ 900 tok/s · cached 1.1k"
    )


def test_stats_line_leaves_out_what_was_not_measured() -> None:
    assert stats_line(result(1, 0.0, 3400, 0, 0.0)) == "1 tok · ttft 3.4 s · prompt 2.0k"
    assert (
        stats_line(result(0, 0.0, 0.8, 2000, 5.0))
        == "0 tok · ttft 0.8 ms · prompt 2.0k · cached 2.0k"
    )


def test_context() -> None:
    assert context(1200, 4100) == "1.2k/4.1k ▓▓░░░░░░ 29 %"
    assert context(5000, 4100) == "5.0k/4.1k ▓▓▓▓▓▓▓▓ 100 %"
    poor = Look(terminal=True, colour=False, unicode=False, redraw=True)
    assert fitting(context(1200, 4100), poor) == "1.2k/4.1k ##...... 29 %"
    assert (context(0, 4100), context(10, 0)) == ("4.1k", "")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (12_345, "12k"), (1_200_000, "1.2M")],
)
def test_short_count(count: int, text: str) -> None:
    assert short_count(count) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(0.84, "0.8 ms"), (9.96, "10 ms"), (999.4, "999 ms"), (999.6, "1.0 s")]
)
def test_duration(ms: float, text: str) -> None:
    assert duration(ms) == text
