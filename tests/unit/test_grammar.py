from __future__ import annotations

import json
import random

import numpy as np
import pytest
from grammar_cases import (
    COMPILER,
    EMPTY,
    EOS,
    EOT,
    PIECES,
    THINK,
    TinyVocab,
    accepts,
    answers,
    feed,
    gbnf,
    sample,
    schema,
)

from kolo.engine.grammar import GrammarCompiler, Matcher
from kolo.errors import BadGrammar, InternalError, Unsupported
from kolo.types import Constraint

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 3},
    },
    "required": ["name", "age"],
}
JSON_GBNF = r"""
root   ::= value
value  ::= object | array | string | [0-9]+ | "true" | "null"
object ::= "{" (string ":" value ("," string ":" value)*)? "}"
array  ::= "[" (value ("," value)*)? "]"
string ::= "\"" [^"\\\x00-\x1f]* "\""
"""
CONSTRAINTS = {
    "schema": Constraint(json_schema=PERSON),
    "json_object": Constraint(json_object=True),
    "anything": Constraint(json_schema=True),
    "gbnf recursive": Constraint(grammar=JSON_GBNF),
    "gbnf regular": Constraint(grammar='root ::= ("- " [^\\n]+ "\\n")+'),
    "gbnf tokens": Constraint(grammar='root ::= <think> (!<think>)* <think> "ab" [x-z]'),
    "choices": Constraint(choices=["yes", "no", "yesterday", "né"]),
}


def compiled(name: str) -> Matcher:
    return COMPILER.compile(CONSTRAINTS[name])


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_mask_and_allows_agree_on_every_token_along_random_answers(name: str) -> None:
    for seed in range(4):
        chance, matcher = random.Random(seed), compiled(name)
        for _ in range(30):
            mask = matcher.mask().copy()
            assert [matcher.allows(token) for token in range(len(PIECES))] == mask.tolist()
            assert mask.dtype == np.bool_
            token = int(chance.choice(mask.nonzero()[0]))
            matcher.accept(token)
            if token in TinyVocab.eog_tokens:
                break


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_end_token_is_allowed_exactly_where_the_answer_may_end(name: str) -> None:
    chance, matcher = random.Random(7), compiled(name)
    for _ in range(40):
        mask = matcher.mask()
        assert mask[EOS] == mask[EOT] == matcher.accepting
        if matcher.finished:
            assert mask.nonzero()[0].tolist() == [EOS, EOT]
            break
        matcher.accept(int(chance.choice(mask[:EOS].nonzero()[0] if mask[:EOS].any() else [THINK])))


def test_nothing_but_the_end_follows_the_end() -> None:
    matcher = COMPILER.compile(Constraint(choices=["a", "ab"]))
    assert feed(matcher, "a")
    assert not matcher.finished
    matcher.accept(EOS)
    assert matcher.finished
    assert matcher.accepting
    assert not matcher.allows(ord("b"))
    assert matcher.mask().nonzero()[0].tolist() == [EOS, EOT]
    with pytest.raises(InternalError):
        matcher.accept(ord("b"))


def test_control_and_empty_tokens_never_match_text() -> None:
    mask = gbnf("root ::= .+").mask()
    assert not mask[THINK]
    assert not mask[EMPTY]


def test_a_token_that_is_not_allowed_is_a_defect_and_nothing_is_open_after_it() -> None:
    matcher = schema(PERSON)
    with pytest.raises(InternalError, match="satisfy the grammar"):
        matcher.accept(ord("x"))
    for ask in (matcher.mask, lambda: matcher.allows(EOS), lambda: matcher.accepting):
        with pytest.raises(InternalError):
            ask()


def test_the_end_too_early_is_a_defect() -> None:
    with pytest.raises(InternalError):
        schema(PERSON).accept(EOS)


def test_a_dead_end_is_an_error_and_not_an_end() -> None:
    step = {"type": "number", "multipleOf": 0.01, "minimum": 0.015, "maximum": 0.021}
    matcher = COMPILER.compile(None, lark=f'start: "a" %json {json.dumps(step)}')
    matcher.accept(ord("a"))
    with pytest.raises(BadGrammar, match="contradicts itself"):
        matcher.mask()


def test_a_constraint_that_outgrows_its_limits_is_an_error_and_not_an_end() -> None:
    many = " | ".join(f'"b" "{i}"' for i in range(3000))
    matcher = COMPILER.compile(None, lark=f'start: "a" many\nmany: {many}')
    with pytest.raises(BadGrammar, match="too complex"):
        feed(matcher, "ab")


def test_a_clone_goes_its_own_way() -> None:
    matcher = schema(PERSON)
    assert feed(matcher, '{"name": "')
    other = matcher.clone()
    assert feed(matcher, 'x", "age": 1}')
    assert matcher.finished
    assert feed(other, 'yy", "age": 2')
    assert not other.finished


def test_the_same_constraint_again_starts_afresh() -> None:
    first = schema(PERSON)
    assert feed(first, '{"name": "x"')
    assert accepts(schema(PERSON), '{"name": "x", "age": 1}')


