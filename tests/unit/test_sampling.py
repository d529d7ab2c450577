"""Sampling off the full vocabulary gives what sampling on it would."""

from __future__ import annotations

import math
import random
from array import array

import numpy as np
import pytest

from kolo.engine.candidates import Bound, bounded, draw, draw_nucleus, top_logprobs
from kolo.engine.fake import FakeChain
from kolo.engine.sampling import Penalties, Sampler, make_plan, needs_chain
from kolo.errors import BadParameter
from kolo.types import Sampling

NOTHING = Sampling()


def rows(count: int = 20, size: int = 5000) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    made = [rng.normal(0, rng.uniform(0.01, 6), size).astype(np.float32) for _ in range(count)]
    for row in made[::3]:
        row[rng.integers(0, size, size // 2)] = -np.inf
    return made


def softmax(row: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    weights = np.exp((row.astype(np.float64) - row.max()) / temperature)
    return weights / weights.sum()


@pytest.mark.parametrize("k", [1, 5, 40, 1000, 5000, 9999])
def test_the_bound_of_top_k_holds_the_k_most_likely(k: int) -> None:
    for row in rows():
        ids = bounded(row, Bound("top_k", k), 0)
        live = int((row > -np.inf).sum())
        best = np.argsort(-row, kind="stable")[: min(k, live)]
        assert row[ids].min() <= row[best].min() or len(ids) == live
        assert set(best[row[best] > row[best].min()]) <= set(ids.tolist())
        assert len(ids) >= min(k, live)


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_bound_of_top_p_is_the_nucleus(p: float, temperature: float) -> None:
    for row in rows():
        ids = bounded(row, Bound("top_p", p, temperature), 0)
        probabilities = softmax(row, temperature)
        order = np.sort(probabilities)[::-1].cumsum()
        needed = int(np.searchsorted(order, p)) + 1
        assert abs(len(ids) - needed) <= max(1, needed // 500)
        inside = probabilities[ids]
        assert inside.sum() >= p - 1e-4
        outside = np.delete(probabilities, ids)
        assert outside.max(initial=0) <= inside.min() + 1e-9


@pytest.mark.parametrize("p", [0.01, 0.1, 0.9])
def test_the_bound_of_min_p_is_relative_to_the_best(p: float) -> None:
    for row in rows():
        ids = bounded(row, Bound("min_p", p), 0)
        probabilities = softmax(row)
        expected = np.flatnonzero(probabilities >= p * probabilities.max() * (1 + 1e-6))
        assert set(expected.tolist()) <= set(ids.tolist())
        assert probabilities[ids].min() >= p * probabilities.max() * (1 - 1e-4)


def test_the_bound_of_top_n_sigma_counts_only_live_tokens() -> None:
    for row in rows():
        ids = bounded(row, Bound("top_n_sigma", 1.0), 0)
        live = row[row > -np.inf]
        expected = np.flatnonzero(row >= live.max() - live.std())
        assert ids.tolist() == expected.tolist()


def test_min_keep_is_kept() -> None:
    for row in rows():
        assert len(bounded(row, Bound("min_p", 0.999, min_keep=7), 0)) >= 7


@pytest.mark.parametrize("size", [10, 1024, 5000])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
def test_a_draw_has_the_softmax_distribution(size: int, temperature: float) -> None:
    rng = np.random.default_rng(5)
    row = rng.normal(0, 2, size).astype(np.float32)
    expected = softmax(row, temperature)
    uniform = (np.arange(2_000) + 0.5) / 2_000
    counts = np.bincount([draw(row, temperature, u) for u in uniform], minlength=size)
    # Stratified draws: each token's count is within one of its expectation.
    assert np.abs(counts - expected * 2_000).max() <= 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_p", [0.3, 0.9])
def test_a_draw_from_the_nucleus_has_its_renormalised_distribution(
    temperature: float, top_p: float
) -> None:
    row = np.random.default_rng(4).standard_normal(50).astype(np.float32) * 2
    kept = bounded(row, Bound("top_p", top_p, 1.0), 0)
    expected = np.zeros(50)
    expected[kept] = np.exp(row[kept] / temperature)
    expected /= expected.sum()
    rng = random.Random(1)
    found = np.zeros(50)
    for _ in range(20_000):
        drawn = draw_nucleus(row, Bound("top_p", top_p, 1.0), temperature, rng.random)
        if drawn is not None:
            found[drawn] += 1
    assert not found[expected == 0].any()
    assert np.abs(found / found.sum() - expected).max() < 0.02


def test_of_equally_likely_tokens_the_nucleus_has_only_as_many_as_it_needs() -> None:
    row = np.zeros(1000, dtype=np.float32)
    rng = random.Random(2)
    bound = Bound("top_p", 0.25, 1.0)
    drawn = {draw_nucleus(row, bound, 1.0, rng.random) for _ in range(2000)} - {None}
    assert max(drawn) < 250


def test_a_nucleus_that_is_hardly_ever_hit_is_left_to_be_formed() -> None:
    row = np.zeros(100_000, dtype=np.float32)
    row[7] = 20.0
    assert draw_nucleus(row, Bound("top_p", 0.5, 1.0), 50.0, random.Random(3).random) is None


def test_a_masked_token_is_never_drawn() -> None:
    row = np.full(3000, -np.inf, dtype=np.float32)
    row[[7, 2999]] = 1.0
    assert {draw(row, 1.0, u) for u in np.linspace(0, 0.999999, 500)} == {7, 2999}


def test_penalties_push_what_was_seen_by_how_often() -> None:
    penalties = Penalties(last_n=3, repeat=2.0, frequency=0.5, presence=0.25)
    for token in (1, 2, 2, 3):
        penalties.accept(token)
    row = np.array([1, 1, 1, -1], dtype=np.float32)
    penalties.apply(row)
    assert row.tolist() == [1.0, 1.0, 0.5 - 1.0 - 0.25, -2.0 - 0.5 - 0.25]


def test_penalties_over_everything() -> None:
    penalties = Penalties(last_n=-1, repeat=1.0, frequency=1.0, presence=0.0)
    for token in [0] * 1000:
        penalties.accept(token)
    row = np.zeros(2, dtype=np.float32)
    penalties.apply(row)
    assert row.tolist() == [-1000.0, 0.0]


def test_temperature_zero_is_the_arg_max_and_needs_no_chain() -> None:
    plan = make_plan(Sampling(temperature=0), NOTHING, 1)
    assert plan.plain
    assert not needs_chain(plan)
    sampler = Sampler(plan, None, None, 1)
    for row in rows():
        assert sampler.pick(row) == int(row.argmax())


def test_openai_defaults_need_no_chain_and_no_truncation() -> None:
    plan = make_plan(Sampling(temperature=1, top_p=1, top_k=0, min_p=0), NOTHING, 1)
    assert plan.bound is None
    assert plan.draw_temperature == 1.0
    assert not needs_chain(plan)


def test_top_p_alone_is_a_draw_from_the_nucleus() -> None:
    plan = make_plan(Sampling(temperature=0.7, top_p=0.9, top_k=0, min_p=0), NOTHING, 1)
    assert plan.bound == Bound("top_p", 0.9, 1.0, 0)
    assert plan.draw_temperature == pytest.approx(0.7)


def test_defaults_bound_by_top_k_and_leave_the_rest_to_the_chain() -> None:
    plan = make_plan(NOTHING, NOTHING, 1)
    assert plan.bound == Bound("top_k", 40)
    assert [name for name, _ in plan.steps] == ["top_k", "top_p", "min_p", "temperature", "dist"]


def test_what_the_request_leaves_open_the_model_decides() -> None:
    plan = make_plan(Sampling(top_k=5), Sampling(top_k=7, temperature=0.25), 1)
    assert plan.steps[0] == ("top_k", (5,))
    assert dict(plan.steps)["temperature"][0] == 0.25


def test_the_order_of_samplers_is_kept() -> None:
    plan = make_plan(Sampling(samplers=["temperature", "top_k"]), NOTHING, 1)
    assert [name for name, _ in plan.steps] == ["temperature", "top_k", "dist"]


@pytest.mark.parametrize("order", [["nonsense"], ["top_k", "top_k"]])
def test_a_bad_order_is_refused_by_name(order: list[str]) -> None:
    with pytest.raises(BadParameter) as caught:
        make_plan(Sampling(samplers=order), NOTHING, 1)
    assert caught.value.param == "samplers"


def test_mirostat_keeps_temperature_and_replaces_the_rest() -> None:
    plan = make_plan(Sampling(mirostat=2), NOTHING, 1)
    assert [name for name, _ in plan.steps] == ["temperature", "mirostat_v2"]
    assert plan.bound is None


def test_penalties_come_first_only_where_the_order_says_so() -> None:
    first = make_plan(Sampling(repeat_penalty=1.1), NOTHING, 1)
    assert first.penalties == (64, 1.1, 0.0, 0.0)
    later = make_plan(Sampling(repeat_penalty=1.1, samplers=["top_k", "penalties"]), NOTHING, 1)
    assert later.penalties is None
    assert [name for name, _ in later.steps] == ["top_k", "penalties", "dist"]


def test_the_same_seed_draws_the_same() -> None:
    def run(seed: int) -> list[int]:
        plan = make_plan(NOTHING, NOTHING, seed)
        sampler = Sampler(plan, FakeChain(seed), None, seed)
        return [sampler.pick(row.copy()) for row in rows()]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_a_bias_forbids_and_favours() -> None:
    plan = make_plan(Sampling(temperature=0), NOTHING, 1)
    bias = (np.array([1, 2], np.int32), np.array([-np.inf, 9], np.float32))
    sampler = Sampler(plan, None, bias, 1)
    row = np.array([0, 5, 1], dtype=np.float32)
    sampler.prepare(row)
    assert sampler.pick(row) == 2
    assert row[1] == -np.inf


def test_bans_alone_leave_the_row_untouched_until_a_banned_token_wins() -> None:
    plan = make_plan(Sampling(temperature=0), NOTHING, 1)
    sampler = Sampler(plan, None, (np.array([2], np.int32), np.array([-np.inf], np.float32)), 1)
    row = np.array([0, 5, 1], dtype=np.float32)
    sampler.prepare(row)
    assert sampler.pick(row) == 1
    assert row[2] == 1
    row[2] = 9
    assert sampler.pick(row) == 1


def test_the_prompt_counts_for_penalties() -> None:
    plan = make_plan(Sampling(temperature=0, presence_penalty=3), NOTHING, 1)
    sampler = Sampler(plan, None, None, 1)
    sampler.prime(array("i", [1]))
    row = np.array([0, 2], dtype=np.float32)
    sampler.prepare(row)
    assert sampler.pick(row) == 0


def test_logprobs_are_of_the_raw_distribution() -> None:
    row = np.random.default_rng(3).normal(0, 2, 500).astype(np.float32)
    expected = np.log(softmax(row))
    logprob, best = top_logprobs(row, 17, 5)
    assert math.isclose(logprob, expected[17], rel_tol=1e-4)
    assert [token for token, _ in best] == np.argsort(-row)[:5].tolist()
    assert all(math.isclose(value, expected[token], rel_tol=1e-4) for token, value in best)
