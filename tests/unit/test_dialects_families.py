# ruff: noqa: RUF001 - DeepSeek's markers have fullwidth bars
"""What is particular to one family."""

from __future__ import annotations

from typing import Any

import pytest
from dialect_cases import TIME, both_ways, chat, reader_of

from kolo.engine.dialects import Dialect, detect
from kolo.types import Function, Tool

CODER = detect("{{ tools }} <tool_call> <function= <parameter=")
LLAMA = detect("{{ tools }} <|start_header_id|>")
MISTRAL = detect("{{ tools }} [TOOL_CALLS][ARGS]")
NEMO = detect("{{ tools }} [TOOL_CALLS]")
DEEPSEEK = detect("{{ tools }} <｜tool▁calls▁begin｜> ```json <think>")
DSML = detect("{{ tools }} ｜DSML｜ function_calls")
HARMONY = detect("{{ tools }} <|channel|>")
GLM = detect("{{ tools }} <arg_key>")
GEMMA4 = detect("{{ tools }} <|tool_call>call:")
LFM2 = detect("{{ tools }} <|tool_call_start|>")
COMMAND_R = detect("{{ tools }} <|START_ACTION|>")
KIMI = detect("{{ tools }} <|tool_calls_section_begin|>")
MINICPM = detect('{{ tools }} <function name="')

ONE_TIME = [("get_time", TIME)]

# A name or an object, then JSON -------------------------------------------------------------


def test_llama_s_answer_in_json_is_content_at_once() -> None:
    reader = reader_of(LLAMA)
    assert reader.feed('{"city":').content == '{"city":'
    assert reader.feed(' "Bern"}').content == ' "Bern"}'


def test_llama_s_code_after_the_python_tag_is_content_without_it() -> None:
    assert both_ways(LLAMA, "<|python_tag|>print(1)").content == "print(1)"


def test_llama_s_builtin_notation_is_read() -> None:
    text = '<|python_tag|>get_time.call(city="Bern")'
    assert both_ways(LLAMA, text).parsed == ONE_TIME


def test_llama_may_give_the_type_first() -> None:
    text = '{"type": "function", "name": "get_time", "parameters": {"city": "Bern"}}'
    assert both_ways(LLAMA, text).parsed == ONE_TIME


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS]get_time[ARGS]{"city": "Bern"}',
        '[TOOL_CALLS] get_time{"city": "Bern"}',
        '[TOOL_CALLS] [{"name": "get_time", "arguments": {"city": "Bern"}}]',
    ],
)
def test_both_of_mistral_s_notations_are_read(text: str) -> None:
    outcome = both_ways(MISTRAL, text)
    assert outcome.parsed == ONE_TIME
    assert len(outcome.calls[0][0]) == 9


def test_a_call_cut_before_its_id_is_still_delivered() -> None:
    outcome = both_ways(NEMO, '[TOOL_CALLS][{"name": "get_time", "arguments": {"city": "Be')
    assert [call[1:] for call in outcome.calls] == [("get_time", '{"city": "Be')]


def test_deepseek_s_fence_may_be_without_its_newlines() -> None:
    text = '<｜tool▁call▁begin｜>get_time```json\n{"city": "Bern"}\n```<｜tool▁call▁end｜>'
    assert both_ways(DEEPSEEK, text).parsed == ONE_TIME


def test_kimi_s_calls_are_read_without_their_section() -> None:
    text = (
        "<|tool_call_begin|>functions.get_time:3<|tool_call_argument_begin|>"
        '{"city": "Bern"}<|tool_call_end|>'
    )
    outcome = both_ways(KIMI, text)
    assert outcome.parsed == ONE_TIME
    assert outcome.calls[0][0] == "functions.get_time:3"


def test_command_r_s_positions_are_not_kept_as_ids() -> None:
    text = (
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "ping", "parameters": {}}]'
        "<|END_ACTION|>"
    )
    outcome = both_ways(COMMAND_R, text)
    assert outcome.parsed == [("ping", {})]
    assert outcome.calls[0][0].startswith("call_")