def test_forced_tokens_spell_what_must_follow() -> None:
    matcher = schema(PERSON)
    forced = matcher.forced_tokens()
    assert b"".join(PIECES[token] for token in forced) == b'{"name": "'
    for token in forced:
        matcher.accept(token)
    assert matcher.forced_tokens() == []


# Choices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choices",
    [
        ["yes", "no"],
        ["a", "ab", "abc"],
        ['quote " and \\', "new\nline", "/slash/", "[x]*.+?"],
        ["日本", "日", "é"],
        ["twice", "twice"],
        ["", "x"],
        [""],
        ["\x01\x7f"],
    ],
)
def test_choices_are_answered_exactly(choices: list[str]) -> None:
    found = sorted(answers(COMPILER.compile(Constraint(choices=choices))))
    assert found == sorted({choice.encode() for choice in choices})


@pytest.mark.parametrize("choices", [[], ["\ud800"], ["x" * 300_000]])
def test_choices_that_cannot_be_kept_are_refused(choices: list[str]) -> None:
    with pytest.raises(BadGrammar):
        COMPILER.compile(Constraint(choices=choices))


# What is asked -------------------------------------------------------------------------------


def test_two_constraints_at_once_are_refused_by_name() -> None:
    both = Constraint(grammar='root ::= "a"', choices=["a"])
    with pytest.raises(BadGrammar, match="grammar and choices"):
        COMPILER.compile(both)
    with pytest.raises(BadGrammar, match="choices and tool calls"):
        COMPILER.compile(Constraint(choices=["a"]), lark='start: "a"')


def test_no_constraint_is_no_grammar() -> None:
    with pytest.raises(BadGrammar, match="none"):
        COMPILER.compile(None)
    with pytest.raises(BadGrammar, match="none"):
        COMPILER.compile(Constraint())


def test_lark_with_json_and_special_tokens_is_followed() -> None:
    inner = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}})
    matcher = COMPILER.compile(None, lark=f'start: <[{THINK}]> "call " %json {inner}')
    assert matcher.mask().nonzero()[0].tolist() == [THINK]
    matcher.accept(THINK)
    assert feed(matcher, 'call {"a":1}')
    assert matcher.accepting


@pytest.mark.parametrize(
    "lark",
    ["start: <nope>", "start: %%", 'begin: "a"', 'start: %json {"not": {}}', 'start: "a" /(?=b)/'],
)
def test_lark_that_does_not_compile_is_refused(lark: str) -> None:
    with pytest.raises(BadGrammar, match="tools: "):
        COMPILER.compile(None, lark=lark)


def test_any_json_object_is_an_object_of_any_depth() -> None:
    matcher = COMPILER.compile(Constraint(json_object=True))
    assert accepts(matcher, '{"a": [1, {"b": [[[null]]]}], "c": -1.5e3}')
    assert accepts(matcher, "{}")
    assert not accepts(matcher, "[]")
    assert not accepts(matcher, '{"a":1}')
    for seed in range(20):
        text, whole = sample(matcher.clone(), seed, 60)
        assert whole
        assert isinstance(json.loads(text), dict)


def test_a_vocabulary_without_an_end_cannot_be_constrained() -> None:
    class Endless(TinyVocab):
        eog_tokens = ()

    with pytest.raises(Unsupported, match="ends an answer"):
        GrammarCompiler(Endless()).compile(Constraint(json_object=True))


# Steering ------------------------------------------------------------------------------------

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "size": {"type": "number", "exclusiveMinimum": 5, "maximum": 5.5},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "size", "children"],
        }
    },
}
HARD_TO_LEAVE = {
    "tree": TREE,
    "pattern": {"type": "array", "items": {"type": "string", "pattern": "^,*[x}]+y$"}},
    "format": {"type": "object", "properties": {"u": {"format": "uuid"}}, "required": ["u"]},
    "lengths": {"type": "array", "minItems": 2, "items": {"type": "string", "minLength": 6}},
    "numbers": {"type": "array", "minItems": 2, "items": {"type": "integer", "multipleOf": 97}},
    "anything": {"type": "object", "required": ["a", "b"], "properties": {"a": {}, "b": {}}},
    "text": {"type": "string"},
    "map": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "boolean"}},
}


@pytest.mark.parametrize("name", HARD_TO_LEAVE)
def test_steered_json_is_never_cut_off_by_the_budget(name: str) -> None:
    for seed in range(4):
        for budget in (65, 90):
            text, whole = sample(schema(HARD_TO_LEAVE[name]), seed, budget)
            assert whole, text
            json.loads(text)


def test_steering_uses_the_budget_to_its_last_token() -> None:
    enough = [sample(schema(PERSON), 3, budget)[1] for budget in range(40)]
    shortest = enough.index(True)
    assert shortest < len('{"name": "", "age": 0}')
    assert all(enough[shortest:])


def test_steering_leaves_a_long_budget_and_other_constraints_alone() -> None:
    matcher = schema({"type": "string"})
    matcher.accept(ord('"'))
    assert matcher.steer(ord("x"), 10_000) == ord("x")
    matcher = gbnf('root ::= "a"*')
    assert matcher.steer(ord("a"), 1) == ord("a")


def test_steering_that_cannot_save_the_answer_keeps_what_was_drawn() -> None:
    matcher = schema(PERSON)
    assert matcher.steer(ord("{"), 2) == ord("{")
