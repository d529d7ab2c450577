"""OpenAI's routes over the fake engine: numbering, chunks, usage, echoes, defaults."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from serving import FAKE, House, Reply, fake, house

from kolo.config import ModelSettings, Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}
TIMINGS = {
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_token_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_token_ms",
    "predicted_per_second",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fakes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("house")) as made:
        yield made


def joined(reply: Reply, index: int = 0) -> str:
    """The text of one choice of a stream, of chat or of text."""
    text = ""
    for event in reply.events:
        for choice in event["choices"] if event != "[DONE]" else ():
            if choice["index"] == index:
                text += choice["text"] if "text" in choice else choice["delta"].get("content") or ""
    return text


# Chat ------------------------------------------------------------------------------------


async def test_a_chat_reply_has_openais_shape(fakes: House) -> None:
    reply = (await fakes.chat(**GREEDY)).json
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    assert reply["model"] == FAKE
    assert reply["system_fingerprint"].startswith("fp_")
    assert "service_tier" not in reply
    (choice,) = reply["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"] is None
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["refusal"] is None
    assert len(choice["message"]["content"]) == 12
    usage = reply["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert set(reply["timings"]) >= TIMINGS
    assert reply["timings"]["prompt_n"] == usage["prompt_tokens"]


async def test_the_same_prompt_again_is_counted_as_cached(fakes: House) -> None:
    first = (await fakes.chat("once more", **GREEDY)).json
    again = (await fakes.chat("once more", **GREEDY)).json
    cached = again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == first["usage"]["prompt_tokens"] - 1
    assert again["timings"]["cache_n"] == cached
    assert again["timings"]["prompt_n"] == 1
    assert again["choices"] == first["choices"]
    fresh = (await fakes.chat("once more", **GREEDY, cache_prompt=False)).json
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_a_chat_stream_joined_is_the_reply(fakes: House) -> None:
    whole = (await fakes.chat(**GREEDY)).json["choices"][0]
    reply = await fakes.chat(**GREEDY, stream=True)
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *chunks, done = reply.events
    assert done == "[DONE]"
    assert len({(c["id"], c["created"], c["model"], c["system_fingerprint"]) for c in chunks}) == 1
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all("role" not in c["choices"][0]["delta"] for c in chunks[1:])
    assert joined(reply) == whole["message"]["content"]
    finishes = [c["choices"][0]["finish_reason"] for c in chunks]
    assert finishes == [None] * (len(chunks) - 1) + ["length"]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert set(chunks[-1]["timings"]) >= TIMINGS
    assert all("timings" not in c and "usage" not in c for c in chunks[:-1])


async def test_usage_comes_in_a_chunk_of_its_own_when_asked_for(fakes: House) -> None:
    reply = await fakes.chat(**GREEDY, stream=True, stream_options={"include_usage": True})
    *chunks, usage, _ = reply.events
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 12
    assert set(usage["timings"]) >= TIMINGS
    assert all(c["usage"] is None for c in chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_choices_are_numbered_and_each_ends_once(fakes: House, stream: bool) -> None:
    reply = await fakes.chat(temperature=2, max_tokens=5, n=3, stream=stream)
    if not stream:
        assert [c["index"] for c in reply.json["choices"]] == [0, 1, 2]
        assert reply.json["usage"]["completion_tokens"] == 15
        return
    chunks = [c["choices"][0] for c in reply.events[:-1]]
    for index in range(3):
        own = [c for c in chunks if c["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == ["length"]
        assert len(joined(reply, index)) == 5


async def test_log_probabilities_in_chats_shape(fakes: House) -> None:
    fields = {**GREEDY, "logprobs": True, "top_logprobs": 2}
    whole = (await fakes.chat(**fields)).json["choices"][0]
    tokens = whole["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == whole["message"]["content"]
    for token in tokens:
        assert bytes(token["bytes"]).decode() == token["token"]
        assert len(token["top_logprobs"]) == 2
        assert token["logprob"] <= token["top_logprobs"][0]["logprob"]
        assert token["logprob"] <= 0
    stream = await fakes.chat(**fields, stream=True)
    found = [c["choices"][0]["logprobs"] for c in stream.events[:-1]]
    assert [token for part in found if part for token in part["content"]] == tokens


async def test_a_stop_text_ends_the_answer_and_is_not_in_it(fakes: House) -> None:
    text = (await fakes.chat(**GREEDY)).json["choices"][0]["message"]["content"]
    stop = text[4:6]
    for given in (stop, ["@@", stop]):
        choice = (await fakes.chat(**GREEDY, stop=given)).json["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"] == text[: text.index(stop)]


async def test_parts_of_text_are_joined(fakes: House) -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    whole = await fakes.chat(**GREEDY)
    messages = [{"role": "user", "content": parts}]
    split = await fakes.post("/v1/chat/completions", {"messages": messages, **GREEDY})
    assert split.json["choices"] == whole.json["choices"]


async def test_a_reply_can_be_sent_back_as_it_came(fakes: House) -> None:
    """Clients put the message they got, with all its fields, into the next request."""
    message = (await fakes.chat(**GREEDY)).json["choices"][0]["message"]
    message |= {"audio": None, "function_call": None, "tool_calls": None}
    messages = [{"role": "user", "content": "hello"}, message, {"role": "user", "content": "go on"}]
    reply = await fakes.post("/chat/completions", {"messages": messages, "max_tokens": 1})
    assert reply.status == 200


async def test_fields_that_change_nothing_are_accepted(fakes: House) -> None:
    reply = await fakes.chat(
        max_tokens=1,
        user="someone",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        prompt_cache_key="k",
        safety_identifier="s",
        prediction={"type": "content", "content": "x"},
        verbosity="medium",
        modalities=["text"],
        stop=None,
        tools=None,
        logit_bias=None,
        id_slot=-1,
        n_keep=0,
    )
    assert reply.status == 200
    assert reply.json["service_tier"] == "default"


async def test_llama_servers_names_are_taken(fakes: House) -> None:
    reply = await fakes.chat(
        n_predict=3,
        top_k=-1,
        min_p=0.05,
        typ_p=1.0,
        repeat_penalty=1.1,
        repeat_last_n=64,
        dry_multiplier=0.5,
        xtc_probability=0.1,
        mirostat=0,
        samplers="kpt",
        logit_bias=[[65, False], ["b", -1.5]],
        cache_prompt=True,
        ignore_eos=True,
        min_tokens=2,
    )
    assert reply.status == 200
    assert reply.json["usage"]["completion_tokens"] == 3
    endless = await fakes.chat(max_tokens=-1, stop=" ")
    assert endless.status == 200


@pytest.mark.parametrize("n_prompts", [1, 2])
async def test_timings_with_every_chunk(fakes: House, n_prompts: int) -> None:
    fields = {**GREEDY, "stream": True, "timings_per_token": True}
    reply = await fakes.chat(**fields) if n_prompts == 1 else await fakes.complete(**fields)
    chunks = reply.events[:-1]
    counts = [c["timings"]["predicted_n"] for c in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert set(chunks[-1]["timings"]) >= TIMINGS


async def test_progress_of_a_long_prompt(tmp_path: Path) -> None:
    slow = fake(FAKE, {"row_ms": 60}, batch=32, prefill_budget_ms=1)
    async with house(tmp_path, specs=[slow]) as fakes:
        reply = await fakes.chat("x" * 1000, max_tokens=1, stream=True, return_progress=True)
        found = [c["prompt_progress"] for c in reply.events[:-1] if "prompt_progress" in c]
        assert found
        for progress in found:
            assert progress["total"] > 1000
            assert 0 <= progress["processed"] <= progress["total"]
        steps = [progress["processed"] for progress in found]
        assert steps == sorted(steps)


# Text ------------------------------------------------------------------------------------


async def test_prompts_times_n_are_numbered_as_openai_does(fakes: House) -> None:
    prompts = ["one", "two", "three"]
    alone = [(await fakes.complete(p, **GREEDY)).json["choices"][0]["text"] for p in prompts]
    reply = await fakes.complete(prompts, **GREEDY, n=2)
    choices = reply.json["choices"]
    assert [c["index"] for c in choices] == list(range(6))
    assert [c["text"] for c in choices] == [text for text in alone for _ in range(2)]
    stream = await fakes.complete(prompts, **GREEDY, n=2, stream=True)
    assert [joined(stream, index) for index in range(6)] == [c["text"] for c in choices]
    assert stream.events[-1] == "[DONE]"
    assert reply.json["usage"]["completion_tokens"] == 6 * 12


async def test_more_prompts_than_slots_and_queue_are_all_answered(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, parallel=2)]) as fakes:
        reply = await fakes.complete([f"p{i}" for i in range(30)], max_tokens=2)
        assert [c["index"] for c in reply.json["choices"]] == list(range(30))


async def test_tokens_are_the_text_they_stand_for(fakes: House) -> None:
    text = await fakes.complete("hello", **GREEDY)
    tokens = await fakes.complete(list(b"hello"), **GREEDY)
    lists = await fakes.complete([list(b"hello"), list(b"hello")], **GREEDY)
    expected = text.json["choices"][0]["text"]
    assert tokens.json["choices"][0]["text"] == expected
    assert [c["text"] for c in lists.json["choices"]] == [expected, expected]


async def test_sixteen_tokens_is_openais_default(fakes: House) -> None:
    reply = await fakes.complete("hello", ignore_eos=True)
    assert reply.json["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize("prompt", ["hello", list(b"hello")])
@pytest.mark.parametrize("stream", [False, True])
async def test_echo_sends_the_prompt_first(fakes: House, prompt: Any, stream: bool) -> None:
    plain = (await fakes.complete(prompt, **GREEDY)).json["choices"][0]["text"]
    reply = await fakes.complete(prompt, **GREEDY, echo=True, stream=stream)
    text = joined(reply) if stream else reply.json["choices"][0]["text"]
    assert text == "hello" + plain


@pytest.mark.parametrize("prompt", ["hello", list(b"hello")])
@pytest.mark.parametrize("max_tokens", [0, 3])
async def test_echo_with_log_probabilities_scores_the_prompt(
    fakes: House, prompt: Any, max_tokens: int
) -> None:
    reply = await fakes.complete(prompt, echo=True, logprobs=1, max_tokens=max_tokens)
    choice = reply.json["choices"][0]
    scores = choice["logprobs"]
    assert "".join(scores["tokens"]) == choice["text"]
    assert len(scores["tokens"]) == 5 + max_tokens
    assert scores["token_logprobs"][0] is None
    assert all(value <= 0 for value in scores["token_logprobs"][1:])
    assert scores["text_offset"] == list(range(5 + max_tokens))
    assert len(scores["top_logprobs"]) == 5 + max_tokens


async def test_log_probabilities_in_the_text_shape(fakes: House) -> None:
    whole = (await fakes.complete("hello", **GREEDY, logprobs=2)).json["choices"][0]
    scores = whole["logprobs"]
    assert "".join(scores["tokens"]) == whole["text"]
    assert scores["text_offset"] == list(range(12))
    assert all(
        set(top) >= {token}
        for top, token in zip(scores["top_logprobs"], scores["tokens"], strict=True)
    )
    stream = await fakes.complete("hello", **GREEDY, logprobs=2, stream=True)
    parts = [c["choices"][0]["logprobs"] for c in stream.events[:-1]]
    for name, expected in scores.items():
        assert [value for part in parts if part for value in part[name]] == expected


async def test_a_suffix_asks_for_the_middle(fakes: House) -> None:
    plain = await fakes.complete("hello", **GREEDY)
    infill = await fakes.complete("hello", **GREEDY, suffix="world")
    assert infill.status == 200
    extra = infill.json["usage"]["prompt_tokens"] - plain.json["usage"]["prompt_tokens"]
    assert extra == len("world") + 3


# Embeddings --------------------------------------------------------------------------------


async def test_embeddings_as_numbers_and_as_base64(fakes: House) -> None:
    numbers = (await fakes.post("/v1/embeddings", {"input": ["one", "two"]})).json
    assert [item["index"] for item in numbers["data"]] == [0, 1]
    assert numbers["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    text = {"input": ["one", "two"], "encoding_format": "base64"}
    coded = (await fakes.post("/embeddings", text)).json
    for number, code in zip(numbers["data"], coded["data"], strict=True):
        floats = array("f", base64.b64decode(code["embedding"]))
        assert list(floats) == pytest.approx(number["embedding"])


async def test_tokens_embed_as_their_text(fakes: House) -> None:
    text = (await fakes.post("/v1/embeddings", {"input": "one"})).json
    for given in (list(b"one"), [list(b"one")], ["one"]):
        reply = (await fakes.post("/v1/embeddings", {"input": given})).json
        assert reply["data"] == text["data"]


async def test_fewer_dimensions_are_the_first_at_unit_length(fakes: House) -> None:
    whole = (await fakes.post("/v1/embeddings", {"input": "abcdefgh"})).json["data"][0]
    cut = await fakes.post("/v1/embeddings", {"input": "abcdefgh", "dimensions": 8})
    vector = cut.json["data"][0]["embedding"]
    length = math.hypot(*whole["embedding"][:8])
    assert vector == pytest.approx([value / length for value in whole["embedding"][:8]])
    assert math.hypot(*vector) == pytest.approx(1)


# Models ------------------------------------------------------------------------------------


async def test_models_are_listed_with_what_they_are_doing(tmp_path: Path) -> None:
    settings = Settings(
        models={"big/one": ModelSettings(path=tmp_path / "x.gguf", aliases=("gpt-4o",))}
    )
    async with house(tmp_path, settings=settings) as fakes:
        await fakes.chat(model=FAKE, max_tokens=1)
        data = {card["id"]: card for card in (await fakes.get("/v1/models")).json["data"]}
        assert set(data) == {"guide", "big/one", FAKE}
        assert all(card["object"] == "model" for card in data.values())
        assert data["big/one"]["aliases"] == ["gpt-4o"]
        assert data["big/one"]["status"]["value"] == "unloaded"
        assert "meta" not in data["big/one"]
        assert data[FAKE]["status"]["value"] == "loaded"
        assert data[FAKE]["meta"]["n_ctx"] == 4096
        for name in ("big/one", "gpt-4o", "big%2Fone"):
            one = await fakes.get(f"/v1/models/{name}")
            assert (one.status, one.json["id"]) == (200, "big/one")
        missing = await fakes.get("/v1/models/nope")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")


async def test_a_load_that_fails_is_told_and_shown(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("bad", {"refuse": "broken tensors"})]) as fakes:
        for stream in (False, True):
            reply = await fakes.chat(model="bad", stream=stream)
            assert (reply.status, reply.error["code"]) == (500, "model_load_failed")
        status = (await fakes.get("/v1/models/bad")).json["status"]
        assert status["value"] == "unloaded"
        assert status["failed"] is True
        assert "broken tensors" in status["error"]


async def test_without_a_name_the_only_model_is_meant(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake("one")]) as fakes:
        assert (await fakes.chat(max_tokens=1)).json["model"] == "one"
    async with house(tmp_path, specs=[fake("one"), fake("two")]) as fakes:
        unclear = await fakes.chat(max_tokens=1)
        assert (unclear.status, unclear.error["param"]) == (400, "model")
        await fakes.chat(model="two", max_tokens=1)
        assert (await fakes.chat(max_tokens=1)).json["model"] == "two"
    chosen = Settings(default_model="one", origins={"default_model": "config.toml:1"})
    async with house(tmp_path, specs=[fake("one"), fake("two")], settings=chosen) as fakes:
        assert (await fakes.chat(model="", max_tokens=1)).json["model"] == "one"
