"""The HTTP client by itself: events however they are cut, and every failure one of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kolo.client.http as client_http
from kolo.client.answer import Answer
from kolo.client.http import Http, error_in
from kolo.client.question import body_of, with_seed
from kolo.client.sse import Event, Reader
from kolo.errors import (
    AuthFailed,
    Busy,
    ContextLengthExceeded,
    EngineCrashed,
    InternalError,
    KoloError,
    ModelNotFound,
    RateLimited,
    ServerUnreachable,
    Unsupported,
    UsageError,
)
from kolo.server.envelope import OPENAI, problem_of
from kolo.types import (
    Chat,
    Constraint,
    Function,
    Generate,
    Message,
    Prompt,
    Reasoning,
    Sampling,
    Tool,
)

STREAM = (
    b": keep-alive\n\n"
    b'data: {"a": 1}\n\n'
    b"event: model\r\ndata: first\r\ndata:second\r\n\r\n"
    b"event: nothing\n\n"
    b"id: 7\ndata\ndata: [DONE]\n\n"
)
EVENTS = [
    Event(b'{"a": 1}'),
    Event(b"first\nsecond", "model"),
    Event(b"\n[DONE]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = Reader()
    found = [event for start, end in pairwise(places) for event in reader.feed(STREAM[start:end])]
    assert found == EVENTS


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kolo.client.sse.MAX_EVENT_BYTES", 100)
    reader = Reader()
    assert list(reader.feed(b"data: 0123456789\n" * 11)) == []
    with pytest.raises(ServerUnreachable, match="too long"):
        list(reader.feed(b"data: "))


# A server of a few lines, that says what it is told ------------------------------------------


@asynccontextmanager
async def saying(*pieces: bytes, hold: bool = False) -> AsyncIterator[Http]:
    """A server that answers any request with ``pieces``, then closes, or holds the line."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hold:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with Http(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def reply(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def refusal(code: Any, message: str = "no", param: str | None = None) -> bytes:
    error = {"message": message, "type": "t", "param": param, "code": code}
    return json.dumps({"error": error}).encode()


async def test_an_error_keeps_its_hint_apart_on_its_way() -> None:
    error = ModelNotFound("no model named 'x'", hint="did you mean y?", param="model")
    body = OPENAI.body(problem_of(error))
    assert json.loads(body)["error"]["message"] == "no model named 'x'. Did you mean y?"
    async with saying(reply(404, body)) as http:
        with pytest.raises(ModelNotFound) as caught:
            await http.get("/models")
    assert caught.value.info() == error.info()


async def test_an_account_of_a_crash_stays_where_it_is() -> None:
    error = EngineCrashed("it crashed", hint="Its last lines:\n  boom\nIts log: /x")
    told = error_in(OPENAI.body(problem_of(error)))
    assert isinstance(told, EngineCrashed)
    assert (told.message, told.hint) == ("it crashed", "")


STREAMING = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (404, "model_not_found", ModelNotFound),
        (400, "context_length_exceeded", ContextLengthExceeded),
        (503, "engine_busy", Busy),
        (500, "internal_error", InternalError),
        (401, "invalid_api_key", AuthFailed),
        (500, "engine_crashed", EngineCrashed),
        (400, "a word we do not know", UsageError),
        (404, None, UsageError),
        (429, "rate_limit_exceeded", RateLimited),
        (418, 418, UsageError),
        (502, "bad_gateway", InternalError),
    ],
)
async def test_an_error_is_the_class_it_was_there(
    status: int, code: Any, cls: type[KoloError]
) -> None:
    async with saying(reply(status, refusal(code, "so and so", "model"), "Retry-After: 7")) as http:
        with pytest.raises(cls, match="so and so") as caught:
            await http.get("/any")
    assert type(caught.value) is cls
    assert caught.value.param == "model"
    assert caught.value.retry_after_s == 7.0


async def test_a_token_of_before_a_restart_is_no_wrong_key(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["old", "new"])
    monkeypatch.setattr(client_http, "key_for", lambda url: next(tokens))
    async with saying(reply(401, refusal("invalid_api_key"))) as http:
        with pytest.raises(ServerUnreachable, match="has just started again"):
            await http.get("/any")


@pytest.mark.parametrize("body", [b"OK", b"", b"\xff", b'{"detail": "x"}'])
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_what_is_no_kolo_is_said_so(status: int, body: bytes) -> None:
    async with saying(reply(status, body)) as http:
        with pytest.raises(ServerUnreachable, match="is no Kolo server"):
            await http.get("/any", dict[str, int])


async def test_nobody_there_names_what_to_start(unused_tcp_port: int) -> None:
    async with Http(f"http://127.0.0.1:{unused_tcp_port}") as http:
        with pytest.raises(ServerUnreachable, match="no server answers") as caught:
            await http.get("/any")
    assert "kolo serve" in caught.value.hint


async def test_a_server_that_dies_under_a_reply_is_noticed() -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") as http:
        with pytest.raises(ServerUnreachable, match="went away"):
            await http.get("/any")


async def test_a_stream_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_http, "SILENCE_S", 0.05)
    async with (
        saying(STREAMING, b"data: 1\n\n", hold=True) as http,
        http.events("GET", "/any") as events,
    ):
        assert await anext(events) == Event(b"1")
        with pytest.raises(ServerUnreachable, match="gone silent"):
            await anext(events)


