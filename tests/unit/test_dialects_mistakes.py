# ruff: noqa: RUF001 - DeepSeek's markers have fullwidth bars
"""What models write besides what they are asked for, and what becomes of it."""

from __future__ import annotations

import json

import pytest
from dialect_cases import TIME, WEATHER_SCHEMA, both_ways, chat, read, reader_of

from kolo.engine.dialects import detect
from kolo.types import Function, Tool

HERMES = detect("{{ tools }} <tool_call> <think>")
CODER = detect("{{ tools }} <tool_call> <function= <parameter=")
NEMO = detect("{{ tools }} [TOOL_CALLS]")
DEEPSEEK = detect("{{ tools }} <｜tool▁calls▁begin｜> ```json <think>")
GEMMA4 = detect("{{ tools }} <|tool_call>call:")
LFM2 = detect("{{ tools }} <|tool_call_start|>")
GRANITE = detect("{{ tools }} <|start_of_role|>")

ONE_TIME = [("get_time", TIME)]

# Objects ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "get_time", "arguments": {"city": "Bern"}}</tool_call>',
        '<tool_call>\n{"arguments": {"city": "Bern"}, "name": "get_time"}\n</tool_call>',
        '<tool_call>\n{"name": "get_time", "parameters": {"city": "Bern"}}\n</tool_call>',
        '<tool_call>\n{"name": "get_time", "arguments": "{\\"city\\": \\"Bern\\"}"}\n</tool_call>',
        '<tool_call>{"function": {"name": "get_time", "arguments": {"city": "Bern"}}}</tool_call>',
        '<tool_call>\n[{"name": "get_time", "arguments": {"city": "Bern"}}]\n</tool_call>',
        '<tool_call>```json\n{"name": "get_time", "arguments": {"city": "Bern"}}\n```</tool_call>',
        '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"}\n</tool_call>',
        '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"\n</tool_call>',
        '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"}}}\n</tool_call>',
        '<tool_call>\n{"id": 7, "x": [{}], "name": "get_time", "arguments": {"city": "Bern"}}',
        '<tool_call>\n{"name": "functions.get_time", "arguments": {"city": "Bern"}}\n</tool_call>',
        '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"}, "why": "x"}</tool_call>',
        "<tool_call><function=get_time><parameter=city>Bern</parameter></function></tool_call>",
    ],
)
def test_variants_of_an_object_are_read(text: str) -> None:
    outcome = both_ways(CODER if "<function" in text else HERMES, text)
    assert outcome.parsed == ONE_TIME
    assert outcome.content == ""


def test_several_objects_in_one_tag_are_several_calls() -> None:
    one = '{"name": "get_time", "arguments": {"city": "Bern"}}'
    outcome = both_ways(HERMES, f"<tool_call>\n{one}\n{one}\n</tool_call>")
    assert outcome.parsed == ONE_TIME * 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"a\nb\tc"', "a\nb\tc"),
        (r'"\d+ it\'s C:\x"', r"\d+ it's C:\x"),
        (r'"\u00fc\n\\ \" {}[]"', 'ü\n\\ " {}[]'),
        ('"</tool_call> <think>"', "</tool_call> <think>"),
    ],
)
def test_strings_that_are_not_quite_json_are_put_right(written: str, meant: str) -> None:
    text = f'<tool_call>{{"name": "get_time", "arguments": {{"city": {written}}}}}</tool_call>'
    assert both_ways(HERMES, text).parsed == [("get_time", {"city": meant})]


@pytest.mark.parametrize("arguments", ["", ', "arguments": {}', ', "arguments": null'])
def test_missing_arguments_are_the_empty_object(arguments: str) -> None:
    text = f'<tool_call>\n{{"name": "ping"{arguments}}}\n</tool_call>'
    assert both_ways(HERMES, text).parsed == [("ping", {})]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "unknown", "arguments": {"a": 1}}\n</tool_call>',
        "<tool_call>\n{name: get_time}\n</tool_call>",
        '<tool_call>{"arguments": {"city": "Bern"}}</tool_call>',
        "<tool_call> get_time </tool_call> and more",
        '<tool_call>\n{"name": "get_ti',
        "before <tool_call> <tool_call> after",
        "<tool_call></tool_call>",
    ],
)
def test_what_is_no_call_is_content_to_the_last_character(text: str) -> None:
    outcome = both_ways(HERMES, text)
    assert outcome.content == text
    assert not outcome.called


def test_a_call_after_a_failed_one_is_read() -> None:
    good = '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"}}\n</tool_call>'
    outcome = both_ways(HERMES, f"<tool_call> as in {good}")
    assert outcome.parsed == ONE_TIME
    assert outcome.content == "<tool_call> as in"


def test_what_follows_the_calls_of_a_list_that_breaks_is_content() -> None:
    text = '[TOOL_CALLS][{"name": "ping", "arguments": {}}, {"name": "gone"}]'
    outcome = both_ways(NEMO, text)
    assert outcome.parsed == [("ping", {})]
    assert outcome.content == ', {"name": "gone"}]'


def test_broken_arguments_are_passed_on_as_written() -> None:
    text = '<tool_call>{"name": "get_time", "arguments": {"city": Bern, "x": }}</tool_call>'
    outcome = both_ways(HERMES, text)
    assert [call[1:] for call in outcome.calls] == [("get_time", '{"city": Bern, "x": }')]
    assert outcome.content == ""


