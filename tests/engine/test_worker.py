"""What the worker promises over its socket, with the real llama.cpp and the shipped model."""

from __future__ import annotations

import math

import pytest
from harness import GUIDE, Worker, chat, prompt, tokens, worker

from kolo.errors import (
    BadParameter,
    BadTemplate,
    ContextLengthExceeded,
    DeadlineExceeded,
    KoloError,
    Unsupported,
)
from kolo.types import (
    Chat,
    Detokenize,
    Embed,
    Generate,
    LoadParams,
    Message,
    Prompt,
    Render,
    Rerank,
    Sampling,
    Tokenize,
)

GREEDY = Sampling(temperature=0)
QUESTIONS = [
    "What is Kolo?",
    "Hi",
    "What is TTFT?",
    "How do I start the server?",
    "What is a GGUF file?",
    "Which command shows live tokens per second?",
    "Thanks",
    "Who are you?",
]


def wild(seed: int | None) -> Sampling:
    """Hot enough that even a model that knows its answers by heart varies."""
    return Sampling(seed=seed, temperature=5, top_k=0, top_p=1, min_p=0)


def idle(guide: Worker) -> bool:
    stats = guide.stats()
    return stats.running == stats.waiting == 0 and all(slot.state == "idle" for slot in stats.slots)


def test_the_shipped_model_says_what_kolo_is(guide: Worker) -> None:
    answer = guide.ask(chat("What is Kolo?", sampling=GREEDY))
    assert "GGUF" in answer.text()
    assert "terminal" in answer.text()
    assert answer.finish == "stop"
    assert answer.ends == 1


