"""Distributions: true to a percent, and the same whether counted together or merged."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.monitor.histogram import ACCURACY, SMALLEST, Histogram
from kolo.snapshot import Summary

SHARES = (0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0)
values = st.floats(min_value=SMALLEST * 2, max_value=1e9)


def drawn(kind: str, n: int = 20_000) -> list[float]:
    draw = random.Random(kind)
    by_kind = {
        "lognormal": lambda: draw.lognormvariate(2, 1),
        "uniform": lambda: draw.uniform(0.5, 900),
        "exponential": lambda: draw.expovariate(1 / 40) + 0.002,
        "two humps": lambda: draw.gauss(8, 0.5) if draw.random() < 0.9 else draw.gauss(4000, 90),
    }
    return [by_kind[kind]() for _ in range(n)]


@pytest.mark.parametrize("kind", ["lognormal", "uniform", "exponential", "two humps"])
def test_percentiles_are_numpys_within_the_accuracy(kind: str) -> None:
    given = drawn(kind)
    found = Histogram(given).quantiles(*SHARES)
    wanted = np.quantile(given, SHARES, method="inverted_cdf")
    assert found == pytest.approx(wanted.tolist(), rel=ACCURACY)


@given(st.lists(values, min_size=1, max_size=200), st.floats(min_value=0, max_value=1))
def test_any_percentile_of_anything_is_within_the_accuracy_of_a_value(
    given: list[float], share: float
) -> None:
    wanted = sorted(given)[max(math.ceil(share * len(given)), 1) - 1]
    assert Histogram(given).quantiles(share) == [pytest.approx(wanted, rel=ACCURACY * 1.0001)]


@given(st.lists(values), st.lists(values))
def test_a_merge_is_what_counting_together_gives_and_can_be_taken_apart(
    ours: list[float], theirs: list[float]
) -> None:
    merged, part = Histogram(ours), Histogram(theirs)
    merged.merge(part)
    together = Histogram(ours + theirs)
    assert merged.quantiles(*SHARES) == together.quantiles(*SHARES)
    assert (merged.n, merged.sum) == (together.n, pytest.approx(together.sum, rel=1e-9, abs=1e-5))
    merged.subtract(part)
    assert merged == Histogram(ours)


def test_percentiles_over_engines_are_not_means_of_percentiles() -> None:
    quick, slow = Histogram([10.0] * 990), Histogram([1000.0] * 10)
    quick.merge(slow)
    assert quick.quantiles(0.5, 0.95) == pytest.approx([10.0, 10.0], rel=ACCURACY)
    assert quick.quantiles(0.999) == pytest.approx([1000.0], rel=ACCURACY)


def test_counts_up_to_bounds_rise_and_end_with_all() -> None:
    given = drawn("lognormal")
    bounds = [0.5, 1.0, 7.5, 40.0, 1e6]
    found = Histogram(given).at_most(bounds)
    for bound, count in zip(bounds, found, strict=True):
        at_least = sum(value <= bound * (1 - 2 * ACCURACY) for value in given)
        at_most = sum(value <= bound * (1 + 2 * ACCURACY) for value in given)
        assert at_least <= count <= at_most
    assert found == sorted(found)
    assert found[-1] == len(given)


def test_what_is_too_small_or_negative_counts_and_pulls_no_sum_down() -> None:
    found = Histogram([0.0, -3.0, 1e-9])
    assert found.n == 3
    assert found.sum == pytest.approx(0.0, abs=1e-6)
    assert found.quantiles(0.5) == pytest.approx([SMALLEST], rel=2 * ACCURACY)


def test_the_mean_is_exact_and_nothing_is_left_of_what_was_taken_out() -> None:
    found = Histogram([0.1] * 3)
    found.add(0.2, count=7)
    assert found.mean == pytest.approx(0.17)
    found.subtract(Histogram([0.1] * 3 + [0.2] * 7))
    assert (found.n, found.sum, found.mean) == (0, 0.0, None)
    assert found.summary() == Summary()


def test_a_summary_says_how_many_values_there_are() -> None:
    summary = Histogram([1.0, 2.0, 3.0, 4.0]).summary()
    assert summary.n == 4
    assert summary.mean == pytest.approx(2.5)
    assert (summary.p50, summary.max) == (pytest.approx(2, rel=0.01), pytest.approx(4, rel=0.01))


def test_what_its_counts_say_makes_the_same_again() -> None:
    given = Histogram(drawn("two humps"))
    again = Histogram.of(given.counts, given.sum_millionths)
    assert again == given
    assert again.n == given.n


def test_its_size_does_not_grow_with_what_it_counts() -> None:
    found = Histogram(10**exponent for exponent in np.linspace(-3, 9, 50_000))
    assert found.n == 50_000
    assert len(found.counts) < 1500
