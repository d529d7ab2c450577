"""When a step guesses, and what."""

from __future__ import annotations

from array import array

import pytest

from kolo.engine.layout import Costs
from kolo.engine.scheduler import Sequence
from kolo.engine.speculation import Speculation
from kolo.engine.speculation.lookup import continuation
from kolo.engine.speculation.odds import Odds

CHEAP_ROWS = Costs((10.0,) * 16, (2,) * 16)
"""A machine on which sixteen rows cost what one does."""
DEAR_ROWS = Costs(tuple(10.0 * width for width in range(1, 17)), (2,) * 16)
LOOP = list(range(10, 18))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1, 2, 3, 4, 5, 9, 1, 2, 3], [4, 5, 9, 1]),
        ([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], [8, 1, 2, 3]),
        ([5, 5, 5, 5], [5, 5, 5, 5]),
        ([1, 2, 3, 4], []),
        ([1, 2], []),
        ([], []),
        ([0x0100_0000, 0, 0, 1, 0, 0, 0], []),
    ],
)
def test_the_latest_occurrence_says_what_comes_next(tokens: list[int], expected: list[int]) -> None:
    assert list(continuation(array("i", tokens), 4)) == expected


def test_bytes_that_match_across_tokens_are_no_match() -> None:
    key = [0, 0, 256]
    shifted = [0x0001_0000 << 8, 0, 0, 1, 7]
    assert not continuation(array("i", [*shifted, *key]), 4)


def test_odds_tell_how_far_a_guess_will_hold() -> None:
    odds = Odds()
    for _ in range(60):
        odds.record(4, wrong=True)
    assert odds.expected(0, 8) == pytest.approx(4, abs=0.1)
    assert odds.expected(2, 8) == pytest.approx(2, abs=0.1)


def write(speculation: Speculation, sequence: Sequence, tokens: list[int]) -> int:
    """Write ``tokens`` one after the other as a loop would; the steps it took."""
    steps = 0
    at = 0
    while at < len(tokens):
        room = len(tokens) - at - 1
        guess = speculation.guesses([sequence], lambda _, room=room: room).get(sequence, array("i"))
        steps += 1
        n_right = 0
        while n_right < len(guess) and guess[n_right] == tokens[at + n_right]:
            n_right += 1
        gained = tokens[at : at + n_right + 1]
        sequence.tokens.extend(gained)
        at += len(gained)
    return steps


@pytest.mark.parametrize(("costs", "fewer"), [(CHEAP_ROWS, True), (DEAR_ROWS, False)])
def test_guesses_are_tried_only_where_rows_are_cheap(costs: Costs, fewer: bool) -> None:
    speculation = Speculation("auto", costs, 32, unified=False)
    steps = write(speculation, Sequence(array("i", LOOP)), LOOP * 30)
    assert (steps < 8 * 30 / 2) == fewer
    assert fewer or steps == 8 * 30


def test_on_auto_text_that_never_repeats_costs_not_one_row() -> None:
    speculation = Speculation("auto", CHEAP_ROWS, 32, unified=False)
    fresh = list(range(2000))
    assert write(speculation, Sequence(array("i", [5000])), fresh) == len(fresh)


def test_on_auto_guesses_that_are_always_wrong_are_not_tried() -> None:
    speculation = Speculation("auto", CHEAP_ROWS, 32, unified=False)
    misleading = [token for i in range(400) for token in (1, 2, 3, 1000 + i)]
    steps = write(speculation, Sequence(array("i", [1, 2, 3, 4])), misleading)
    assert steps > 0.9 * len(misleading)


def test_guesses_stop_when_they_turn_out_dearer_than_they_were_timed() -> None:
    speculation = Speculation("auto", CHEAP_ROWS, 32, unified=False)
    sequence = Sequence(array("i", LOOP))
    write(speculation, sequence, LOOP * 10)
    for _ in range(30):
        guesses = speculation.guesses([sequence], lambda _: 100)
        if not guesses:
            break
        speculation.timed_guesses(1, guesses, 10_000.0)
    assert not guesses


def test_no_guess_is_longer_than_what_may_still_be_written() -> None:
    speculation = Speculation("always", CHEAP_ROWS, 32, unified=False)
    sequence = Sequence(array("i", LOOP * 2))
    assert len(speculation.guesses([sequence], lambda _: 2)[sequence]) == 2
    assert not speculation.guesses([sequence], lambda _: 0)


def test_a_batch_is_never_wider_than_its_limit() -> None:
    speculation = Speculation("always", CHEAP_ROWS, 16, unified=False)
    sequences = [Sequence(array("i", LOOP * 2)) for _ in range(5)]
    guesses = speculation.guesses(sequences, lambda _: 100)
    assert sum(map(len, guesses.values())) + len(sequences) <= 16


def test_what_one_answer_taught_is_known_to_the_next() -> None:
    speculation = Speculation("auto", CHEAP_ROWS, 32, unified=False)
    first = Sequence(array("i", LOOP))
    slow = write(speculation, first, LOOP * 10)
    speculation.forget(first)
    assert write(speculation, Sequence(array("i", LOOP)), LOOP * 10) < slow
