"""Grammars of forced calls: what llguidance lets through, and that it reads back as calls."""

from __future__ import annotations

import random

import jsonschema
import pytest
from dialect_cases import SCHEMAS, TIME, TOOLS, Case, chat, read, reader_of
from dialect_grammars import SPELLED_OUT, accepts, grammar_of, vocabulary, walk
from dialect_texts import CASES

from kolo.engine.dialects import Dialect, detect
from kolo.errors import BadParameter
from kolo.types import Function, Reasoning, Tool

each_family = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
both_vocabularies = pytest.mark.parametrize("specials", [True, False], ids=["tokens", "text"])

NEVER_WRITTEN = {
    "llama3-python-tag": "forced calls have no python tag",
    "harmony": "one call ends the turn",
}


def written_calls(case: Case) -> str:
    """The calls of ``case`` as they are forced, where that is one of several ways."""
    if case.id == "functionary-v3.2":
        return case.calls.removeprefix(">>>")
    if case.id == "minicpm":
        return case.calls.replace("<![CDATA[Bern]]>", "Bern")
    if case.id == "lfm2":
        return case.calls.replace("'Zürich {x} \"q\" \\\\ ]'", '"Zürich {x} \\"q\\" \\\\ ]"')
    if case.id == "firefunction":
        return " " + case.calls
    return case.calls


def thought_opening(dialect: Dialect) -> str:
    if dialect.name == "harmony":
        return "<|channel|>analysis<|message|>"
    block = dialect.blocks[0]  # type: ignore[attr-defined]
    return f"{block.open}{block.lead}"


def with_thought_closed(dialect: Dialect, text: str) -> str:
    """The thought that the grammar opens, and passes over, written out."""
    opening = thought_opening(dialect)
    if not text.startswith(opening):
        return text
    return f"{opening} hm {dialect.reasoning_close}{text.removeprefix(opening)}"


@each_family
@both_vocabularies
def test_the_family_s_own_text_is_accepted(case: Case, specials: bool) -> None:
    if case.id in NEVER_WRITTEN:
        pytest.skip(NEVER_WRITTEN[case.id])
    vocab = vocabulary(case.dialect, specials=specials)
    grammar = grammar_of(case.dialect, chat(tool_choice="required"), vocab)
    assert accepts(grammar, written_calls(case), vocab)


@each_family
@pytest.mark.parametrize(
    ("specials", "parallel"), [(True, True), (False, False)], ids=["tokens-many", "text-one"]
)
def test_what_is_forced_reads_back_as_valid_calls(
    case: Case, specials: bool, parallel: bool
) -> None:
    rng = random.Random(11)
    vocab = vocabulary(case.dialect, specials=specials)
    request = chat(tool_choice="required", parallel_tool_calls=parallel)
    grammar = grammar_of(case.dialect, request, vocab)
    walks = (walk(grammar, vocab, rng, case.dialect.markers) for _ in range(20))
    ended = [text for text, _ in zip(filter(None, walks), range(3), strict=False)]
    assert ended
    for text in ended:
        outcome = read(reader_of(case.dialect, request), [with_thought_closed(case.dialect, text)])
        assert outcome.content == "", text
        assert len(outcome.calls) == 1 or (parallel and outcome.calls), text
        assert bool(outcome.reasoning) == text.startswith(thought_opening(case.dialect))
        for name, arguments in outcome.parsed:
            jsonschema.validate(arguments, SCHEMAS[name])


def text_of_one_call(case: Case) -> str:
    """A text that the grammar of ``case`` lets through: a call of get_time for Bern."""
    request = chat(
        [tool for tool in TOOLS if tool.function.name == "get_time"],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning=Reasoning(enabled=False),
    )
    rng = random.Random(0)
    grammar = grammar_of(case.dialect, request)
    walks = (walk(grammar, SPELLED_OUT, rng, case.dialect.markers) for _ in range(200))
    return next(text for text in walks if text and "Bern" in text)


@each_family
def test_arguments_that_violate_the_schema_are_rejected(case: Case) -> None:
    grammar = grammar_of(case.dialect, chat(tool_choice="required"))
    good = text_of_one_call(case)
    assert accepts(grammar, good)
    assert not accepts(grammar, good.replace("Bern", "Rome"))
    assert not accepts(grammar, good.replace("get_time", "get_tim"))
    assert not accepts(grammar, good.replace("city", "town"))


