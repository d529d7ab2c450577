"""What the official ``openai`` package does against a running server, as its users write it.

Imported by the tests for the package's current major, and run as a program, with the server's
address, under an older one (``python sdk_checks.py URL``).
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import math
import struct
import sys
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "guide"
ASK: list[Any] = [{"role": "user", "content": "What is Kolo?"}]
WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 30}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


class Card(BaseModel):
    name: str
    count: int
    tags: list[str]


CARD_SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "card",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 20},
                "count": {"type": "integer", "minimum": 0, "maximum": 99},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
            },
            "required": ["name", "count", "tags"],
            "additionalProperties": False,
        },
    },
}


def client(url: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def async_client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def answer(ai: OpenAI, **fields: Any) -> str:
    reply = ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0, **fields)
    return reply.choices[0].message.content or ""


# Chat ------------------------------------------------------------------------------------


def check_chat(ai: OpenAI) -> None:
    reply = ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0)
    assert reply.object == "chat.completion"
    assert reply.choices[0].finish_reason == "stop"
    assert "Kolo" in (reply.choices[0].message.content or "")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens_details is not None
    assert (reply.usage.prompt_tokens_details.cached_tokens or 0) < reply.usage.prompt_tokens
    assert reply._request_id


def check_stream_joined_is_the_answer(ai: OpenAI) -> None:
    stream = ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0, stream=True)
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == answer(ai)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


def check_stream_with_usage(ai: OpenAI) -> None:
    stream = ai.chat.completions.create(
        model=MODEL,
        messages=ASK,
        max_completion_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 5
    assert all(c.usage is None for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def check_stream_closed_early(ai: OpenAI) -> None:
    stream = ai.chat.completions.create(model=MODEL, messages=ASK, stream=True)
    next(iter(stream))
    stream.close()
    assert answer(ai, max_tokens=1)


def check_n_stop_seed(ai: OpenAI) -> None:
    def draw(seed: int) -> list[str | None]:
        reply = ai.chat.completions.create(
            model=MODEL,
            messages=ASK,
            n=3,
            seed=seed,
            temperature=2,
            max_tokens=8,
            extra_body={"samplers": ["temperature"]},
        )
        assert [choice.index for choice in reply.choices] == [0, 1, 2]
        return [choice.message.content for choice in reply.choices]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    whole = answer(ai)
    stop = whole[10:14]
    assert answer(ai, stop=[stop]) == whole[: whole.index(stop)]


def check_logprobs(ai: OpenAI) -> None:
    reply = ai.chat.completions.create(
        model=MODEL, messages=ASK, temperature=0, max_tokens=5, logprobs=True, top_logprobs=3
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(t.token for t in logprobs.content) == reply.choices[0].message.content
    for token in logprobs.content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob <= 0


def check_logit_bias_forbids(ai: OpenAI) -> None:
    first = ai.chat.completions.create(
        model=MODEL, messages=ASK, temperature=0, max_tokens=1, logprobs=True
    ).choices[0]
    banned = answer(ai, max_tokens=1, extra_body={"logit_bias": [[first.message.content, False]]})
    assert banned != first.message.content


def check_json_object(ai: OpenAI) -> None:
    reply = ai.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe Kolo as JSON."}],
        response_format={"type": "json_object"},
        max_tokens=200,
        temperature=0,
    )
    assert isinstance(json.loads(reply.choices[0].message.content or ""), dict)


def check_json_schema(ai: OpenAI) -> None:
    for seed in range(3):
        reply = ai.chat.completions.create(
            model=MODEL, messages=ASK, response_format=CARD_SCHEMA, seed=seed, temperature=1
        )
        assert reply.choices[0].finish_reason == "stop"
        Card.model_validate_json(reply.choices[0].message.content or "")


def check_reasoning_is_apart(ai: OpenAI) -> None:
    messages: list[Any] = [{"role": "system", "content": "Think before you answer."}, *ASK]
    fields: Any = {"model": MODEL, "messages": messages, "temperature": 0}
    message = ai.chat.completions.create(**fields).choices[0].message
    thought = getattr(message, "reasoning_content", "")
    assert thought
    assert "<think>" not in (message.content or "")
    deltas = [c.choices[0].delta for c in ai.chat.completions.create(**fields, stream=True)]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == thought
    assert "".join(d.content or "" for d in deltas) == message.content


# Tools -----------------------------------------------------------------------------------


def check_tools_there_and_back(ai: OpenAI) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        fields: Any = {"model": MODEL, "tools": TOOLS, "tool_choice": choice, "temperature": 0}
        reply = ai.chat.completions.create(messages=WEATHER, **fields).choices[0]
        assert reply.finish_reason == "tool_calls"
        assert reply.message.tool_calls
        call: Any = reply.message.tool_calls[0]
        assert call.id
        assert call.function.name == "get_weather"
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        result = {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'}
        back = ai.chat.completions.create(
            model=MODEL,
            messages=[*WEATHER, reply.message, result],  # type: ignore[list-item]
            tools=TOOLS,
            max_tokens=20,
        )
        assert back.choices[0].finish_reason in ("stop", "length", "tool_calls")


def check_tools_streamed(ai: OpenAI) -> None:
    fields: Any = {
        "model": MODEL,
        "messages": WEATHER,
        "tools": TOOLS,
        "tool_choice": "required",
        "temperature": 0,
    }
    whole: Any = ai.chat.completions.create(**fields).choices[0].message.tool_calls
    chunks = [c.choices[0] for c in ai.chat.completions.create(**fields, stream=True)]
    pieces: list[Any] = [call for c in chunks for call in c.delta.tool_calls or []]
    assert pieces[0].id
    assert pieces[0].function.name == "get_weather"
    assert all(piece.index == 0 for piece in pieces)
    arguments = "".join(piece.function.arguments or "" for piece in pieces)
    assert arguments == whole[0].function.arguments
    assert chunks[-1].finish_reason == "tool_calls"


def check_no_tools_when_none(ai: OpenAI) -> None:
    reply = ai.chat.completions.create(
        model=MODEL, messages=WEATHER, tools=TOOLS, tool_choice="none", temperature=0
    )
    assert reply.choices[0].message.tool_calls is None
    assert reply.choices[0].message.content


def check_parse(ai: OpenAI) -> None:
    """The package's own helper for structured output."""
    parse: Any = getattr(ai.chat.completions, "parse", None) or ai.beta.chat.completions.parse
    reply = parse(model=MODEL, messages=ASK, response_format=Card, max_tokens=400, temperature=0)
    assert isinstance(reply.choices[0].message.parsed, Card)


