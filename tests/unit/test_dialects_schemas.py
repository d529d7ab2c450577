"""Forced arguments are bound to their schemas, whatever notation they are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dialect_cases import chat
from dialect_grammars import accepts, grammar_of

from kolo.engine.dialects import Dialect, detect
from kolo.errors import BadGrammar
from kolo.types import Function, Tool

HERMES = detect("{{ tools }} <tool_call>")
CODER = detect("{{ tools }} <tool_call> <function= <parameter=")
GEMMA4 = detect("{{ tools }} <|tool_call>call:")
LFM2 = detect("{{ tools }} <|tool_call_start|>")

Writer = Callable[[str], str]


def hermes(arguments: str) -> str:
    return f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call>'


def coder(arguments: str) -> str:
    return f"<tool_call>\n<function=f>\n{arguments}</function>\n</tool_call>"


def gemma(arguments: str) -> str:
    return f"<|tool_call>call:f{{{arguments}}}<tool_call|>"


def lfm2(arguments: str) -> str:
    return f"<|tool_call_start|>[f({arguments})]<|tool_call_end|>"


CALLS: dict[Dialect, Writer] = {HERMES: hermes, CODER: coder, GEMMA4: gemma, LFM2: lfm2}
ARGUMENTS: dict[Dialect, Writer] = {
    HERMES: lambda value: f'{{"v": {value}}}',
    CODER: lambda value: f"<parameter=v>\n{value}\n</parameter>\n",
    GEMMA4: lambda value: f"v:{value}",
    LFM2: lambda value: f"v={value}",
}


def forced(dialect: Dialect, schema: dict[str, Any], **more: Any) -> str:
    parameters = {"type": "object", "properties": {"v": schema}, "required": ["v"], **more}
    tool = Tool(function=Function(name="f", parameters=parameters))
    return grammar_of(dialect, chat([tool], tool_choice="required"))


@pytest.mark.parametrize(
    ("dialect", "schema", "good", "bad"),
    [
        (HERMES, {"type": "integer", "maximum": 5}, ["5"], ["6", '"5"']),
        (HERMES, {"type": "array"}, ["[1,2]", "[1, 2]", "[]"], ["[1,  2]", "[ 1]", "{}"]),
        (CODER, {"type": "integer", "maximum": 5}, ["5"], ["6", "five"]),
        (CODER, {"type": "string"}, ["x\ny", "", "5", "<b>"], ["a</parameter>b"]),
        (CODER, {"type": "string", "maxLength": 3}, ["", "abc"], ["abcd"]),
        (CODER, {"type": "string", "minLength": 2}, ["ab"], ["a"]),
        (CODER, {"type": "string", "pattern": "^a[0-9]+$"}, ["a12"], ["b1", "a1b"]),
        (CODER, {"type": "string", "pattern": "b/"}, ["abb/c"], ["abc"]),
        (CODER, {"type": "string", "pattern": "^(a|b)c"}, ["ac", "bcd"], ["c"]),
        (CODER, {"type": "string", "pattern": r"^\^[$^|]\$$"}, ["^|$"], ["|", "^a$"]),
        (CODER, {"enum": ["x", "xy"]}, ["x", "xy"], ["y", "xyz"]),
        (CODER, {"const": "x"}, ["x"], ["y"]),
        (CODER, {"type": "object"}, ['{"a": 1}', "{}"], ["{", "a"]),
        (CODER, {"anyOf": [{"enum": ["x"]}, {"type": "integer"}]}, ["x"], ["5"]),
        (CODER, {"$ref": "#/$defs/d"}, ["[2]"], ["[x]", "2"]),
        (CODER, {"allOf": [{"type": "string"}, {"maxLength": 1}]}, ["x"], ["xy"]),
        (CODER, {}, ["anything"], []),
        (GEMMA4, {"type": "string"}, ['<|"|>a"{},<|"|>', '<|"|><|"|>'], ['"a"', "a"]),
        (GEMMA4, {"type": "string", "maxLength": 2}, ['<|"|>ab<|"|>'], ['<|"|>abc<|"|>']),
        (GEMMA4, {"type": "number"}, ["-1.5"], ["x", '<|"|>1<|"|>']),
        (GEMMA4, {"type": ["integer", "null"]}, ["1", "null"], ["1.5"]),
        (GEMMA4, {"type": "integer", "nullable": True}, ["1", "null"], ["x"]),
        (GEMMA4, {"enum": ["a", 1, None]}, ['<|"|>a<|"|>', "1", "null"], ["2", "a"]),
        (
            GEMMA4,
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            ["[1]", "[1,2]"],
            ["[]", "[1,2,3]", "[1.5]", "[1, 2]"],
        ),
        (
            GEMMA4,
            {"properties": {"b": {"type": "boolean"}, "a": {"type": "integer"}}, "required": ["b"]},
            ["{a:1,b:true}", "{b:true}"],
            ["{a:1}", "{b:true,a:1}", "{}", "{b:1}", "{b:true,c:1}"],
        ),
        (GEMMA4, {"$ref": "#/$defs/d"}, ["[2]"], ['[<|"|>x<|"|>]']),
        (GEMMA4, {"$ref": "#/$defs/tree"}, ["{next:{next:{}}}", "{}"], ["{next:1}"]),
        (GEMMA4, {"anyOf": [{"type": "null"}, {"const": "x"}]}, ["null"], ["1"]),
        (GEMMA4, {"allOf": [{"type": "integer"}]}, ["1"], ["1.5"]),
        (GEMMA4, {}, ['{a:[1,<|"|>x<|"|>,{}]}', "null"], ["x", "[1,]"]),
        (GEMMA4, {"type": "object"}, ['{k:<|"|>v<|"|>}', "{}"], ["[1]"]),
        (LFM2, {"type": "string"}, ["'it'", '"it\'s"'], ["it", "'it's'"]),
        (LFM2, {"type": "string", "enum": ["C", "F"]}, ["'C'", '"F"'], ["'X'", "C"]),
        (LFM2, {"type": "boolean"}, ["True", "false"], ["None", "1"]),
        (LFM2, {"type": ["integer", "null"]}, ["None", "null", "3"], ["True"]),
        (LFM2, {"type": "array", "items": {"type": "string"}}, ['["a"]'], ["['a']", "[1]"]),
    ],
)
def test_a_value_is_bound_to_its_schema(
    dialect: Dialect, schema: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    definitions = {
        "d": {"type": "array", "items": {"type": "integer"}},
        "tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}},
    }
    grammar = forced(dialect, schema, **{"$defs": definitions})
    for value in good:
        assert accepts(grammar, CALLS[dialect](ARGUMENTS[dialect](value))), value
    for value in bad:
        assert not accepts(grammar, CALLS[dialect](ARGUMENTS[dialect](value))), value


@pytest.mark.parametrize(
    ("dialect", "schema"),
    [
        (GEMMA4, {"type": "object", "patternProperties": {"^a": {}}}),
        (GEMMA4, {"not": {"type": "string"}}),
        (GEMMA4, {"allOf": [{"type": "string"}, {"maxLength": 2}]}),
        (GEMMA4, {"$ref": "#/$defs/none"}),
        (GEMMA4, {"type": "string", "pattern": "(?=a)b"}),
        (CODER, {"type": "string", "pattern": "^a|b$"}),
        (CODER, {"type": "string", "pattern": r"\bword"}),
        (CODER, {"type": "string", "pattern": "a^b"}),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused(
    dialect: Dialect, schema: dict[str, Any]
) -> None:
    with pytest.raises(BadGrammar) as caught:
        forced(dialect, schema)
    assert caught.value.param == "tools"


@pytest.mark.parametrize("dialect", [CODER, GEMMA4, LFM2], ids=["coder", "gemma4", "lfm2"])
@pytest.mark.parametrize(
    "more",
    [{"minProperties": 2}, {"anyOf": [{"required": ["v"]}]}, {"patternProperties": {"a": {}}}],
)
def test_parameters_that_are_more_than_a_list_are_refused(
    dialect: Dialect, more: dict[str, Any]
) -> None:
    with pytest.raises(BadGrammar):
        forced(dialect, {"type": "string"}, **more)


def test_a_required_parameter_that_is_not_described_is_asked_for() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["v"]}
    tool = Tool(function=Function(name="f", parameters=parameters))
    for dialect, value in ((HERMES, "1"), (CODER, "1"), (GEMMA4, "1"), (LFM2, "1")):
        grammar = grammar_of(dialect, chat([tool], tool_choice="required"))
        assert accepts(grammar, CALLS[dialect](ARGUMENTS[dialect](value)))
        assert not accepts(grammar, CALLS[dialect](ARGUMENTS[dialect](value).replace("v", "a")))


@pytest.mark.parametrize(
    ("dialect", "arguments"),
    [
        (HERMES, ['{"x": 1}', "{}"]),
        (CODER, ["<parameter=x>\n1\n</parameter>\n", ""]),
        (GEMMA4, ['x:1,y:<|"|>a<|"|>', ""]),
        (LFM2, ["x=1, y='a'", ""]),
    ],
)
def test_parameters_left_out_by_the_tool_are_any_object(
    dialect: Dialect, arguments: list[str]
) -> None:
    request = chat([Tool(function=Function(name="f"))], tool_choice="required")
    grammar = grammar_of(dialect, request)
    assert all(accepts(grammar, CALLS[dialect](one)) for one in arguments)


@pytest.mark.parametrize("dialect", CALLS, ids=[dialect.name for dialect in CALLS])
@pytest.mark.parametrize(
    ("given", "allowed"),
    [("abc", True), ("b", True), ("ab", True), ("bc", True), ("ac", False), ("", False)],
)
def test_optional_parameters_may_be_left_out_and_required_ones_not(
    dialect: Dialect, given: str, allowed: bool
) -> None:
    written = {
        HERMES: "{" + ", ".join(f'"{key}": 1' for key in given) + "}",
        CODER: "".join(f"<parameter={key}>\n1\n</parameter>\n" for key in given),
        GEMMA4: ",".join(f"{key}:1" for key in given),
        LFM2: ", ".join(f"{key}=1" for key in given),
    }
    properties = {name: {"type": "integer"} for name in "abc"}
    parameters = {"type": "object", "properties": properties, "required": ["b"]}
    tool = Tool(function=Function(name="f", parameters=parameters))
    grammar = grammar_of(dialect, chat([tool], tool_choice="required"))
    assert accepts(grammar, CALLS[dialect](written[dialect])) is allowed