async def test_a_proxy_for_the_web_is_none_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with saying(reply(200, b"{}")) as http:
        assert await http.get("/any") == {}


# Answers -------------------------------------------------------------------------------------


async def read(*events: bytes) -> tuple[str, Answer]:
    answer = Answer(seed=5)

    async def feed() -> AsyncIterator[Event]:
        for event in events:
            yield Event(event)

    text = "".join([delta.text async for delta in answer.read(feed())])
    return text, answer


def chunk(**more: Any) -> bytes:
    return json.dumps({"id": "x", "object": "chat.completion.chunk", **more}).encode()


def choice(text: str, finish: str | None = None) -> list[Any]:
    return [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]


async def test_a_stream_that_ends_before_its_end_is_no_answer() -> None:
    with pytest.raises(ServerUnreachable, match="before its end"):
        await read(chunk(choices=choice("half")))


async def test_an_error_in_the_stream_is_raised_as_what_it_is() -> None:
    with pytest.raises(EngineCrashed, match="it died"):
        await read(chunk(choices=choice("half")), refusal("engine_crashed", "it died"))


async def test_a_chunk_that_is_none_is_an_error() -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        await read(b'{"choices": 5}')


async def test_without_timings_the_usage_says_how_many_tokens_there_were() -> None:
    answer = Answer(seed=5)

    async def feed() -> AsyncIterator[Event]:
        yield Event(chunk(choices=choice("")))
        yield Event(chunk(choices=choice("one two")))
        yield Event(chunk(choices=choice("", "length"), usage=None))
        yield Event(chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 9}))
        yield Event(b"[DONE]")

    deltas = [delta async for delta in answer.read(feed())]
    assert sum(delta.n_tokens for delta in deltas) == 9
    assert deltas[-1].finish == "length"
    assert answer.result is not None
    assert answer.result.usage.completion_tokens == 9
    assert answer.result.seed == 5


# Questions -----------------------------------------------------------------------------------

CHAT = Chat(messages=[Message(role="user", content="hi")])


@pytest.mark.parametrize(
    ("op", "name"),
    [
        (Generate(input=CHAT, prompt_logprobs=True), "prompt_logprobs"),
        (Generate(input=CHAT, deadline_ms=5), "deadline_ms"),
        (
            Generate(input=Chat(messages=[], reasoning=Reasoning(enabled=True))),
            "reasoning.enabled",
        ),
        (Generate(input=Prompt(text="a", prefix_context=[("f", "x")])), "prefix_context"),
        (Generate(input=Prompt(text="a", add_special=False)), "add_special"),
        (Generate(input=Prompt(text="a", parse_special=False)), "parse_special"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(op: Generate, name: str) -> None:
    with pytest.raises(Unsupported) as caught:
        body_of("m", op)
    assert caught.value.param == name


def test_choices_are_said_as_a_grammar() -> None:
    body = body_of("m", Generate(input=CHAT, constraint=Constraint(choices=["yes", 'a"ü'])))
    assert body["grammar"] == r'root ::= "yes" | "a\U00000022\U000000fc"'


def test_log_probabilities_are_asked_for_in_each_routes_words() -> None:
    chat = body_of("m", Generate(input=CHAT, logprobs=True, top_logprobs=2))
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 2)
    text = body_of("m", Generate(input=Prompt(text="a"), logprobs=True, top_logprobs=0))
    assert text["logprobs"] == 0
    assert "top_logprobs" not in text


def test_a_seed_is_drawn_here_so_that_it_is_known() -> None:
    for seed in (None, -1):
        drawn = with_seed(Generate(input=CHAT, sampling=Sampling(seed=seed, top_k=3))).sampling
        assert drawn.seed is not None
        assert drawn.seed >= 0
        assert drawn.top_k == 3
    given_seed = Generate(input=CHAT, sampling=Sampling(seed=0))
    assert with_seed(given_seed) is given_seed


def test_everything_of_a_chat_is_said() -> None:
    tool = Tool(function=Function(name="f", parameters={"type": "object"}))
    op = Generate(
        input=Chat(
            messages=CHAT.messages,
            tools=[tool],
            tool_choice="function:f",
            parallel_tool_calls=False,
            reasoning=Reasoning(effort="low", budget_tokens=5),
            template_kwargs={"k": 1},
            continue_last=True,
            parse=False,
        ),
        sampling=Sampling(temperature=0.0, seed=1, ignore_eos=True),
        max_tokens=4,
        min_tokens=2,
        stop=["x"],
        n=2,
        cache_prompt=False,
        user="u",
        constraint=Constraint(json_object=True),
    )
    assert body_of("m", op) == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "max_tokens": 4,
        "temperature": 0.0,
        "seed": 1,
        "ignore_eos": True,
        "min_tokens": 2,
        "stop": ["x"],
        "n": 2,
        "cache_prompt": False,
        "user": "u",
        "json_schema": {"type": "object"},
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "chat_template_kwargs": {"k": 1},
        "continue_final_message": True,
        "reasoning_format": "none",
        "reasoning_effort": "low",
        "reasoning_budget_tokens": 5,
    }