# Tags around raw values ---------------------------------------------------------------------


def test_coder_s_function_is_read_without_its_section() -> None:
    text = "<function=get_time>\n<parameter=city>\nBern\n</parameter>\n</function>\n</tool_call>"
    outcome = both_ways(CODER, text)
    assert outcome.parsed == ONE_TIME
    assert outcome.content == ""


def test_coder_s_multiline_values_lose_only_their_own_newlines() -> None:
    text = (
        "<tool_call>\n<function=get_time>\n<parameter=city>\n\n a\n\n</parameter>\n"
        "</function>\n</tool_call>"
    )
    assert both_ways(CODER, text).parsed == [("get_time", {"city": "\n a\n"})]


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (CODER, "<tool_call>\n<function=ping>\n</function>\n</tool_call>"),
        (GLM, "<tool_call>ping\n</tool_call>"),
        (GEMMA4, "<|tool_call>call:ping{}<tool_call|>"),
        (LFM2, "<|tool_call_start|>[ping()]<|tool_call_end|>"),
        (MINICPM, '<function name="ping"></function>'),
        (MISTRAL, "[TOOL_CALLS]ping[ARGS]{}"),
        (
            DSML,
            '<｜DSML｜function_calls>\n<｜DSML｜invoke name="ping">\n</｜DSML｜invoke>\n'
            "</｜DSML｜function_calls>",
        ),
    ],
)
def test_a_call_without_parameters_has_the_empty_object(dialect: Dialect, text: str) -> None:
    outcome = both_ways(dialect, text)
    assert outcome.parsed == [("ping", {})]
    assert outcome.content == ""


@pytest.mark.parametrize(
    ("value", "schema", "meant"),
    [
        ("5", {"type": "string"}, "5"),
        ("5", {"type": "integer"}, 5),
        ("5", {}, 5),
        ("five", {}, "five"),
        ('"5"', {}, '"5"'),
        ("True", {"type": "boolean"}, True),
        ("{'a': [None, 1.5]}", {"type": "object"}, {"a": [None, 1.5]}),
        ("[1, 2", {"type": "array"}, "[1, 2"),
        ("null", {"type": ["string", "null"]}, None),
        ("null", {"type": "string"}, "null"),
        ("a\nb", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "a\nb"),
        ("3", {"$ref": "#/$defs/n"}, 3),
        ("C", {"enum": ["C", "F"]}, "C"),
        ("1", {"enum": [1, 2]}, 1),
        ("NaN", {"type": "number"}, "NaN"),
        ("12345678901234567890.5", {"type": "number"}, 12345678901234567890.5),
    ],
)
def test_a_bare_value_is_what_the_schema_says(
    value: str, schema: dict[str, Any], meant: object
) -> None:
    parameters = {"properties": {"v": schema}, "$defs": {"n": {"type": "integer"}}}
    request = chat([Tool(function=Function(name="f", parameters=parameters))])
    text = f"<tool_call>f\n<arg_key>v</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>"
    assert both_ways(GLM, text, request).parsed == [("f", {"v": meant})]


def test_the_tag_s_own_word_on_the_type_is_believed() -> None:
    text = (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="ping">\n'
        '<｜DSML｜parameter name="a" string="true">5</｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="b" string="false">5</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    )
    assert both_ways(DSML, text).parsed == [("ping", {"a": "5", "b": 5})]


def test_minicpm_s_wrapped_value_may_hold_tags() -> None:
    text = '<function name="ping"><param name="a"><![CDATA[<b>\n</param>]]></param></function>'
    assert both_ways(MINICPM, text).parsed == [("ping", {"a": "<b>\n</param>"})]


# Named arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("'L'Aquila'", "L'Aquila"),
        ("'it\\'s'", "it's"),
        ('"a\\n\\u00fc\\x41\\d"', "a\nüA\\d"),
        ("True", True),
        ("None", None),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        ("[1, 'a', (True, {})]", [1, "a", [True, {}]]),
        ("{'k': null, \"l\": false,}", {"k": None, "l": False}),
        ("Bern", "Bern"),
    ],
)
def test_python_s_notation_becomes_json(written: str, meant: object) -> None:
    text = f"<|tool_call_start|>[ping(v={written}, w=1)]<|tool_call_end|>"
    assert both_ways(LFM2, text).parsed == [("ping", {"v": meant, "w": 1})]


