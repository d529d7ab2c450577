"""Every family's own answer, read whole, in pieces, cut off, and without tools."""

from __future__ import annotations

import itertools
import random

import pytest
from dialect_cases import Case, chat, read, reader_of
from dialect_texts import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from kolo.types import Function, Tool

each_family = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])

LOOKALIKES = (
    "a < b and c > d, if x<y: y|x",
    "An unfinished <tool",
    "[TOOL",
    "{",
    '{"name": "nobody", "arguments": {}}',
    "[1, 2] {not json} <|weird|> <b>bold</b> >>> print('x')\n>>>",
    "<tool_call>is how they look</tool_call>, or [TOOL_CALLS] and <function=f>.",
    "Use `[link](https://x.org)` \u2014 done.   \n\n",
    "\n\n  indented\n\tcode\n",
    "\U0001f469\u200d\U0001f467 \uff5c \u2581 \ufdfa",
)


@each_family
def test_a_thought_words_and_two_calls_are_told_apart(case: Case) -> None:
    reader = reader_of(case.dialect, opens_reasoning=case.opens_reasoning)
    outcome = read(reader, [case.text])
    assert outcome.reasoning == case.thought
    assert outcome.content == case.words
    assert outcome.parsed == case.arguments
    assert outcome.called


@each_family
def test_the_detected_dialect_has_the_family_s_name(case: Case) -> None:
    assert case.dialect.name == case.name


@each_family
def test_read_character_by_character_is_read_the_same(case: Case) -> None:
    whole = read(reader_of(case.dialect, opens_reasoning=case.opens_reasoning), [case.text])
    chars = read(reader_of(case.dialect, opens_reasoning=case.opens_reasoning), case.text)
    assert chars == whole


@each_family
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_where_the_text_is_cut_changes_nothing(case: Case, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(case.text)), label="end")
    cuts = data.draw(st.lists(st.integers(0, end), max_size=12), label="cuts")
    pieces = [case.text[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), end])]
    expected = read(
        reader_of(case.dialect, opens_reasoning=case.opens_reasoning), [case.text[:end]]
    )
    found = read(reader_of(case.dialect, opens_reasoning=case.opens_reasoning), pieces)
    assert found == expected


@each_family
def test_an_answer_cut_off_anywhere_is_delivered_as_far_as_it_came(case: Case) -> None:
    whole = read(reader_of(case.dialect, opens_reasoning=case.opens_reasoning), [case.text])
    n_calls = 0
    for end in range(len(case.text)):
        reader = reader_of(case.dialect, opens_reasoning=case.opens_reasoning)
        outcome = read(reader, [case.text[:end]])
        assert outcome.called == bool(outcome.calls)
        assert outcome.content.removeprefix(case.words).strip() in ">>>" + case.text
        for (_, name, arguments), full in zip(outcome.calls, whole.calls, strict=False):
            assert name == full[1]
            assert full[2].startswith(arguments)
        assert n_calls <= len(outcome.calls)
        n_calls = len(outcome.calls)
    assert n_calls == len(case.arguments)


@each_family
def test_the_first_delta_of_a_call_comes_before_its_arguments_are_complete(case: Case) -> None:
    if case.id == "mistral-list":
        pytest.skip("its ids come last, and the call with them")
    reader = reader_of(case.dialect, opens_reasoning=case.opens_reasoning)
    end = case.text.index("Zürich") + 3
    pieces = [reader.feed(char) for char in case.text[:end]]
    deltas = [delta for piece in pieces for delta in piece.tool_calls]
    assert deltas[0].name == "get_weather"
    assert "".join(delta.arguments for delta in deltas).endswith('"Zür')


@each_family
def test_ids_of_the_model_are_kept_and_others_are_made(case: Case) -> None:
    reader = reader_of(case.dialect, opens_reasoning=case.opens_reasoning)
    outcome = read(reader, [case.text])
    ids = [call[0] for call in outcome.calls]
    if case.ids:
        assert ids == list(case.ids)
    else:
        assert len(set(ids)) == len(ids)
        assert all(len(one) == (9 if case.name == "mistral" else 29) for one in ids)


