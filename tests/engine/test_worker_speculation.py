"""Guessing ahead changes how fast an answer comes and nothing else of it.

At temperature 0, where it can be seen: a drawn answer may turn on the last bit of a logit, and
llama.cpp rounds differently in batches of other widths, guesses or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ggufs import tiny_llama
from harness import GUIDE, Worker, chat, worker

from kolo.errors import LoadFailed
from kolo.types import Chat, Constraint, Generate, LoadParams, Message, Prompt, Sampling

GREEDY = Sampling(temperature=0)
POEM = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
OPS = {
    "greedy": chat("What is Kolo?", sampling=GREEDY),
    "copying": Generate(input=Prompt(text=POEM * 4), sampling=GREEDY, max_tokens=120),
    "length": Generate(input=Prompt(text=POEM * 4), sampling=GREEDY, max_tokens=3),
    "stop": Generate(input=Prompt(text=POEM * 4), sampling=GREEDY, max_tokens=99, stop=["nine"]),
    "penalties": Generate(
        input=Prompt(text=POEM * 4),
        sampling=Sampling(temperature=0, repeat_penalty=1.1, frequency_penalty=0.2),
        max_tokens=80,
    ),
    "constrained": Generate(
        input=Chat(messages=[Message(role="user", content="List some.")]),
        sampling=GREEDY,
        constraint=Constraint(
            json_schema={
                "type": "array",
                "items": {"enum": ["alpha", "beta"]},
                "minItems": 12,
                "maxItems": 12,
            }
        ),
        max_tokens=200,
    ),
    "several": Generate(input=Prompt(text=POEM * 4), sampling=GREEDY, n=3, max_tokens=40),
    "logprobs": Generate(
        input=Prompt(text=POEM * 4), sampling=GREEDY, max_tokens=40, logprobs=True, top_logprobs=2
    ),
}


@pytest.fixture(scope="module")
def eager() -> Iterator[Worker]:
    params = LoadParams(parallel=4, ctx=1024, speculation="always", warmup=False)
    with worker(GUIDE, params) as guide:
        yield guide


@pytest.fixture(scope="module")
def plain() -> Iterator[Worker]:
    params = LoadParams(parallel=4, ctx=1024, speculation="off", warmup=False)
    with worker(GUIDE, params) as guide:
        yield guide


@pytest.mark.parametrize("name", OPS)
def test_an_answer_is_the_same_with_guesses_and_without(
    name: str, eager: Worker, plain: Worker
) -> None:
    op = OPS[name]
    ahead, alone = eager.ask(op), plain.ask(op)
    for index in range(op.n):
        assert ahead.text(index) == alone.text(index)
    assert ahead.finish == alone.finish
    assert ahead.generated.usage.completion_tokens == alone.generated.usage.completion_tokens
    assert [p.token for d in ahead.deltas for p in d.logprobs] == [
        p.token for d in alone.deltas for p in d.logprobs
    ]


def test_all_of_them_together_too(eager: Worker, plain: Worker) -> None:
    ops = [op for op in OPS.values() if op.n == 1]
    alone = [plain.ask(op).text() for op in ops]
    together = eager.wait(*(eager.submit(op) for op in ops))
    assert [answer.text() for answer in together] == alone


def test_a_text_that_repeats_itself_takes_far_fewer_steps(eager: Worker) -> None:
    before = eager.stats()
    answer = eager.ask(OPS["copying"])
    after = eager.stats()
    timings = answer.generated.timings
    assert 0 < timings.draft_accepted <= timings.draft_tokens
    assert after.draft_accepted - before.draft_accepted == timings.draft_accepted
    n_tokens = answer.generated.usage.completion_tokens
    assert after.decode_calls - before.decode_calls < n_tokens


def test_what_follows_reuses_only_what_was_really_written(eager: Worker, plain: Worker) -> None:
    """A wrong guess leaves nothing in the cache that a later prompt could pick up."""
    first = OPS["copying"]
    assert isinstance(first.input, Prompt)
    text = first.input.text or ""
    follow = {}
    for name, guide in (("eager", eager), ("plain", plain)):
        said = guide.ask(first).text()
        longer = Generate(input=Prompt(text=text + said), sampling=GREEDY, max_tokens=30)
        follow[name] = guide.ask(longer).text()
    assert follow["eager"] == follow["plain"]


def test_a_cancel_between_guesses_frees_the_slot(eager: Worker) -> None:
    op = Generate(input=Prompt(text=POEM * 4), sampling=Sampling(temperature=0, ignore_eos=True))
    request = eager.submit(op)
    while not eager.answers[request].deltas:
        eager.read()
    eager.cancel(request)
    eager.wait(request)
    assert all(slot.state == "idle" for slot in eager.stats().slots)


def test_on_auto_a_backend_whose_rows_all_cost_the_same_never_guesses() -> None:
    with worker("", LoadParams(parallel=2, ctx=1024), backend="fake") as fake:
        fake.ask(Generate(input=Prompt(text=POEM * 4), sampling=GREEDY, max_tokens=200))
        assert fake.stats().draft_tokens == 0


def test_a_draft_model_changes_no_answer_and_is_believed_where_it_is_right(
    plain: Worker,
) -> None:
    params = LoadParams(parallel=4, ctx=1024, speculation="always", draft_model=GUIDE, warmup=False)
    with worker(GUIDE, params) as guide:
        ops = [op for op in OPS.values() if op.n == 1]
        alone = [plain.ask(op).text() for op in ops]
        assert [guide.ask(op).text() for op in ops] == alone
        together = guide.wait(*(guide.submit(op) for op in ops))
        assert [answer.text() for answer in together] == alone
        fresh = guide.ask(chat("What is TTFT?", sampling=GREEDY)).generated
        assert fresh.timings.draft_accepted > fresh.usage.completion_tokens / 2


def test_a_draft_model_of_another_vocabulary_is_refused_at_load(tmp_path: Path) -> None:
    other = tiny_llama(tmp_path / "other.gguf")
    with (
        pytest.raises(LoadFailed, match="vocabulary"),
        worker(GUIDE, LoadParams(draft_model=str(other), ctx=256)),
    ):
        pass


def test_the_fake_writes_the_same_with_guesses() -> None:
    texts = []
    for mode in ("always", "off"):
        params = LoadParams(parallel=2, ctx=1024, speculation=mode)
        with worker("", params, backend="fake") as fake:
            ops = [
                Generate(input=Prompt(text=f"{POEM}{i}"), sampling=GREEDY, max_tokens=150)
                for i in range(4)
            ]
            texts.append([a.text() for a in fake.wait(*(fake.submit(op) for op in ops))])
            assert (fake.stats().draft_accepted > 0) == (mode == "always")
    assert texts[0] == texts[1]
