"""The length of a prefill chunk follows what chunks really cost."""

from __future__ import annotations

import pytest

from kolo.engine.pace import ChunkCost, PrefillPace

BUDGET_MS = 200.0


def run(pace: PrefillPace, truth: ChunkCost, chunks: int) -> list[tuple[int, float]]:
    """Chunks planned and what each then took, on a machine that costs ``truth``."""
    done = []
    for _ in range(chunks):
        n_tokens = pace.chunk(alone=False)
        elapsed_ms = truth.of(n_tokens)
        pace.observe(n_tokens, elapsed_ms)
        done.append((n_tokens, elapsed_ms))
    return done


def test_on_a_steady_machine_the_chunk_comes_near_the_budget_and_never_over() -> None:
    truth = ChunkCost(fixed_ms=20.0, ms_per_token=1.5)
    done = run(PrefillPace(BUDGET_MS, truth, 2048), truth, 30)
    assert all(elapsed_ms <= BUDGET_MS + truth.fixed_ms for _, elapsed_ms in done)
    assert done[-1][1] > 0.7 * BUDGET_MS


def test_one_slow_chunk_shortens_those_to_come_only_for_a_while() -> None:
    truth = ChunkCost(fixed_ms=20.0, ms_per_token=1.5)
    pace = PrefillPace(BUDGET_MS, truth, 2048)
    usual = run(pace, truth, 20)[-1][0]
    pace.observe(usual, 10 * truth.of(usual))
    assert pace.chunk(alone=False) < usual / 4
    assert run(pace, truth, 20)[-1][0] == usual


def test_a_large_fixed_part_does_not_make_chunks_ever_shorter() -> None:
    truth = ChunkCost(fixed_ms=60.0, ms_per_token=1.0)
    pace = PrefillPace(BUDGET_MS, truth, 2048)
    pace.observe(16, 5 * truth.of(16))
    assert run(pace, truth, 20)[-1][0] >= 96


def test_a_machine_that_has_become_slow_is_believed_at_once() -> None:
    guess = ChunkCost(fixed_ms=0.0, ms_per_token=1.0)
    truth = ChunkCost(fixed_ms=0.0, ms_per_token=4.0)
    done = run(PrefillPace(BUDGET_MS, guess, 2048), truth, 3)
    assert done[1][1] <= BUDGET_MS


@pytest.mark.parametrize("ms_per_token", [0.001, 0.1, 500.0])
def test_a_chunk_has_what_a_kernel_takes_at_once_and_at_most_a_batch(ms_per_token: float) -> None:
    pace = PrefillPace(BUDGET_MS, ChunkCost(fixed_ms=0.0, ms_per_token=ms_per_token), 512)
    for alone in (False, True):
        assert 8 <= pace.chunk(alone=alone) <= 512


def test_with_nobody_waiting_chunks_are_longer() -> None:
    pace = PrefillPace(BUDGET_MS, ChunkCost(fixed_ms=0.0, ms_per_token=4.0), 2048)
    assert pace.chunk(alone=True) > 3 * pace.chunk(alone=False)
