"""What is asked: lengths, what defeats caches, files of requests, and how a target is met."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benching import FakeOpenAI, Script, run_virtual, steady

from kolo.bench.acquaint import PROBE_WORDS, Address, Manner, acquaint
from kolo.bench.client import Client
from kolo.bench.constrained import Constrained, FromFile, read_requests
from kolo.bench.prompts import WORDS, Lengths, Prompter, pool_of, tokenize_bodies
from kolo.bench.request import CHAT, COMPLETIONS, Answer, Ask
from kolo.bench.result import Sample, Target
from kolo.bench.sessions import Workload
from kolo.bench.wire import Endpoint
from kolo.bench.workloads import Fixed, Mixed, SharedPrefix
from kolo.errors import AuthFailed, KoloError, ModelNotFound, ServerUnreachable, UsageError

LENGTHS = Lengths(pool=WORDS, overhead=3, exact=True)


def lane(*, cached: bool = False, seed: int = 0) -> Client:
    target = Target(name="a", kind="openai", url="http://x", model="m")
    return Client(
        target,
        Endpoint(target.url),
        Prompter(LENGTHS, seed, cached=cached),
        body={},
        silence_s=1,
    )


def asked(workload: Workload, n: int, client: Client, round_index: int = 0) -> list[Ask]:
    """What the sessions of a round send."""
    found: list[Ask] = []

    async def send(ask: Ask, *, first: asyncio.Event | None = None) -> Answer:
        found.append(ask)
        return Answer(Sample(sent_s=0), text="so")

    async def main() -> None:
        for session in workload.sessions(client, round_index, n):
            await session(send)

    run_virtual(main())
    return found


def prompts(workload: Workload, n: int, client: Client, round_index: int = 0) -> list[str]:
    return [ask.body["prompt"] for ask in asked(workload, n, client, round_index)]


def test_a_prompt_has_its_tokens_what_the_target_adds_included() -> None:
    (prompt,) = prompts(Fixed(64, 8), 1, lane())
    assert len(prompt.split()) == 64 - LENGTHS.overhead


def test_no_two_prompts_begin_alike_even_with_one_seed() -> None:
    found = [p for client in (lane(), lane()) for p in prompts(Fixed(64, 8), 20, client)]
    assert len({tuple(prompt.split()[:8]) for prompt in found}) == len(found)


def test_the_rest_of_a_prompt_is_decided_by_the_seed() -> None:
    one, same, other = (prompts(Fixed(64, 8), 1, lane(seed=seed))[0] for seed in (1, 1, 2))
    assert one.split()[8:] == same.split()[8:] != other.split()[8:]


def test_cached_repeats_prompts() -> None:
    assert prompts(Fixed(64, 8), 3, lane(cached=True)) == prompts(
        Fixed(64, 8), 3, lane(cached=True)
    )


def test_a_shared_prefix_is_shared_within_a_round_only() -> None:
    workload, client = SharedPrefix(40, 16, 8), lane()
    one, other = (prompts(workload, 3, client, index) for index in (0, 1))
    n_shared = round((56 - LENGTHS.overhead) * 40 / 56)
    heads = [[tuple(prompt.split()[:n_shared]) for prompt in each] for each in (one, other)]
    assert len(set(heads[0])) == len(set(heads[1])) == 1
    assert heads[0][0] != heads[1][0]
    assert len({tuple(prompt.split()[n_shared:]) for prompt in one}) == 3
    assert {len(prompt.split()) for prompt in one} == {56 - LENGTHS.overhead}


def test_mixed_lengths_are_the_same_for_every_target() -> None:
    def sizes(client: Client) -> list[tuple[int, int]]:
        return [
            (len(ask.body["prompt"].split()), ask.body["max_tokens"])
            for ask in asked(Mixed(64, 16), 60, client)
        ]

    assert sizes(lane()) == sizes(lane())
    assert set(sizes(lane())) == {(13, 32), (61, 16), (253, 8)}


def test_a_constrained_answer_is_checked_as_far_as_it_goes() -> None:
    (ask,) = asked(Constrained(32, 64), 1, lane())
    schema = ask.body["response_format"]["json_schema"]["schema"]
    assert schema["minItems"] * 8 > 64
    assert ask.check is not None
    whole = (
        '[{"id": -1, "name": "a}]\\u00e9b\\"", "state": "open"}, {"id": 2.5e3, "n": [true, null]}]'
    )
    for end in range(1, len(whole)):
        assert ask.check(whole[:end], True) == "", whole[:end]
    assert ask.check(whole, False) == ""
    assert "no list" in ask.check("Sure! Here", True)
    assert "no list" in ask.check('{"id": 1}', False)
    assert "no JSON" in ask.check('[{"id": 1}, {"id" 2}, {"id": 3', True)
    assert "no JSON" in ask.check("[{", False)


def test_a_schema_of_ones_own_is_checked_when_the_answer_is_whole() -> None:
    (ask,) = asked(Constrained(32, 64, {"type": "object"}, "s.json"), 1, lane())
    assert ask.check is not None
    assert ask.check('{"a', True) == ""
    assert ask.check("{}", False) == ""
    assert "no JSON" in ask.check("{", False)


def test_a_file_of_requests_is_sent_as_it_says(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(
        '{"messages": [{"role": "user", "content": "a"}], "temperature": 1}\n\n'
        '{"prompt": "b"}\n'
        '{"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"prompt": "c"}}\n'
    )
    found = asked(FromFile(file), 5, lane())
    assert [ask.path for ask in found] == [CHAT, COMPLETIONS, COMPLETIONS, CHAT, COMPLETIONS]
    assert found[0].body["temperature"] == 1
    assert found[2].body == {"prompt": "c"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"prompt": "a"}\n{"prompt: 3}', ":2: is no JSON"),
        ('{"prompt": "a"}\n\n[1]', ":3: is no JSON object"),
        ('{"input": "a"}', ":1: has neither"),
        ('{"url": "/v1/embeddings", "body": {"input": "a"}}', ":1: url"),
        ("", ": holds no request"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=where):
        read_requests(file)


def test_words_of_one_token_are_told_by_either_form_of_tokenize() -> None:
    assert [set(body) >= {"model"} for body in tokenize_bodies("m")] == [True, True]
    words = WORDS[:20]
    ours = [{"id": n, "piece": f" {word}"} for n, word in enumerate(words)]
    import json

    assert pool_of(json.dumps({"tokens": [*ours, {"id": 99, "piece": [195]}]}).encode()) == words
    assert pool_of(json.dumps({"token_strs": [f"Ġ{word}" for word in words]}).encode()) == words
    assert pool_of(json.dumps({"tokens": [1, 2, 3]}).encode()) == ()
    assert pool_of(json.dumps({"tokens": ours[:5]}).encode()) == ()
    assert pool_of(b"<html>") == ()


# Meeting a target ------------------------------------------------------------------------------


def met(script: Any, *, model: str | None = None, models: list[str] | None = None) -> Client:
    async def main() -> Client:
        async with FakeOpenAI(script) as server:
            server.models = ["m"] if models is None else models
            address = Address(name="a", url=server.url, kind="openai", model=model)
            client = await acquaint(address, Manner())
            client.endpoint.close()
            return client

    return run_virtual(main())


def honest(body: dict[str, Any]) -> Script:
    """A server of two tokens a word and five more a prompt."""
    n = len(body.get("prompt", "").split() or body["messages"][0]["content"].split())
    return steady(body["max_tokens"], prompt=2 * n + 5)


def test_lengths_are_learned_where_nobody_tells_them() -> None:
    client = met(honest)
    lengths = client.prompter.lengths
    assert (lengths.per_word, lengths.overhead, lengths.exact) == (2.0, 5, False)
    assert lengths.words(105) == 50
    assert (client.target.model, client.target.api) == ("m", "completions")
    assert client.target.fixed_outputs


def test_what_a_server_refuses_is_left_out() -> None:
    def openai(body: dict[str, Any]) -> Script:
        if "ignore_eos" in body:
            return Script([], 400, {"error": {"message": "Unknown parameter: 'ignore_eos'."}})
        if "stream_options" in body:
            return Script([], 400, {"error": {"message": "no stream_options"}})
        if "prompt" in body:
            return Script([], 404, {"error": {"message": "This is a chat model"}})
        return honest(body)

    client = met(openai)
    assert client.target.api == "chat"
    assert not client.target.fixed_outputs
    assert not client.usage


def test_a_server_that_ignores_ignore_eos_is_found_out() -> None:
    client = met(lambda body: steady(3, prompt=len(body["prompt"].split())))
    assert not client.target.fixed_outputs


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (401, "Invalid API key", AuthFailed),
        (404, "the model does not exist", ModelNotFound),
        (400, "the prompt is too long for the model", UsageError),
        (500, "oh", KoloError),
    ],
)
def test_a_target_that_cannot_be_asked_ends_the_run(
    status: int, message: str, error: type[KoloError]
) -> None:
    with pytest.raises(error, match=message):
        met(lambda body: Script([], status, {"error": {"message": message}}))


def test_the_model_is_the_only_one_or_has_to_be_named() -> None:
    assert met(honest, models=["x", "y"], model="y").target.model == "y"
    assert met(honest, models=["q:latest"], model="q").target.model == "q"
    with pytest.raises(UsageError, match="2 models"):
        met(honest, models=["x", "y"])
    with pytest.raises(ModelNotFound, match="no model 'z'"):
        met(honest, models=["x", "y"], model="z")
    with pytest.raises(UsageError, match="does not say which"):
        met(honest, models=[])


def test_nobody_there_is_said_before_anything_is_measured() -> None:
    async def main() -> None:
        await acquaint(Address(name="a", url="http://127.0.0.1:1", kind="openai"), Manner())

    with pytest.raises(ServerUnreachable, match="Connection refused"):
        run_virtual(main())


def test_a_probe_is_two_lengths() -> None:
    seen: list[int] = []

    def script(body: dict[str, Any]) -> Script:
        seen.append(len(body["prompt"].split()))
        return honest(body)

    met(script)
    assert seen == [PROBE_WORDS, 2 * PROBE_WORDS]
