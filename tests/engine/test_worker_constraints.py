"""Answers under a constraint, drawn hot from a small model: always what was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jsonschema
import pytest
from harness import GUIDE, Worker, chat, prompt, worker

from kolo.errors import BadGrammar
from kolo.types import Chat, Constraint, Function, Generate, LoadParams, Message, Sampling, Tool

SCHEMAS = {
    "flat": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    },
    "nested": {
        "type": "object",
        "properties": {
            "user": {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "tags": {"type": "array", "items": {
                    "type": "string", "maxLength": 8}, "maxItems": 3}},
                "required": ["id", "tags"],
            }
        },
        "required": ["user"],
    },
    "enum": {"enum": ["red", "green", 3, None, {"a": [1]}]},
    "array": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 5},
    "ref": {
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {
            "type": "integer"}}, "required": ["x", "y"], "additionalProperties": False}},
        "type": "object",
        "properties": {"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}},
        "required": ["from", "to"],
    },
    "optional": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"const": 7}},
        "required": ["b"],
    },
    "pattern": {
        "type": "object",
        "properties": {"date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}},
        "required": ["date"],
    },
    "bounds": {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": -5, "maximum": 17}},
        "required": ["n"],
    },
    "union": {"anyOf": [{"type": "string", "maxLength": 12}, {"type": "integer"}, {
        "type": "null"}]},
    "tree": {
        "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {
            "type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
            "required": ["v", "kids"]}},
        "$ref": "#/$defs/node",
    },
}  # fmt: skip


NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.fixture(scope="module")
def engine() -> Iterator[Worker]:
    with worker(GUIDE, LoadParams(parallel=8, ctx=1024, threads=1)) as started:
        yield started


@pytest.mark.parametrize("name", SCHEMAS)
def test_hot_answers_fit_the_schema(engine: Worker, name: str) -> None:
    schema = SCHEMAS[name]
    ids = [
        engine.submit(
            chat(
                "Give me JSON",
                constraint=Constraint(json_schema=schema),
                sampling=Sampling(temperature=1, seed=seed),
            )
        )
        for seed in range(5)
    ]
    for answer in engine.wait(*ids):
        value = json.loads(answer.text())
        jsonschema.Draft202012Validator(schema).validate(value)
        assert answer.finish == "stop"


@pytest.mark.parametrize("max_tokens", [24, 40, 80])
def test_a_short_limit_still_closes_the_json(engine: Worker, max_tokens: int) -> None:
    schema = SCHEMAS["nested"] | {"additionalProperties": False}
    for seed in range(5):
        op = chat(
            "Give me JSON",
            constraint=Constraint(json_schema=schema),
            sampling=Sampling(temperature=1.5, seed=seed, top_k=0, min_p=0, top_p=1),
            max_tokens=max_tokens,
        )
        jsonschema.validate(json.loads(engine.ask(op).text()), schema)


def test_a_json_object_is_an_object(engine: Worker) -> None:
    op = chat("JSON", constraint=Constraint(json_object=True), max_tokens=60)
    assert isinstance(json.loads(engine.ask(op).text()), dict)


def test_a_grammar_is_kept(engine: Worker) -> None:
    grammar = 'root ::= word (" " word)* "."\nword ::= [A-Z] [a-z]{2,5}'
    for seed in range(5):
        op = prompt(
            "x",
            constraint=Constraint(grammar=grammar),
            sampling=Sampling(temperature=1, seed=seed),
            max_tokens=200,
        )
        answer = engine.ask(op)
        if answer.finish == "stop":
            assert re.fullmatch(r"[A-Z][a-z]{2,5}( [A-Z][a-z]{2,5})*\.", answer.text())


def test_choices_are_the_whole_answer(engine: Worker) -> None:
    choices = ["yes", "no", "yes, but"]
    for seed in range(6):
        op = chat(
            "Well?",
            constraint=Constraint(choices=choices),
            sampling=Sampling(temperature=2, seed=seed),
        )
        assert engine.ask(op).text() in choices


def test_n_answers_each_keep_a_constraint_of_their_own(engine: Worker) -> None:
    op = chat(
        "JSON",
        n=4,
        constraint=Constraint(json_schema=SCHEMAS["ref"]),
        sampling=Sampling(temperature=1.5, seed=2, top_k=0, min_p=0),
    )
    answer = engine.ask(op)
    for index in range(4):
        jsonschema.validate(json.loads(answer.text(index)), SCHEMAS["ref"])


@pytest.mark.parametrize("choice", ["required", "function:weather"])
def test_a_forced_call_cannot_be_malformed(engine: Worker, choice: str) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    tools = [
        Tool(function=Function(name="weather", parameters=parameters)),
        Tool(function=Function(name="clock", parameters=NOTHING)),
    ]
    for seed in range(5):
        conversation = Chat(
            messages=[Message(role="user", content="Weather?")],
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=False,
        )
        answer = engine.ask(
            Generate(
                input=conversation,
                sampling=Sampling(temperature=2, seed=seed, top_k=0, min_p=0),
                max_tokens=400,
            )
        )
        calls = [call for delta in answer.deltas for call in delta.tool_calls]
        assert answer.finish == "tool_calls"
        assert {call.index for call in calls} == {0}
        arguments = json.loads("".join(call.arguments for call in calls))
        if calls[0].name == "weather":
            jsonschema.validate(arguments, parameters)
        else:
            assert choice == "required"
        assert answer.text().strip() == ""


def test_with_tools_on_offer_a_form_is_kept_or_a_tool_is_called(engine: Worker) -> None:
    """Neither takes the other's place: both come out, and nothing else does."""
    form = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    seen = set()
    for seed in range(12):
        conversation = Chat(
            messages=[Message(role="user", content="Weather?")],
            tools=[Tool(function=Function(name="clock", parameters=NOTHING))],
            parallel_tool_calls=False,
        )
        answer = engine.ask(
            Generate(
                input=conversation,
                constraint=Constraint(json_schema=form),
                sampling=Sampling(temperature=30, seed=seed, top_k=0, top_p=1, min_p=0),
                max_tokens=400,
            )
        )
        seen.add(answer.finish)
        if answer.finish == "tool_calls":
            calls = [call for delta in answer.deltas for call in delta.tool_calls]
            assert calls[0].name == "clock"
            assert answer.text().strip() == ""
        else:
            jsonschema.validate(json.loads(answer.text()), form)
    assert seen == {"tool_calls", "stop"}


@pytest.mark.parametrize(
    ("constraint", "word"),
    [
        (Constraint(grammar='root ::= "a" |'), ""),
        (Constraint(grammar="nothing here"), "line 1"),
        (Constraint(grammar="top ::= [a-z]"), "root"),
        (Constraint(grammar="root ::= missing"), "missing"),
        (Constraint(json_schema={"type": "object", "not": {}}), "/not"),
        (Constraint(json_schema={"minimum": 5, "maximum": 1, "type": "integer"}), "at least 5"),
        (Constraint(json_schema={"enum": []}), "enum"),
        (Constraint(json_schema=False), ""),
        (Constraint(choices=[]), "choices"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_before_a_token_is_drawn(
    engine: Worker, constraint: Constraint, word: str
) -> None:
    answer = engine.ask(prompt("x", constraint=constraint, max_tokens=5))
    if constraint.grammar == 'root ::= "a" |':
        assert answer.error is None
        return
    assert isinstance(answer.error, BadGrammar)
    assert word in answer.error.message + (answer.error.param or "")
    assert answer.deltas == []
