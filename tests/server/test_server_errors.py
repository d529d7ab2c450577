"""Whatever a caller sends wrong is a 4xx that names the field, in OpenAI's envelope."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from serving import House, house

from kolo.server.envelope import ErrorObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fakes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("house")) as made:
        yield made


def error_of(reply: Any) -> dict[str, Any]:
    error = reply.error
    assert {"message", "type", "param", "code"} <= set(error) <= set(ErrorObject.__struct_fields__)
    assert isinstance(error["code"], str)
    if "hint" in error:  # clients that show the message alone show it too
        assert error["message"].lower().endswith(error["hint"].lower())
    assert error["type"] == "invalid_request_error"
    return dict(error)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}x",
        b"[1]",
        b"null",
        b'"text"',
        b"12",
        b'{"messages": NaN}',
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages": [], "seed": ' + b"9" * 5000 + b"}",
        b'{"messages": [], "temperature": 1e999}',
        b"\x00",
        b"\xef\xbb\xbf{}",
    ],
)
async def test_a_body_that_is_no_request_is_refused(fakes: House, raw: bytes) -> None:
    for path in (CHAT, "/v1/completions", "/v1/embeddings"):
        reply = await fakes.post(path, raw=raw)
        assert reply.status == 400
        error_of(reply)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "colour": 1}]}, "messages[0].colour"),
        ({"messages": [{"role": "user", "tool_calls": [{"function": {"name": "f"}}]}]},
         "messages[0].tool_calls"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 1e300}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 10**30}, "n"),
        ({"seed": 2**70}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"min_tokens": 9, "max_tokens": 3}, "min_tokens"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": ["x"] * 33}, "stop"),
        ({"stop": [5]}, "stop[0]"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"1": "x"}}, "logit_bias[...]"),
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"logit_bias": [[1, True]]}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"colour": 1}}, "stream_options.colour"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}},
         "stream_options.include_obfuscation"),
        ({"stream": "yes"}, "stream"),
        ({"samplers": ["dice"]}, "samplers"),
        ({"samplers": "z"}, "samplers"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
         "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_object"}, "grammar": "root ::= \"a\""},
         "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
        ({"chat_template_kwargs": {"x": 10**30}}, "chat_template_kwargs"),
        ({"model": 5}, "model"),
        # Fields that are not honoured.
        ({"store": True}, "store"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities[1]"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": []}, "functions"),
        ({"verbosity": "high"}, "verbosity"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"id_slot": 3}, "id_slot"),
        ({"n_keep": 64}, "n_keep"),
        ({"reasoning_format": "deepseek-legacy"}, "reasoning_format"),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_named(fakes: House, fields: dict[str, Any], param: str) -> None:
    reply = await fakes.post(CHAT, {"messages": MESSAGES, **fields})
    assert reply.status == 400
    assert error_of(reply)["param"] == param


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messages": MESSAGES, "colour": 1}, "unknown_parameter"),
        ({"messages": [{"role": "user", "colour": 1}]}, "unknown_parameter"),
        ({}, "missing_required_parameter"),
        ({"messages": [{"content": "x"}]}, "missing_required_parameter"),
        ({"messages": MESSAGES, "temperature": "hot"}, "invalid_type"),
        ({"messages": 5}, "invalid_type"),
        ({"messages": MESSAGES, "temperature": -1}, "invalid_value"),
        ({"messages": MESSAGES, "tool_choice": "sometimes"}, "invalid_value"),
    ],
)
async def test_what_is_wrong_has_openais_word(
    fakes: House, fields: dict[str, Any], code: str
) -> None:
    assert error_of(await fakes.post(CHAT, fields))["code"] == code


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
async def test_a_part_that_is_no_text_is_named(fakes: House, kind: str) -> None:
    content = [{"type": "text", "text": "what is this?"}, {"type": kind, kind: {"url": "x"}}]
    reply = await fakes.post(CHAT, {"messages": [{"role": "user", "content": content}]})
    assert reply.status == 400
    error = error_of(reply)
    assert error["param"] == "messages[0].content[1]"
    assert kind in error["message"]


@pytest.mark.parametrize(
    ("name", "near"), [("temprature", "temperature"), ("max_token", "max_tokens"), ("x" * 9999, "")]
)
async def test_an_unknown_field_is_named_with_what_is_near(
    fakes: House, name: str, near: str
) -> None:
    reply = await fakes.post(CHAT, {"messages": MESSAGES, name: 1})
    error = error_of(reply)
    assert reply.status == 400
    assert error["param"].startswith(name[:100])
    assert near in error["message"]
    assert len(error["message"]) < 500


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [2**40]}, "prompt[0]"),
        ({"prompt": [999]}, "prompt"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "best_of": 2}, "best_of"),
        ({"prompt": "a", "echo": True, "suffix": "b"}, "suffix"),
        ({"prompt": [1], "suffix": "b"}, "suffix"),
        ({"prompt": "a", "echo": True, "logprobs": 1, "stream": True}, "echo"),
        ({"prompt": ["a", "b"], "return_progress": True, "stream": True}, "return_progress"),
    ],
)
async def test_a_wrong_field_of_a_text_completion_is_named(
    fakes: House, fields: dict[str, Any], param: str
) -> None:
    reply = await fakes.post("/v1/completions", fields)
    assert reply.status == 400
    assert error_of(reply)["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[999]]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
    ],
)
async def test_a_wrong_field_of_embeddings_is_named(
    fakes: House, fields: dict[str, Any], param: str
) -> None:
    reply = await fakes.post("/v1/embeddings", fields)
    assert reply.status == 400
    assert error_of(reply)["param"] == param


@pytest.mark.parametrize(
    "model", ["nope", "../../etc/passwd", "/etc/passwd", "x" * 10_000, "a\0b", "\n", "é/..%2f"]
)
async def test_a_model_there_is_not_is_a_404(fakes: House, model: str) -> None:
    for stream in (False, True):
        reply = await fakes.chat(model=model, stream=stream)
        assert reply.status == 404
        error = error_of(reply)
        assert error["code"] == "model_not_found"
        assert error["param"] == "model"
        assert len(error["message"]) < 500


async def test_a_file_of_the_machine_is_no_model(fakes: House) -> None:
    from importlib.resources import files

    path = str(files("kolo.models") / "data" / "guide.gguf")
    reply = await fakes.chat(model=path)
    assert reply.status == 404


async def test_a_prompt_past_the_context_names_both_numbers(fakes: House) -> None:
    for stream in (False, True):
        reply = await fakes.chat("x" * 5000, stream=stream)
        assert reply.status == 400
        error = error_of(reply)
        assert error["code"] == "context_length_exceeded"
        assert "4096" in error["message"]
        assert error["param"] == "messages"


async def test_what_the_worker_refuses_has_its_status_in_a_stream_too(fakes: House) -> None:
    reply = await fakes.chat(stream=True, samplers=["dice"])
    assert reply.status == 400
    assert error_of(reply)["param"] == "samplers"


async def test_a_schema_that_is_too_deep_is_refused(fakes: House) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    reply = await fakes.chat(json_schema=schema)
    assert reply.status == 400
    assert error_of(reply)["param"] == "json_schema"


async def test_routes_and_methods_that_are_not_there(fakes: House) -> None:
    missing = await fakes.get("/v1/nothing")
    assert (missing.status, error_of(missing)["code"]) == (404, "not_found")
    wrong = await fakes.get(CHAT)
    assert (wrong.status, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]


async def test_a_body_over_the_limit_is_a_413(tmp_path: Path) -> None:
    async with house(tmp_path, max_body_bytes=1000) as fakes:
        reply = await fakes.chat("x" * 1000)
        assert (reply.status, error_of(reply)["code"]) == (413, "request_too_large")


async def test_a_page_must_send_json(fakes: House) -> None:
    """A browser asks leave before it sends JSON to another site; a form it just sends."""
    body = json.dumps({"messages": MESSAGES, "max_tokens": 1}).encode()
    origin = {"Origin": "http://elsewhere.example"}
    form = await fakes.post(CHAT, raw=body, **origin, **{"Content-Type": "text/plain"})
    assert form.status == 400
    said = await fakes.post(CHAT, raw=body, **origin, **{"Content-Type": "application/json"})
    assert said.status == 200
    program = await fakes.post(CHAT, raw=body, **{"Content-Type": "text/plain"})
    assert program.status == 200


async def test_every_reply_has_a_request_id(fakes: House) -> None:
    own = await fakes.get("/v1/models", **{"X-Request-Id": "my-id-1"})
    assert own.headers["X-Request-Id"] == "my-id-1"
    hostile = await fakes.get("/v1/models", **{"X-Request-Id": "x" * 500})
    assert hostile.headers["X-Request-Id"].startswith("req_")
    failed = await fakes.get("/v1/nothing")
    assert failed.headers["X-Request-Id"].startswith("req_")