def test_sixty_four_at_once_each_say_what_they_say_alone(guide: Worker) -> None:
    ops = [
        chat(QUESTIONS[i % 8] + " " * (i // 8), sampling=GREEDY, max_tokens=5 + i % 40)
        for i in range(64)
    ]
    alone = [guide.ask(op).text() for op in ops]
    together = guide.wait(*(guide.submit(op) for op in ops))
    assert [answer.text() for answer in together] == alone
    assert {answer.ends for answer in together} == {1}
    assert idle(guide)


def test_sixteen_together_prefill_their_shared_prefix_once() -> None:
    params = LoadParams(parallel=16, ctx=2048, threads=1)
    with worker("", params, backend="fake") as fake:
        shared = list(range(97, 122)) * 40
        tails = [[32 + i, *range(64, 83)] for i in range(16)]
        before = fake.stats()
        ids = [fake.submit(tokens([*shared, *tail], max_tokens=8)) for tail in tails]
        answers = fake.wait(*ids)
        after = fake.stats()
    assert after.prefill_tokens - before.prefill_tokens == 1000 + 16 * 20
    assert sum(a.generated.usage.cached_tokens for a in answers) == 15 * 1000


def test_sixteen_together_on_llama_cpp_prefill_their_shared_prefix_once(shared_prefix) -> None:
    prefilled, cached, texts, alone = shared_prefix
    assert prefilled == 1000 + 16 * 20
    assert cached == 15 * 1000
    assert texts == alone


@pytest.fixture(scope="module")
def shared_prefix() -> tuple[int, int, list[str], list[str]]:
    with worker(GUIDE, LoadParams(parallel=16, ctx=2048, threads=1)) as guide:
        text = guide.ask(Tokenize(text="Kolo runs models from the terminal. " * 200)).result
        shared = text.tokens[:1000]
        tails = [[300 + i, *shared[7:26]] for i in range(16)]
        ops = [tokens([*shared, *t], max_tokens=8, sampling=GREEDY) for t in tails]
        before = guide.stats()
        answers = guide.wait(*(guide.submit(op) for op in ops))
        after = guide.stats()
        alone = [
            guide.ask(
                tokens([*shared, *t], max_tokens=8, sampling=GREEDY, cache_prompt=False)
            ).text()
            for t in tails
        ]
    return (
        after.prefill_tokens - before.prefill_tokens,
        sum(a.generated.usage.cached_tokens for a in answers),
        [a.text() for a in answers],
        alone,
    )


def test_a_cached_prefix_changes_no_text(guide: Worker) -> None:
    op = chat("What is a KV cache?", sampling=GREEDY)
    fresh = guide.ask(Generate(input=op.input, sampling=GREEDY, cache_prompt=False))
    warm = guide.ask(op)
    again = guide.ask(op)
    assert fresh.text() == warm.text() == again.text()
    usage = again.generated.usage
    assert usage.cached_tokens == usage.prompt_tokens - 1
    assert fresh.generated.usage.cached_tokens == 0


def test_n_answers_cost_one_prefill(guide: Worker) -> None:
    before = guide.stats().prefill_tokens
    answer = guide.ask(
        chat("Tell me about continuous batching, please", n=4, sampling=Sampling(seed=1))
    )
    usage = answer.generated.usage
    assert guide.stats().prefill_tokens - before <= usage.prompt_tokens - usage.cached_tokens
    assert {delta.index for delta in answer.deltas} == {0, 1, 2, 3}
    assert all(answer.text(i) for i in range(4))
    finishes = [delta.index for delta in answer.deltas if delta.finish]
    assert sorted(finishes) == [0, 1, 2, 3]


def test_the_same_seed_gives_the_same_text(guide: Worker) -> None:
    def say(seed: int) -> str:
        op = prompt("Kolo", max_tokens=24, sampling=wild(seed))
        return guide.ask(op).text()

    assert say(11) == say(11)
    assert len({say(seed) for seed in range(6)}) > 1


def test_an_unset_seed_is_drawn_and_reported(guide: Worker) -> None:
    first = guide.ask(prompt("Kolo", max_tokens=16, sampling=wild(None)))
    again = prompt("Kolo", max_tokens=16, sampling=wild(first.generated.seed))
    assert guide.ask(again).text() == first.text()


def test_max_tokens_ends_with_length_and_zero_gives_nothing(guide: Worker) -> None:
    three = guide.ask(chat("What is Kolo?", max_tokens=3, sampling=GREEDY))
    assert three.finish == "length"
    assert three.generated.usage.completion_tokens == 3
    none = guide.ask(chat("What is Kolo?", max_tokens=0))
    assert (none.text(), none.finish) == ("", "length")


def test_the_context_ends_an_answer_with_length(guide: Worker) -> None:
    ids = guide.ask(Tokenize(text="Kolo " * 2100)).result.tokens[:2040]
    answer = guide.ask(tokens(ids, sampling=Sampling(temperature=0, ignore_eos=True)))
    assert answer.finish == "length"
    assert answer.generated.usage.completion_tokens == 8


@pytest.mark.parametrize("stop", ["terminal", "rmin", "l, th"])
def test_a_stop_string_ends_the_answer_before_it(guide: Worker, stop: str) -> None:
    whole = guide.ask(chat("What is Kolo?", sampling=GREEDY)).text()
    answer = guide.ask(chat("What is Kolo?", sampling=GREEDY, stop=[stop, "never said"]))
    assert answer.text() == whole[: whole.index(stop)]
    assert answer.finish == "stop"
    assert answer.deltas[-1].stop_sequence == stop


def test_min_tokens_holds_the_end_back(guide: Worker) -> None:
    short = guide.ask(chat("Thanks", sampling=GREEDY)).generated.usage.completion_tokens
    op = chat("Thanks", sampling=GREEDY, min_tokens=short + 10, max_tokens=short + 20)
    assert guide.ask(op).generated.usage.completion_tokens > short + 10


def test_a_bias_by_string_or_id_forbids_and_forces(guide: Worker) -> None:
    word = guide.ask(Tokenize(text="Kolo")).result.tokens
    free = guide.ask(prompt("What is", max_tokens=1, sampling=GREEDY))
    forced = Sampling(temperature=0, logit_bias={str(word[0]): 100})
    assert guide.ask(prompt("What is", max_tokens=1, sampling=forced)).text() == "Kolo"[:1] or (
        len(word) == 1
    )
    forbidden = Sampling(temperature=0, logit_bias={free.text(): -100})
    assert guide.ask(prompt("What is", max_tokens=1, sampling=forbidden)).text() != free.text()


def test_logprobs_come_with_each_token_and_agree_with_the_draw(guide: Worker) -> None:
    op = chat("What is Kolo?", sampling=GREEDY, logprobs=True, top_logprobs=3, max_tokens=10)
    answer = guide.ask(op)
    entries = [entry for delta in answer.deltas for entry in delta.logprobs]
    assert len(entries) == 10
    assert b"".join(entry.raw for entry in entries).decode() == answer.text()
    for entry in entries:
        assert entry.top[0][0] == entry.token
        assert len(entry.top) == 3
        assert entry.logprob == pytest.approx(entry.top[0][3])
        assert sum(math.exp(top[3]) for top in entry.top) <= 1.0001


def test_prompt_logprobs_score_every_token_but_the_first(guide: Worker) -> None:
    op = prompt("Kolo runs GGUF models", max_tokens=0, prompt_logprobs=True, logprobs=True)
    scored = guide.ask(op).generated
    assert scored.prompt_logprobs is not None
    assert len(scored.prompt_logprobs) == scored.usage.prompt_tokens
    assert scored.prompt_logprobs[0] is None
    assert all(entry is not None and entry.logprob <= 0 for entry in scored.prompt_logprobs[1:])
    assert scored.usage.cached_tokens == 0


def test_a_cancel_ends_the_request_and_frees_its_slot(guide: Worker) -> None:
    forever = Sampling(temperature=0, ignore_eos=True)
    request = guide.submit(prompt("Kolo", sampling=forever))
    while not guide.answers[request].deltas:
        guide.read()
    guide.cancel(request)
    (answer,) = guide.wait(request)
    assert answer.generated.usage.completion_tokens < 1500
    assert idle(guide)


def test_a_cancel_in_the_queue_is_as_good(guide: Worker) -> None:
    forever = Sampling(temperature=0, ignore_eos=True)
    busy = [guide.submit(prompt(f"{i}", sampling=forever)) for i in range(8)]
    queued = guide.submit(prompt("Kolo"))
    guide.cancel(queued)
    (answer,) = guide.wait(queued)
    assert answer.deltas == []
    for request in busy:
        guide.cancel(request)
    guide.wait(*busy)
    assert idle(guide)


def test_a_passed_deadline_fails_the_request_alone(guide: Worker) -> None:
    forever = Sampling(temperature=0, ignore_eos=True)
    late = guide.submit(prompt("Kolo", sampling=forever, deadline_ms=50))
    other = guide.submit(chat("What is Kolo?", sampling=GREEDY))
    answers = guide.wait(late, other)
    assert isinstance(answers[0].error, DeadlineExceeded)
    assert answers[1].finish == "stop"
    assert idle(guide)


@pytest.mark.parametrize(
    ("op", "error", "param"),
    [
        (prompt("x" * 50_000), ContextLengthExceeded, "prompt"),
        (chat("x " * 50_000), ContextLengthExceeded, "messages"),
        (Generate(input=Chat(messages=[])), BadParameter, "messages"),
        (tokens([1, 2, 10**6]), BadParameter, "prompt"),
        (tokens([-1]), BadParameter, "prompt"),
        (prompt("a", sampling=Sampling(samplers=["best"])), BadParameter, "samplers"),
        (prompt("a", sampling=Sampling(logit_bias={"999999": 1})), BadParameter, "logit_bias"),
        (prompt("a", max_tokens=5, min_tokens=6), BadParameter, "min_tokens"),
        (
            Generate(input=Chat(messages=[Message(role="wizard", content="hi")])),
            BadTemplate,
            "messages",
        ),
        (Embed(inputs=[]), BadParameter, "input"),
        (Embed(inputs=[[10**6]]), BadParameter, "input"),
        (Rerank(query="a", documents=["b"]), Unsupported, "model"),
        (Detokenize(tokens=[10**6]), KoloError, "tokens"),
    ],
)
def test_what_the_caller_got_wrong_is_refused_by_name(
    guide: Worker, op, error: type[KoloError], param: str
) -> None:
    answer = guide.ask(op)
    assert isinstance(answer.error, error)
    assert answer.error.param == param
    assert answer.error.message
    assert answer.error.hint
    assert answer.ends == 1


def test_infill_uses_the_models_own_markers(guide: Worker) -> None:
    op = Generate(
        input=Prompt(text="kolo co", suffix=' "What is Kolo?"'), sampling=GREEDY, max_tokens=8
    )
    answer = guide.ask(op)
    assert answer.error is None
    assert answer.generated.usage.prompt_tokens > 5


def test_tokens_and_text_are_each_others_inverse(guide: Worker) -> None:
    text = "Kolo — naïve 日本語 👩‍👩‍👧 <|im_end|>"
    plain = guide.ask(Tokenize(text=text, parse_special=False)).result
    assert guide.ask(Detokenize(tokens=plain.tokens)).result.text == text
    special = guide.ask(Tokenize(text="<|im_end|>")).result
    assert len(special.tokens) == 1


def test_rendering_shows_the_prompt_as_the_model_gets_it(guide: Worker) -> None:
    conversation = Chat(messages=[Message(role="user", content="Hi")])
    rendered = guide.ask(Render(chat=conversation)).result.prompt
    assert rendered.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_generating_model_embeds_too_with_unit_length(guide: Worker) -> None:
    result = guide.ask(Embed(inputs=["a terminal", "a terminal", "thanks"])).result
    first, same, other = result.vectors
    assert sum(x * x for x in first) == pytest.approx(1.0)
    assert first == pytest.approx(same, abs=1e-5)
    assert first != pytest.approx(other, abs=1e-2)
    assert result.prompt_tokens > 3


def test_streamed_pieces_never_hold_half_a_character(guide: Worker) -> None:
    ids = guide.ask(Tokenize(text="日本語 👩‍👩‍👧 é")).result.tokens
    bias = {str(token): 30.0 for token in ids}
    op = prompt("日", max_tokens=60, sampling=Sampling(logit_bias=bias, seed=3, temperature=2))
    answer = guide.ask(op)
    for delta in answer.deltas:
        delta.text.encode("utf-8")
    raw = prompt("日", max_tokens=60, sampling=Sampling(logit_bias=bias, seed=3, temperature=2))
    assert guide.ask(raw).text() == answer.text()
