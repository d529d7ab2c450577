"""What a model was published or is loaded with: texts that end an answer, a system message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Worker, chat, prompt, worker

from kolo.types import Chat, Generate, LoadParams, Message, Render, Sampling

GREEDY = Sampling(temperature=0)
STOPS = ("t s", "b w")
SYSTEM = "Be brief, and speak of the sea."


@pytest.fixture(scope="module")
def plain() -> Iterator[Worker]:
    with worker(params=LoadParams(ctx=512), backend="fake") as made:
        yield made


@pytest.fixture(scope="module")
def published() -> Iterator[Worker]:
    params = LoadParams(ctx=512, stop=[*STOPS], system=SYSTEM)
    with worker(params=params, backend="fake") as made:
        yield made


def cut(text: str, *stops: str) -> str:
    return text[: min(at if (at := text.find(stop)) >= 0 else len(text) for stop in stops)]


def rendered(engine: Worker, *messages: tuple[str, str]) -> str:
    made = Chat(messages=[Message(role=role, content=text) for role, text in messages])
    return str(engine.ask(Render(chat=made)).result.prompt)


@pytest.mark.parametrize("parse", [True, False])
def test_the_texts_of_a_load_end_a_chat_and_are_not_told_of(
    plain: Worker, published: Worker, parse: bool
) -> None:
    before = None
    for n in range(50):
        messages = [Message(role="system", content=SYSTEM)]
        messages.append(Message(role="user", content=f"tell me {n}"))
        op = Generate(input=Chat(messages=messages, parse=parse), sampling=GREEDY)
        whole = plain.ask(op).text()
        before = cut(whole, *STOPS)
        if whole != before:
            break
    else:
        raise AssertionError("no answer has the words")
    answer = published.ask(op)
    assert (answer.text(), answer.finish) == (before, "stop")
    assert answer.deltas[-1].stop_sequence is None


def test_they_end_a_plain_prompt_too_and_those_of_the_request_are_told_of(
    plain: Worker, published: Worker
) -> None:
    seen = set()
    for n in range(50):
        whole = plain.ask(prompt(f"once {n}", sampling=GREEDY)).text()
        op = prompt(f"once {n}", sampling=GREEDY, stop=["s d"])
        answer = published.ask(op)
        assert answer.text() == cut(whole, *STOPS, "s d")
        told = answer.deltas[-1].stop_sequence
        if answer.text() != whole:
            seen.add(told)
            ended_by = whole[len(answer.text()) :]
            assert ended_by.startswith(told if told else STOPS)
    assert seen == {None, "s d"}


def test_a_conversation_without_a_system_message_gets_that_of_the_load(
    plain: Worker, published: Worker
) -> None:
    with_system = rendered(plain, ("system", SYSTEM), ("user", "hello"))
    assert SYSTEM in with_system
    assert rendered(published, ("user", "hello")) == with_system
    assert rendered(published, ("system", "Sing."), ("user", "hello")) == rendered(
        plain, ("system", "Sing."), ("user", "hello")
    )
    assert SYSTEM not in rendered(published, ("user", "hi"), ("developer", "Sing."))
    assert (plain.info.stop, published.info.stop) == ([], [*STOPS])
    # What is answered is answered to the same prompt.
    op = Generate(
        input=Chat(
            messages=[
                Message(role="system", content=SYSTEM),
                Message(role="user", content="hello"),
            ]
        )
    )
    one, other = published.ask(chat("hello")), published.ask(op)
    assert one.generated.usage.prompt_tokens == other.generated.usage.prompt_tokens