@each_family
@pytest.mark.parametrize("tool_choice", ["auto", "none"])
def test_without_tools_their_markers_are_content(case: Case, tool_choice: str) -> None:
    request = chat(tools=None) if tool_choice == "auto" else chat(tool_choice="none")
    reader = reader_of(case.dialect, request, opens_reasoning=case.opens_reasoning)
    outcome = read(reader, case.text)
    assert not outcome.calls
    assert not outcome.called
    assert outcome.reasoning == case.thought
    assert outcome.content.startswith(case.words)
    assert "Zürich" in outcome.content


@each_family
def test_raw_text_is_left_alone_when_nothing_is_to_be_parsed(case: Case) -> None:
    reader = reader_of(case.dialect, chat(parse=False), opens_reasoning=case.opens_reasoning)
    outcome = read(reader, case.text)
    assert outcome.content == case.text
    assert not outcome.called


@each_family
@pytest.mark.parametrize("with_tools", [True, False], ids=["tools", "no-tools"])
def test_what_only_looks_like_a_marker_is_content(case: Case, with_tools: bool) -> None:
    begin = "all\n" if case.name == "functionary-v3.2" else ""
    request = chat() if with_tools else chat(tools=None)
    for text in LOOKALIKES:
        outcome = read(reader_of(case.dialect, request), begin + text)
        assert outcome.calls == []
        assert outcome.reasoning == ""
        strips = case.name in ("harmony", "functionary-v3.2")
        assert outcome.content == (text.lstrip() if strips else text)


@each_family
def test_content_is_given_out_as_it_comes(case: Case) -> None:
    reader = reader_of(case.dialect)
    reader.feed("all\n" if case.name == "functionary-v3.2" else "")
    given = "".join(reader.feed(word).content for word in ("Hello", " there", ", you"))
    assert given == "Hello there, you"


@each_family
def test_parallel_calls_forbidden_end_the_answer_after_the_first(case: Case) -> None:
    reader = reader_of(
        case.dialect, chat(parallel_tool_calls=False), opens_reasoning=case.opens_reasoning
    )
    outcome = read(reader, case.text)
    assert outcome.parsed == case.arguments[:1]
    assert reader.done
    assert outcome.content == case.words


@each_family
def test_a_call_of_an_unknown_tool_is_content(case: Case) -> None:
    others = [Tool(function=Function(name="another"))]
    reader = reader_of(case.dialect, chat(others), opens_reasoning=case.opens_reasoning)
    outcome = read(reader, case.text)
    assert not outcome.calls
    assert outcome.reasoning == case.thought
    assert outcome.content.startswith(case.words)
    assert "Zürich" in outcome.content
    assert "get_weather" in outcome.content or case.name in ("harmony", "muse")


@each_family
def test_reasoning_is_open_exactly_while_the_thought_lasts(case: Case) -> None:
    if not case.thought:
        pytest.skip("the family has no thoughts of its own")
    reader = reader_of(case.dialect, opens_reasoning=case.opens_reasoning)
    states = []
    for char in case.text:
        reader.feed(char)
        states.append(reader.reasoning_open)
    assert all(states[case.text.index("Look it up") : case.text.index("Then tell")])
    assert not any(states[case.text.index("Ich sehe") :])


def test_garbage_of_markers_never_raises_and_never_depends_on_the_cuts() -> None:
    rng = random.Random(7)
    words = ['{"name": "get_time", "arguments": {', '"city": "Zü', '"', "}", "}}", "[", "]", ","]
    words += ["to=", "\n", " ", "get_time", "\\", "'", "=", ":", "5", "None", "<", "```json"]
    for case in CASES:
        markers = sorted(case.dialect.markers)
        for _ in range(60):
            text = "".join(rng.choice(words + markers) for _ in range(rng.randint(1, 24)))
            opens = rng.random() < 0.3
            whole = read(reader_of(case.dialect, opens_reasoning=opens), [text])
            chars = read(reader_of(case.dialect, opens_reasoning=opens), text)
            assert chars == whole, (case.id, text)