@each_family
@pytest.mark.parametrize("tool_choice", ["auto", "none"])
def test_nothing_is_forced_without_demand(case: Case, tool_choice: str) -> None:
    request = chat(tool_choice=tool_choice)
    assert case.dialect.call_grammar(request, special=lambda _: None) is None


@each_family
def test_a_named_function_is_the_only_one(case: Case) -> None:
    grammar = grammar_of(case.dialect, chat(tool_choice="function:get_time"))
    rng = random.Random(5)
    texts = [walk(grammar, SPELLED_OUT, rng, case.dialect.markers) for _ in range(3)]
    for text in filter(None, texts):
        outcome = read(reader_of(case.dialect), [with_thought_closed(case.dialect, text)])
        assert {name for name, _ in outcome.parsed} == {"get_time"}
    assert any(texts)


@pytest.mark.parametrize("choice", ["function:gone", "sometimes"])
def test_a_choice_that_cannot_be_met_is_refused_by_name(choice: str) -> None:
    with pytest.raises(BadParameter) as caught:
        CASES[0].dialect.call_grammar(chat(tool_choice=choice), special=lambda _: None)
    assert caught.value.param == "tool_choice"
    assert choice in caught.value.message


def test_required_without_tools_is_refused() -> None:
    with pytest.raises(BadParameter):
        CASES[0].dialect.call_grammar(chat(None, tool_choice="required"), special=lambda _: None)


@each_family
def test_a_tool_s_name_may_begin_with_another_s(case: Case) -> None:
    tools = [
        Tool(function=Function(name=name, parameters={"type": "object", "properties": {}}))
        for name in ("get", "get_time", "get_time_zone")
    ]
    grammar = grammar_of(case.dialect, chat(tools, tool_choice="required"))
    text = walk(grammar, SPELLED_OUT, random.Random(1), case.dialect.markers)
    if text is not None:
        reader = reader_of(case.dialect, chat(tools))
        assert read(reader, [with_thought_closed(case.dialect, text)]).calls, text


# How many, and after what -----------------------------------------------------------------

HERMES = detect("{{ tools }} <tool_call>")
CALL = '<tool_call>\n{"name": "get_time", "arguments": {"city": "Bern"}}\n</tool_call>'


def test_only_one_call_where_the_family_makes_one() -> None:
    call = '{"name": "get_time", "parameters": {"city": "Bern"}}'
    grammar = grammar_of(detect("{{ tools }} <|start_header_id|>"), chat(tool_choice="required"))
    assert accepts(grammar, call)
    assert not accepts(grammar, call + call)


def test_the_number_of_calls_follows_parallel_tool_calls() -> None:
    many = grammar_of(HERMES, chat(tool_choice="required"))
    one = grammar_of(HERMES, chat(tool_choice="required", parallel_tool_calls=False))
    assert accepts(many, f"{CALL}\n{CALL}")
    assert accepts(one, CALL)
    assert not accepts(one, f"{CALL}\n{CALL}")
    assert read(reader_of(HERMES), f"{CALL}\n{CALL}").parsed == [("get_time", TIME)] * 2


def test_a_thought_may_be_opened_where_the_template_knows_thoughts() -> None:
    thinking = detect("{{ tools }} <tool_call> <think>")
    required = chat(tool_choice="required")
    assert accepts(grammar_of(thinking, required), f"<think>{CALL}")
    assert accepts(grammar_of(thinking, required), f"\n\n{CALL}")
    assert not accepts(grammar_of(HERMES, required), f"<think>{CALL}")
    for off in (Reasoning(enabled=False), Reasoning(effort="none")):
        request = chat(tool_choice="required", reasoning=off)
        assert not accepts(grammar_of(thinking, request), f"<think>{CALL}")


def test_harmony_goes_on_after_its_thought() -> None:
    dialect = detect("{{ tools }} <|channel|>")
    grammar = grammar_of(dialect, chat(tool_choice="required"))
    call = '<|channel|>commentary to=functions.get_time <|constrain|>json<|message|>{"city":"Bern"}'
    assert accepts(grammar, call)
    assert accepts(grammar, f"<|channel|>analysis<|message|><|start|>assistant{call}")
    assert accepts(grammar, ' to=functions.ping<|channel|>commentary json<|message|>{"a": 1}')
