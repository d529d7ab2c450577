"""What only a real model shows: forced forms, characters of many bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import FAKE, events, fake, house

CHAT = "/v1/chat/completions"
ASK = [{"role": "user", "content": "What is Kolo?"}]
HARD = "😀👩‍👩‍👧 漢字 é́ ñ ﷽ 🇺🇳 …"
"""Emoji of one and of many code points, CJK, combining marks, flags."""


def post(url: str, **fields: Any) -> httpx2.Response:
    body = {"model": "guide", "messages": ASK, "temperature": 0, **fields}
    return httpx2.post(url + CHAT, json=body, timeout=60)


def text_of(stream: bytes) -> str:
    *chunks, done = events(stream)
    assert done == "[DONE]"
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "nosuch"}, "nosuch"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "5"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        (False, ""),
    ],
)
def test_a_schema_that_cannot_be_met_is_named(live: str, schema: Any, said: str) -> None:
    for stream in (False, True):
        kind = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        reply = post(live, response_format=kind, stream=stream)
        error = reply.json()["error"]
        assert reply.status_code == 400, error
        assert error["param"] == "response_format.json_schema.schema"
        assert said in error["message"]
        assert post(live, json_schema=schema).json()["error"]["param"] == "json_schema"


def test_a_grammar_that_is_none_is_named(live: str) -> None:
    reply = post(live, grammar="root ::= missing")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "grammar")


def test_a_tool_whose_arguments_cannot_be_met_is_named(live: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "nosuch"}}}
    reply = post(live, tools=[tool], tool_choice="required")
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("tools")


def test_arguments_that_are_no_json_are_named(live: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    reply = post(live, messages=[*ASK, {"role": "assistant", "tool_calls": [call]}])
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "messages[1].tool_calls[0].function.arguments"


async def test_a_template_that_raises_is_the_callers_to_know(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('never no') }}"
        "{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    async with house(tmp_path, specs=[fake(FAKE, chat_template=template)]) as made:
        for stream in (False, True):
            reply = await made.chat("no", stream=stream)
            assert (reply.status, reply.error["code"]) == (400, "invalid_template_input")
            assert "never no" in reply.error["message"]
        assert (await made.chat("yes", max_tokens=1)).status == 200


def test_no_event_holds_a_broken_character(live: str) -> None:
    grammar = f"root ::= {json.dumps(HARD, ensure_ascii=False)}"
    reply = post(live, grammar=grammar, stream=True, max_tokens=400)
    assert "�" not in reply.text
    assert len(events(reply.content)) > 3
    assert text_of(reply.content) == HARD
    whole = post(live, grammar=grammar, max_tokens=400).json()
    assert whole["choices"][0]["message"]["content"] == HARD


def test_an_answer_cut_within_a_character_says_so_without_breaking_it(live: str) -> None:
    for n_tokens in range(1, 6):
        reply = post(live, grammar='root ::= "😀😀"', stream=True, max_tokens=n_tokens)
        assert set(text_of(reply.content)) <= {"😀"}