def test_words_between_and_after_calls_are_paragraphs_of_the_content() -> None:
    call = '<tool_call>\n{"name": "ping"}\n</tool_call>'
    outcome = both_ways(HERMES, f"One.\n{call}\nTwo.\n{call}\n\nThree. \n")
    assert outcome.parsed == [("ping", {})] * 2
    assert outcome.content == "One.\n\nTwo.\n\nThree. \n"


def test_whitespace_inside_content_is_kept_and_beside_markers_dropped() -> None:
    text = "\n\n<think>\n\n  a \n b\n\n</think>\n\n  c \n\n d\n"
    outcome = both_ways(HERMES, text)
    assert (outcome.reasoning, outcome.content) == ("a \n b", "c \n\n d\n")


# Reasoning --------------------------------------------------------------------------------


def test_a_thought_that_does_not_end_is_all_reasoning() -> None:
    outcome = both_ways(HERMES, "<think>On and on </thi")
    assert (outcome.reasoning, outcome.content) == ("On and on </thi", "")


def test_an_opening_tag_written_again_is_left_out() -> None:
    outcome = both_ways(HERMES, "<think>\nSo.\n</think>\nYes.", opens_reasoning=True)
    assert (outcome.reasoning, outcome.content) == ("So.", "Yes.")


def test_a_closing_tag_at_the_start_is_left_out() -> None:
    assert both_ways(HERMES, "</think>\n\nYes.").content == "Yes."


def test_a_tag_spoken_of_in_the_answer_opens_no_thought() -> None:
    outcome = both_ways(HERMES, "The tag <think> opens a thought, </think> ends it.")
    assert outcome.content == "The tag <think> opens a thought, </think> ends it."
    assert outcome.reasoning == ""


def test_thinking_again_after_a_call_is_reasoning_again() -> None:
    call = '<tool_call>{"name": "ping"}</tool_call>'
    outcome = both_ways(HERMES, f"<think>a</think>{call}<think>b</think>{call}")
    assert outcome.reasoning == "a\n\nb"
    assert outcome.parsed == [("ping", {})] * 2


def test_a_call_s_control_token_ends_a_thought_that_was_not_closed() -> None:
    text = (
        "I will call.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n"
        '```json\n{"city": "Bern"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    )
    outcome = both_ways(DEEPSEEK, text, opens_reasoning=True)
    assert (outcome.reasoning, outcome.content) == ("I will call.", "")
    assert outcome.parsed == ONE_TIME


def test_a_call_drafted_in_a_thought_between_plain_tags_is_not_made() -> None:
    draft = '<tool_call>{"name": "ping"}</tool_call>'
    outcome = both_ways(HERMES, f"<think>I could write {draft}.</think>No.")
    assert outcome.reasoning == f"I could write {draft}."
    assert not outcome.called


def test_granite_s_response_tags_are_left_out() -> None:
    outcome = both_ways(GRANITE, "<think>a</think><response>b <response> c</response>")
    assert (outcome.reasoning, outcome.content) == ("a", "b <response> c")


def test_other_tags_of_thoughts_are_known_from_the_template() -> None:
    dialect = detect("{{ tools }} <tool_call> <reasoning>")
    assert dialect.reasoning_close == "</reasoning>"
    outcome = both_ways(dialect, "a</reasoning>b", opens_reasoning=True)
    assert (outcome.reasoning, outcome.content) == ("a", "b")


# Bounds -----------------------------------------------------------------------------------


def test_deep_nesting_raises_nothing() -> None:
    deep = "[" * 5000
    for dialect, before in (
        (HERMES, '<tool_call>{"name": "ping", "arguments": {"a": '),
        (HERMES, '<tool_call>{"x": '),
        (LFM2, "<|tool_call_start|>[ping(a="),
        (GEMMA4, "<|tool_call>call:ping{a:"),
        (CODER, "<tool_call><function=ping><parameter=a>"),
    ):
        text = before + deep + "]" * 5000
        outcome = read(reader_of(dialect), [text, "</parameter></function>"])
        given = outcome.content + "".join(arguments for _, _, arguments in outcome.calls)
        assert "[[" in given


def test_a_name_that_never_ends_is_content() -> None:
    text = "<function=" + "x" * 1000
    assert both_ways(CODER, text).content == text


def test_a_long_argument_arrives_whole() -> None:
    city = 'x\\"{' * 20_000
    text = f'<tool_call>{{"name": "get_time", "arguments": {{"city": "{city}"}}}}</tool_call>'
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    outcome = read(reader_of(HERMES), pieces)
    assert outcome.parsed == [("get_time", {"city": 'x"{' * 20_000})]


def test_tools_with_the_same_parameters_are_told_apart_by_name() -> None:
    tools = [
        Tool(function=Function(name=name, parameters=WEATHER_SCHEMA)) for name in ("a", "ab", "b")
    ]
    text = '<tool_call>{"name": "ab", "arguments": {"city": "x"}}</tool_call>'
    outcome = both_ways(HERMES, text, chat(tools))
    assert [call[1] for call in outcome.calls] == ["ab"]
    assert json.loads(outcome.calls[0][2]) == {"city": "x"}