def check_stream_helper(ai: OpenAI) -> None:
    """The package's own helper that puts a stream together."""
    stream: Any = getattr(ai.chat.completions, "stream", None) or ai.beta.chat.completions.stream
    with stream(model=MODEL, messages=ASK, temperature=0) as events:
        for _ in events:
            pass
        final = events.get_final_completion()
    assert final.choices[0].message.content == answer(ai)


# The other routes --------------------------------------------------------------------------


def check_text(ai: OpenAI) -> None:
    prompts = ["Kolo is", "A token is"]
    reply = ai.completions.create(
        model=MODEL, prompt=prompts, n=2, max_tokens=4, temperature=0, echo=True, logprobs=2
    )
    assert [c.index for c in reply.choices] == [0, 1, 2, 3]
    for choice in reply.choices:
        assert choice.text.startswith(prompts[choice.index // 2])
        scores = choice.logprobs
        assert scores is not None
        assert scores.token_logprobs is not None
        assert scores.token_logprobs[0] is None
        assert "".join(scores.tokens or []) == choice.text
    alone = ai.completions.create(model=MODEL, prompt=prompts[0], max_tokens=4, temperature=0)
    stream = ai.completions.create(
        model=MODEL, prompt=prompts[0], max_tokens=4, temperature=0, stream=True
    )
    assert "".join(c.choices[0].text for c in stream) == alone.choices[0].text
    assert prompts[0] + alone.choices[0].text == reply.choices[0].text


def check_infill(ai: OpenAI) -> None:
    reply = ai.completions.create(
        model=MODEL, prompt="Kolo runs ", suffix=" from a terminal.", max_tokens=8
    )
    assert reply.choices[0].finish_reason in ("stop", "length")


def check_embeddings(ai: OpenAI) -> None:
    texts = ["Kolo is a tool.", "A slot is one place."]
    reply = ai.embeddings.create(model=MODEL, input=texts)
    assert [item.index for item in reply.data] == [0, 1]
    assert all(math.isclose(math.hypot(*i.embedding), 1, abs_tol=1e-3) for i in reply.data)
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 0
    numbers = ai.embeddings.create(model=MODEL, input=texts[0], encoding_format="float")
    assert all(
        math.isclose(a, b, abs_tol=1e-5)
        for a, b in zip(numbers.data[0].embedding, reply.data[0].embedding, strict=True)
    )
    few = ai.embeddings.create(model=MODEL, input=texts[0], dimensions=16)
    assert len(few.data[0].embedding) == 16
    coded: Any = ai.embeddings.create(model=MODEL, input=texts[0], encoding_format="base64")
    raw = base64.b64decode(coded.data[0].embedding)
    assert len(struct.unpack(f"<{len(raw) // 4}f", raw)) == len(numbers.data[0].embedding)


def check_models(ai: OpenAI) -> None:
    assert MODEL in [model.id for model in ai.models.list()]
    assert ai.models.retrieve(MODEL).object == "model"


def check_errors(ai: OpenAI) -> None:
    try:
        ai.chat.completions.create(model="no/such", messages=ASK)
        raise AssertionError("a model there is not was found")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
        assert error.param == "model"
    try:
        ai.chat.completions.create(model=MODEL, messages=ASK, temperature=-1)
        raise AssertionError("a wrong temperature was taken")
    except openai.BadRequestError as error:
        assert error.param == "temperature"
    try:
        ai.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "word " * 9000}], stream=True
        )
        raise AssertionError("a prompt past the context was taken")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded"


# Async -----------------------------------------------------------------------------------


async def check_async_many_at_once(ai: AsyncOpenAI) -> None:
    async def one(stream: bool) -> str:
        if not stream:
            reply = await ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0)
            return reply.choices[0].message.content or ""
        chunks = await ai.chat.completions.create(
            model=MODEL, messages=ASK, temperature=0, stream=True
        )
        return "".join([c.choices[0].delta.content or "" async for c in chunks])

    answers = await asyncio.gather(*(one(at % 2 == 0) for at in range(12)))
    assert len(set(answers)) == 1


async def check_async_embeddings_and_models(ai: AsyncOpenAI) -> None:
    reply = await ai.embeddings.create(model=MODEL, input=[[10, 11, 12], [13]])
    assert len(reply.data) == 2
    assert MODEL in [model.id async for model in ai.models.list()]


CHECKS = [made for name, made in sorted(globals().items()) if name.startswith("check_")]


def run(check: Any, url: str) -> None:
    """Do one check with a client of its own."""
    if not inspect.iscoroutinefunction(check):
        with client(url) as ai:
            check(ai)
        return

    async def in_loop() -> None:
        async with async_client(url) as ai:
            await check(ai)

    asyncio.run(in_loop())


if __name__ == "__main__":
    for each in CHECKS:
        run(each, sys.argv[1])
        print(each.__name__)
    print(f"openai {openai.__version__}: {len(CHECKS)} checks")
