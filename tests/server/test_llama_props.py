"""llama-server's /props, /slots, /tokenize, /detokenize, /apply-template, /v1/rerank."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ggufs import tiny_reranker
from homes import GUIDE, home
from serving import ENDLESS, FAKE, House, fake, house

from kolo.config import ModelSettings, Settings
from kolo.types import Generate, LoadParams, Prompt, Sampling

DOCUMENTS = ["world", "the answer", "hello hello"]


@pytest.fixture
async def fakes(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


# Properties ------------------------------------------------------------------------------


async def test_without_a_model_the_server_tells_of_itself(fakes: House) -> None:
    reply = (await fakes.get("/props")).json
    assert reply["role"] == "router"
    assert reply["models_autoload"] is True
    assert reply["model_path"] == "none"
    assert reply["default_generation_settings"] == {"params": {}, "n_ctx": 0}
    assert {engine.state for engine in fakes.manager.list()} == {"unloaded"}


async def test_a_models_properties_show_the_family_of_its_template(tmp_path: Path) -> None:
    settings = Settings(
        engine=LoadParams(
            ctx=512, parallel=2, threads=1, warmup=False, sampling=Sampling(temperature=0.5)
        )
    )
    async with home(tmp_path, backend="llama", settings=settings) as place:
        reply = (await place.get("/props?model=guide")).json
        assert reply["template_family"] == "hermes"
        assert reply["template_source"] == "file"
        assert reply["chat_template_caps"]["supports_tools"] is True
        assert "<|im_start|>" in reply["chat_template"]
        assert reply["eos_token"] == "<|im_end|>"
        assert reply["default_generation_settings"]["n_ctx"] == 512
        assert reply["default_generation_settings"]["params"]["temperature"] == 0.5
        assert (reply["total_slots"], reply["model_alias"]) == (2, "guide")
        assert reply["model_path"] == GUIDE
        assert reply["is_sleeping"] is False
        assert reply["modalities"] == {"vision": False, "video": False, "audio": False}


async def test_properties_load_a_model_unless_told_not_to(fakes: House) -> None:
    refused = await fakes.get(f"/props?model={FAKE}&autoload=false")
    assert (refused.status, refused.error["code"]) == (400, "model_not_loaded")
    assert (await fakes.get(f"/props?model={FAKE}")).status == 200
    assert (await fakes.get(f"/props?model={FAKE}&autoload=false")).status == 200


async def test_an_alias_means_its_model(tmp_path: Path) -> None:
    settings = Settings(models={"long": ModelSettings(path=Path(GUIDE), aliases=("org/short",))})
    async with home(tmp_path, settings=settings) as place:
        for name in ("org/short", "org%2Fshort", "long"):
            assert (await place.get(f"/props?model={name}")).json["model_alias"] == "long"


# Slots -----------------------------------------------------------------------------------


async def test_idle_slots_say_so(fakes: House) -> None:
    await fakes.complete(model=FAKE, max_tokens=2)
    slots = (await fakes.get(f"/slots?model={FAKE}")).json
    assert [slot["id"] for slot in slots] == [0, 1, 2, 3]
    for slot in slots:
        assert slot["is_processing"] is False
        assert slot["n_ctx"] == 4096
        assert "id_task" not in slot


async def test_slots_wake_no_model_unless_asked_to(fakes: House) -> None:
    refused = await fakes.get(f"/slots?model={FAKE}")
    assert (refused.status, refused.error["code"]) == (400, "model_not_loaded")
    assert len((await fakes.get(f"/slots?model={FAKE}&autoload=true")).json) == 4


async def test_a_busy_slot_tells_how_far_it_is_and_no_idle_one_is_a_503(tmp_path: Path) -> None:
    specs = [fake(FAKE, ENDLESS, parallel=1)]
    sampling = Sampling(temperature=0.25, logit_bias={"5": -1.0})
    ask = Generate(input=Prompt(text="hello"), sampling=sampling, max_tokens=4000)
    async with (
        house(tmp_path, specs=specs) as place,
        place.manager.lease(FAKE) as engine,
        engine.submit(ask) as stream,
    ):
        await anext(stream)
        (slot,) = (await place.get(f"/slots?model={FAKE}")).json
        assert slot["is_processing"] is True
        assert slot["state"] == "decode"
        assert slot["n_prompt_tokens"] == slot["n_prompt_tokens_processed"] == 5
        assert slot["n_prompt_tokens_cache"] == 0
        assert slot["next_token"][0]["has_next_token"] is True
        (following,) = slot["next_token"]
        assert following["n_decoded"] >= 1
        assert following["n_remain"] == 4000 - following["n_decoded"]
        assert following["has_new_line"] is False
        assert (slot["params"]["temperature"], slot["params"]["top_k"]) == (0.25, 40)
        assert slot["params"]["n_predict"] == 4000
        assert "logit_bias" not in slot["params"]  # what a request says is nobody else's to read
        full = await place.get(f"/slots?model={FAKE}&fail_on_no_slot=1")
        assert full.status == 503
        assert full.headers["Retry-After"] == "1"


# Tokens ----------------------------------------------------------------------------------


async def test_tokens_and_their_pieces(fakes: House) -> None:
    plain = (await fakes.post("/tokenize", {"content": "hé"})).json
    assert plain == {"tokens": [104, 195, 169]}
    pieces = (await fakes.post("/tokenize", {"content": "hé", "with_pieces": True})).json
    assert pieces["tokens"] == [
        {"id": 104, "piece": "h"},
        {"id": 195, "piece": [195]},
        {"id": 169, "piece": [169]},
    ]
    assert (await fakes.post("/tokenize", {"content": ""})).json == {"tokens": []}


async def test_control_tokens_are_read_unless_told_not_to(fakes: House) -> None:
    parsed = await fakes.post("/tokenize", {"content": "<|im_end|>"})
    assert len(parsed.json["tokens"]) == 1
    text = await fakes.post("/tokenize", {"content": "<|im_end|>", "parse_special": False})
    assert len(text.json["tokens"]) == len("<|im_end|>")


async def test_detokenize_is_the_way_back(fakes: House) -> None:
    text = "Grüße 😀 नमस्ते"
    tokens = (await fakes.post("/tokenize", {"content": text})).json["tokens"]
    assert (await fakes.post("/detokenize", {"tokens": tokens})).json == {"content": text}
    assert (await fakes.post("/detokenize", {"tokens": []})).json == {"content": ""}


async def test_a_template_is_applied_as_chat_would_apply_it(fakes: House) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    prompt = (await fakes.post("/apply-template", body)).json["prompt"]
    assert "hello" in prompt
    chat = (await fakes.chat(max_tokens=1)).json["usage"]["prompt_tokens"]
    tokens = (await fakes.post("/tokenize", {"content": prompt})).json["tokens"]
    assert len(tokens) == chat


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": "x", "special": True}, "special"),
        ("/detokenize", {"tokens": "x"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [999_999]}, "tokens"),
        ("/detokenize", {"tokens": [2**31]}, "tokens[0]"),
        ("/apply-template", {"messages": []}, "messages"),
        ("/apply-template", {"messages": [{"role": "x", "content": "y"}]}, "messages[0].role"),
        ("/v1/rerank", {"query": "x"}, "documents"),
        ("/v1/rerank", {"query": "x", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "x", "documents": ["a"], "texts": ["b"]}, "documents"),
        ("/v1/rerank", {"query": "x", "documents": ["a"], "top_n": 0}, "top_n"),
        ("/v1/rerank", {"query": "x", "documents": ["a"], "return_text": True}, "return_text"),
        ("/v1/rerank", {"query": ["x"], "documents": ["a"]}, "query"),
        ("/v1/rerank", {"documents": ["a"]}, "query"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(
    fakes: House, path: str, body: dict[str, Any], param: str
) -> None:
    reply = await fakes.post(path, body)
    assert (reply.status, reply.error["param"]) == (400, param)


async def test_an_unknown_model_is_a_404_everywhere(fakes: House) -> None:
    for path, body in (
        ("/tokenize", {"content": "x"}),
        ("/detokenize", {"tokens": []}),
        ("/apply-template", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/rerank", {"query": "x", "documents": ["a"]}),
        ("/completion", {"prompt": "x"}),
        ("/infill", {"input_prefix": "x", "input_suffix": "y"}),
        ("/models/load", {}),
        ("/models/unload", {}),
    ):
        for name in ("none", "../../etc/passwd", "x" * 2000, "a\tb"):
            reply = await fakes.post(path, {**body, "model": name})
            assert (reply.status, reply.error["code"]) == (404, "model_not_found"), (path, name)
    for path in ("/props?model=none", "/slots?model=none"):
        assert (await fakes.get(path)).status == 404


# Rerank ----------------------------------------------------------------------------------


@pytest.fixture
async def reranker(tmp_path: Path) -> AsyncIterator[House]:
    path = str(tiny_reranker(tmp_path / "reranker.gguf"))
    async with home(tmp_path, backend="llama") as made:
        added = await made.post("/engines", {"engine_id": "reranker", "model_path": path})
        assert added.status == 201, added.body
        yield made


async def test_documents_come_back_by_relevance(reranker: House) -> None:
    body = {"model": "reranker", "query": "hello", "documents": DOCUMENTS}
    for path in ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking"):
        reply = (await reranker.post(path, body)).json
        assert (reply["model"], reply["object"]) == ("reranker", "list")
        assert sorted(one["index"] for one in reply["results"]) == [0, 1, 2]
        scores = [one["relevance_score"] for one in reply["results"]]
        assert scores == sorted(scores, reverse=True)
        assert all(set(one) == {"index", "relevance_score"} for one in reply["results"])
        assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] > 0

    best = {**body, "documents": [{"text": text} for text in DOCUMENTS], "top_n": 2}
    found = (await reranker.post("/v1/rerank", {**best, "return_documents": True})).json
    assert [one["index"] for one in found["results"]] == [one["index"] for one in reply["results"]][
        :2
    ]
    for one in found["results"]:
        assert one["document"] == {"text": DOCUMENTS[one["index"]]}
    assert len((await reranker.post("/v1/rerank", {**best, "top_n": 99})).json["results"]) == 3

    texts = {"model": "reranker", "query": "hello", "texts": DOCUMENTS, "return_text": True}
    listed = (await reranker.post("/rerank", texts)).json
    assert [set(one) for one in listed] == [{"index", "score", "text"}] * 3
    assert all(one["text"] == DOCUMENTS[one["index"]] for one in listed)


async def test_a_model_without_a_rank_head_cannot_rerank(tmp_path: Path) -> None:
    async with home(tmp_path, backend="llama") as place:
        reply = await place.post("/v1/rerank", {"query": "x", "documents": ["a"]})
        assert (reply.status, reply.error["code"]) == (400, "unsupported")
