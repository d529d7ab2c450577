"""Kolosal's own inference routes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serving import FAKE, House, fake, house

TEXT = "/inference/completions"
CHAT = "/inference/chat/completions"
MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = json.dumps([{"type": "function", "function": {"name": "look", "parameters": {}}}])


@pytest.fixture
async def fakes(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


async def test_a_completion_has_kolosals_four_fields(fakes: House) -> None:
    for path in (TEXT, f"/v1{TEXT}"):
        reply = (await fakes.post(path, {"prompt": "hello", "maxNewTokens": 12})).json
        assert set(reply) == {"tokens", "text", "tps", "ttft"}
        assert len(reply["text"]) == len(reply["tokens"]) == 12
        assert bytes(reply["tokens"]).decode() == reply["text"]
        assert reply["tps"] > 0
        assert reply["ttft"] > 0


async def test_a_stream_ends_with_the_whole_answer_and_done(fakes: House) -> None:
    body = {"prompt": "hello", "maxNewTokens": 20, "temperature": 0}
    whole = (await fakes.post(TEXT, body)).json
    streamed = await fakes.post(TEXT, {**body, "streaming": True})
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    *parts, last, done = streamed.events
    assert done == "[DONE]"
    assert all(part["partial"] for part in parts)
    assert last["partial"] is False
    assert "".join(part["text"] for part in parts) == last["text"] == whole["text"]
    tokens = [token for part in parts for token in part["tokens"]]
    assert tokens == last["tokens"] == whole["tokens"]


async def test_a_conversation_is_answered_with_what_the_model_wrote(fakes: House) -> None:
    body = {"model": FAKE, "messages": MESSAGES, "maxNewTokens": 10}
    for path in (CHAT, f"/v1{CHAT}"):
        assert len((await fakes.post(path, body)).json["text"]) == 10
    streamed = (await fakes.post(CHAT, {**body, "streaming": True, "tools": TOOLS})).events
    assert streamed[-1] == "[DONE]"


async def test_defaults_are_kolosals(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, {"words": 1})]) as place:
        reply = (await place.post(TEXT, {"prompt": "hello"})).json
        assert len(reply["tokens"]) >= 8
        short = (await place.post(TEXT, {"prompt": "hello", "maxNewTokens": 3})).json
        assert len(short["tokens"]) == 3
        again = (await place.post(TEXT, {"prompt": "hello"})).json
        assert again["text"] == reply["text"]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (TEXT, {}, "prompt"),
        (TEXT, {"prompt": 5}, "prompt"),
        (TEXT, {"prompt": "x", "max_tokens": 5}, "max_tokens"),
        (TEXT, {"prompt": "x", "maxNewTokens": 0}, "maxNewTokens"),
        (TEXT, {"prompt": "x", "maxNewTokens": 4, "minLength": 5}, "minLength"),
        (TEXT, {"prompt": "x", "topP": 1.5}, "topP"),
        (TEXT, {"prompt": "x", "kvCacheFilePath": "/tmp/kv"}, "kvCacheFilePath"),
        (TEXT, {"prompt": "x", "seqId": 0}, "seqId"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (CHAT, {"messages": MESSAGES, "tools": "{"}, "tools"),
        (CHAT, {"messages": MESSAGES, "tools": "[{}]"}, "tools[0].function"),
        (CHAT, {"messages": MESSAGES, "toolChoice": "required"}, "tool_choice"),
        (CHAT, {"messages": MESSAGES, "toolChoice": "all"}, "toolChoice"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(
    fakes: House, path: str, fields: dict[str, Any], param: str
) -> None:
    reply = await fakes.post(path, fields)
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_an_unknown_model_is_a_404(fakes: House) -> None:
    reply = await fakes.post(TEXT, {"model": "../etc", "prompt": "x"})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_a_stream_that_breaks_says_so_last(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, {"crash_after_calls": 5})]) as place:
        reply = await place.post(TEXT, {"prompt": "x", "streaming": True})
        assert reply.events[-1]["error"]["code"] == "engine_crashed"