def test_positional_arguments_make_no_call() -> None:
    text = "<|tool_call_start|>[ping('x')]<|tool_call_end|>"
    outcome = both_ways(LFM2, text)
    assert outcome.content == text
    assert not outcome.called


def test_gemma_s_strings_keep_quotes_and_braces() -> None:
    text = '<|tool_call>call:ping{a:<|"|>x"{,}<|"|>,b:{c_d:[true,null,-2]}}<tool_call|>'
    assert both_ways(GEMMA4, text).parsed == [
        ("ping", {"a": 'x"{,}', "b": {"c_d": [True, None, -2]}})
    ]


def test_gemma_s_empty_thought_leaves_nothing() -> None:
    for thought in ("<|channel>thought\n<channel|>", "<|channel>thought<channel|>"):
        outcome = both_ways(GEMMA4, f"{thought}Hi<channel|>")
        assert (outcome.reasoning, outcome.content) == ("", "Hi")


# Harmony ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        " to=functions.get_time<|channel|>analysis<|message|>",
        "<|channel|>analysis to=functions.get_time<|message|>",
        "<|channel|>commentary to=functions.get_time <|constrain|>json<|message|>",
        "<|start|>assistant<|channel|>commentary to=functions.get_time code<|message|>",
        "<|channel|>commentary to=assistant<|channel|>commentary to=get_time<|message|>",
    ],
)
def test_harmony_s_recipient_may_stand_in_any_header(header: str) -> None:
    outcome = both_ways(HARMONY, header + '{"city": "Bern"}')
    assert outcome.parsed == ONE_TIME
    assert (outcome.content, outcome.reasoning) == ("", "")


def test_harmony_s_final_channel_and_commentary_are_content() -> None:
    text = (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>b<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>c"
    )
    outcome = both_ways(HARMONY, text)
    assert (outcome.reasoning, outcome.content) == ("a", "b\n\nc")


def test_harmony_s_unknown_recipients_are_read_by_their_channel() -> None:
    text = (
        "<|channel|>analysis to=python<|message|>1+1<|call|><|start|>assistant"
        "<|channel|>commentary to=container.exec<|message|>ls"
    )
    outcome = both_ways(HARMONY, text)
    assert (outcome.reasoning, outcome.content) == ("1+1", "ls")


def test_harmony_s_arguments_that_are_no_object_are_passed_on() -> None:
    text = "<|channel|>commentary to=functions.ping<|message|>ls -l<|call|>"
    assert both_ways(HARMONY, text).calls[0][1:] == ("ping", "ls -l")


def test_harmony_cut_in_a_header_shows_none_of_it() -> None:
    text = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>fi"
    outcome = both_ways(HARMONY, text)
    assert (outcome.reasoning, outcome.content) == ("a", "")


@pytest.mark.parametrize("text", ["Just text, to=you.", "to=you, text", "to=" + "x" * 600])
def test_harmony_without_any_header_is_content(text: str) -> None:
    assert both_ways(HARMONY, text).content == text


def test_harmony_carries_on_a_thought() -> None:
    text = " more<|end|><|start|>assistant<|channel|>final<|message|>Yes"
    outcome = both_ways(HARMONY, text, opens_reasoning=True)
    assert (outcome.reasoning, outcome.content) == ("more", "Yes")
