"""llama-server's own /completion and /infill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from homes import home
from serving import FAKE, House, fake, house

from kolo.types import Sampling

GREEDY: dict[str, Any] = {"prompt": "hello", "temperature": 0, "n_predict": 12}


@pytest.fixture
async def fakes(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


async def test_an_answer_has_llama_servers_fields(fakes: House) -> None:
    reply = (await fakes.post("/completion", {**GREEDY, "stop": ["zzz"], "seed": 7})).json
    assert len(reply["content"]) == 12
    assert reply["tokens"] == []
    assert (reply["stop"], reply["stop_type"], reply["stopping_word"]) == (True, "limit", "")
    assert (reply["index"], reply["model"], reply["prompt"]) == (0, FAKE, "hello")
    assert (reply["tokens_predicted"], reply["tokens_evaluated"]) == (12, 5)
    assert (reply["truncated"], reply["has_new_line"]) == (False, False)
    settings = reply["generation_settings"]
    assert (settings["temperature"], settings["seed"], settings["n_predict"]) == (0, 7, 12)
    assert settings["stop"] == ["zzz"]
    assert reply["timings"]["predicted_n"] == 12
    assert "completion_probabilities" not in reply
    again = (await fakes.post("/completion", GREEDY)).json
    assert again["content"] == reply["content"]
    assert again["tokens_cached"] == again["timings"]["cache_n"] > 0


async def test_the_settings_in_force_and_the_slot_are_told(tmp_path: Path) -> None:
    spec = fake(FAKE, sampling=Sampling(top_k=7), parallel=2)
    async with house(tmp_path, specs=[spec]) as place:
        reply = (await place.post("/completion", {**GREEDY, "n_cmpl": 2})).json
        assert {one["id_slot"] for one in reply} == {0, 1}
        settings = reply[0]["generation_settings"]
        assert (settings["top_k"], settings["min_p"], settings["repeat_last_n"]) == (7, 0.05, 64)
        assert settings["samplers"][0] == "penalties"
        assert settings["seed"] >= 0
        streamed = (await place.post("/completion", {**GREEDY, "stream": True})).events
        assert len({one["id_slot"] for one in streamed}) == 1
        assert streamed[0]["id_slot"] in (0, 1)


async def test_the_defaults_of_an_engine_hold_where_a_request_is_silent(tmp_path: Path) -> None:
    ask = {"prompt": "hello", "n_predict": 12, "temperature": 2, "samplers": ["temperature"]}
    script = {"words": 1}
    specs = [
        fake("seeded", script, sampling=Sampling(seed=5, ignore_eos=True)),
        fake("biased", script, sampling=Sampling(logit_bias={"104": 100.0})),
    ]
    async with house(tmp_path, specs=specs) as place:

        async def answer(model: str, **more: Any) -> Any:
            return (await place.post("/completion", {**ask, "model": model, **more})).json

        first, second = await answer("seeded"), await answer("seeded")
        assert first["content"] == second["content"]
        assert first["generation_settings"]["seed"] == 5
        assert first["stop_type"] == "limit"
        assert (await answer("seeded", seed=6))["generation_settings"]["seed"] == 6
        assert (await answer("biased"))["content"] == "h" * 12
        assert (await answer("biased", logit_bias={"104": 0}))["content"] != "h" * 12


async def test_stop_types_say_how_it_ended(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, {"words": 2})]) as place:
        whole = (await place.post("/completion", {"prompt": "hello", "temperature": 0})).json
        assert (whole["stop_type"], whole["stopping_word"]) == ("eos", "")
        word = whole["content"].split()[1]
        cut = await place.post("/completion", {"prompt": "hello", "temperature": 0, "stop": [word]})
        assert (cut.json["stop_type"], cut.json["stopping_word"]) == ("word", word)
        assert word not in cut.json["content"]


async def test_a_stream_joined_is_the_answer_and_ends_with_it(fakes: House) -> None:
    whole = (await fakes.post("/completion", {**GREEDY, "return_tokens": True})).json
    streamed = (await fakes.post("/completion", {**GREEDY, "stream": True})).events
    *parts, last = streamed
    assert all(part["stop"] is False for part in parts)
    assert "".join(part["content"] for part in parts) == whole["content"]
    assert [token for part in parts for token in part["tokens"]] == whole["tokens"]
    assert len(whole["tokens"]) == 12
    assert parts[-1]["tokens_predicted"] == 12
    assert (last["stop"], last["content"], last["tokens"]) == (True, "", [])
    assert (last["stop_type"], last["tokens_predicted"]) == ("limit", 12)
    assert last["generation_settings"]["stream"] is True


async def test_probabilities_of_each_token_and_of_others(fakes: House) -> None:
    whole = (await fakes.post("/completion", {**GREEDY, "n_probs": 3})).json
    tokens = whole["completion_probabilities"]
    assert len(tokens) == 12
    assert "".join(token["token"] for token in tokens) == whole["content"]
    for token in tokens:
        assert len(token["top_logprobs"]) == 3
        assert bytes(token["bytes"]).decode() == token["token"]
        assert token["top_logprobs"][0]["id"] == token["id"]
    streamed = (await fakes.post("/completion", {**GREEDY, "n_probs": 3, "stream": True})).events
    found = [token["id"] for part in streamed for token in part.get("completion_probabilities", [])]
    assert found == [token["id"] for token in tokens]


async def test_several_prompts_and_answers_come_as_a_list(fakes: House) -> None:
    body = {**GREEDY, "prompt": ["hello", "there"], "n_cmpl": 2}
    replies = (await fakes.post("/completion", body)).json
    assert [reply["index"] for reply in replies] == [0, 1, 2, 3]
    assert [reply["prompt"] for reply in replies] == ["hello", "hello", "there", "there"]
    streamed = (await fakes.post("/completion", {**body, "stream": True})).events
    for at, reply in enumerate(replies):
        own = [part for part in streamed if part["index"] == at]
        assert "".join(part["content"] for part in own) == reply["content"]
        assert own[-1]["stop"] is True


async def test_a_prompt_of_tokens_is_told_as_text(fakes: House) -> None:
    reply = (await fakes.post("/completion", {**GREEDY, "prompt": [104, 105]})).json
    assert (reply["prompt"], reply["tokens_evaluated"]) == ("hi", 2)


async def test_timings_and_progress_are_sent_where_asked_for(fakes: House) -> None:
    body = {**GREEDY, "stream": True, "timings_per_token": True}
    *parts, _ = (await fakes.post("/completion", body)).events
    assert all(part["timings"]["predicted_n"] >= 1 for part in parts)
    assert parts[-1]["timings"]["predicted_n"] == 12
    assert {part.get("tokens_evaluated", 5) for part in parts} == {5}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/completion", {"prompt": None}, "prompt"),
        ("/completion", {"prompt": [1, "a"]}, "prompt"),
        ("/completion", {"prompt": "x", "n_probs": 21}, "n_probs"),
        ("/completion", {"prompt": "x", "n_probs": 1, "logprobs": 2}, "logprobs"),
        ("/completion", {"prompt": "x", "n_predict": 1, "max_tokens": 2}, "max_tokens"),
        ("/completion", {"prompt": "x", "n_keep": 5}, "n_keep"),
        ("/completion", {"prompt": "x", "id_slot": 1}, "id_slot"),
        ("/completion", {"prompt": "x", "t_max_predict_ms": 100}, "t_max_predict_ms"),
        ("/completion", {"prompt": "x", "post_sampling_probs": True}, "post_sampling_probs"),
        ("/completion", {"prompt": "x", "response_fields": ["content"]}, "response_fields"),
        ("/completion", {"prompt": "x", "lora": [{"id": 0, "scale": 1}]}, "lora"),
        ("/completion", {"prompt": "x", "messages": []}, "messages"),
        ("/completion", {"prompt": ["x", "y"], "return_progress": True}, "return_progress"),
        ("/infill", {"input_prefix": "x"}, "input_suffix"),
        ("/infill", {"input_suffix": "x"}, "input_prefix"),
        (
            "/infill",
            {"input_prefix": "x", "input_suffix": "y", "input_extra": [{"filename": "z"}]},
            "input_extra[0].text",
        ),
    ],
)
async def test_what_cannot_be_honoured_is_a_400_that_names_it(
    fakes: House, path: str, fields: dict[str, Any], param: str
) -> None:
    reply = await fakes.post(path, fields)
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_a_prompt_past_the_context_is_refused_with_both_numbers(tmp_path: Path) -> None:
    async with house(tmp_path, specs=[fake(FAKE, ctx=256)]) as place:
        reply = await place.post("/completion", {"prompt": "x" * 300})
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert "300" in reply.error["message"]
        assert "256" in reply.error["message"]


async def test_infill_answers_in_the_same_form(fakes: House) -> None:
    body = {"input_prefix": "def f(", "input_suffix": ")", "n_predict": 6, "temperature": 0}
    whole = (await fakes.post("/infill", body)).json
    assert whole["tokens_predicted"] == 6
    assert whole["tokens_evaluated"] == len("def f(") + len(")") + 3
    more = (await fakes.post("/infill", {**body, "prompt": "a, "})).json
    assert more["tokens_evaluated"] == whole["tokens_evaluated"] + 3
    streamed = (await fakes.post("/infill", {**body, "stream": True})).events
    assert "".join(part["content"] for part in streamed) == whole["content"]


async def test_a_real_model_answers_and_streams_the_same(tmp_path: Path) -> None:
    body = {"model": "guide", "prompt": "Kolo is", "temperature": 0, "n_predict": 16}
    async with home(tmp_path, backend="llama") as place:
        whole = (await place.post("/completion", body)).json
        streamed = (await place.post("/completion", {**body, "stream": True})).events
        assert "".join(part["content"] for part in streamed) == whole["content"] != ""
        gap = {
            "model": "guide",
            "input_prefix": "def add(a, b",
            "input_suffix": "\n",
            "n_predict": 8,
        }
        filled = await place.post("/infill", gap)
        assert filled.status == 200 or filled.error["code"] == "unsupported"
