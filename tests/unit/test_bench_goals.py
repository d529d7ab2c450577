"""Conditions as people write them, and what they decide."""

from __future__ import annotations

import pytest

from kolo.bench.goals import kept, parse_fail_if, parse_goal
from kolo.bench.metrics import METRICS, formulas
from kolo.bench.result import Figure, Sample
from kolo.errors import UsageError


@pytest.mark.parametrize(
    ("text", "metric", "stat", "op", "value"),
    [
        ("ttft.p95<500ms", "ttft", "p95", "<", 500),
        ("ttft.p95 <= 0.5 s", "ttft", "p95", "<=", 500),
        ("itl<20", "itl", "p50", "<", 20),
        ("tok_s>=100tok/s", "tok_s", "p50", ">=", 100),
        ("memory_bytes.max<4GiB", "memory_bytes", "max", "<", 2**32),
        ("j_per_token<0.5J", "j_per_token", "p50", "<", 0.5),
    ],
)
def test_a_goal_is_read(text: str, metric: str, stat: str, op: str, value: float) -> None:
    goal = parse_goal(text)
    assert (goal.metric, goal.stat, goal.op, goal.value) == (metric, stat, op, value)
    assert not goal.change


@pytest.mark.parametrize(
    ("text", "op", "value", "change"),
    [
        ("ttft.p95>+10%", ">", 10, True),
        ("tok_s<-5%", "<", -5, True),
        ("tok_s < 0 %", "<", 0, True),
        ("ttft.p99>2s", ">", 2000, False),
    ],
)
def test_a_fail_if_is_a_change_or_a_value(text: str, op: str, value: float, change: bool) -> None:
    found = parse_fail_if(text)
    assert (found.op, found.value, found.change) == (op, value, change)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no condition"),
        ("ttft.p95", "no condition"),
        ("ttft.p95=3", "no condition"),
        ("ttft.p95<x", "no condition"),
        ("ttf<3", "no metric 'ttf'"),
        ("ttft.p96<3", "no statistic 'p96'"),
        ("ttft<3GB", "ttft is not in GB"),
        ("tok_s>3ms", "tok_s is not in ms"),
    ],
)
def test_what_is_no_condition_says_what_would_be(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_fail_if(text)
    assert caught.value.hint


def test_a_goal_is_no_change() -> None:
    with pytest.raises(UsageError, match="not a change"):
        parse_goal("ttft<+10%")


@pytest.mark.parametrize(
    ("op", "at", "above", "below"),
    [("<", 0, 0, 1), ("<=", 1, 0, 1), (">", 0, 1, 0), (">=", 1, 1, 0)],
)
def test_a_condition_holds_on_its_side(op: str, at: bool, above: bool, below: bool) -> None:
    condition = parse_goal(f"ttft{op}10ms")
    assert [condition.holds(value) for value in (10, 11, 9)] == [at, above, below]


def test_a_condition_reads_its_statistic() -> None:
    assert parse_goal("ttft.p95<1").of(Figure(n=30, p50=1.0, p95=2.0)) == 2.0
    assert parse_goal("ttft.p99<1").of(Figure(n=30, p50=1.0, p95=2.0)) is None


def test_a_request_keeps_the_goals_that_a_request_can_keep() -> None:
    sample = Sample(sent_s=0, ttft_ms=100, e2e_ms=300, output_tokens=11, gaps_ms=[20] * 10)
    assert kept([parse_goal("ttft.p95<101ms"), parse_goal("itl<21ms")], sample)
    assert not kept([parse_goal("ttft.p95<100ms")], sample)
    assert not kept([parse_goal("itl<20ms")], sample)
    assert kept([parse_goal("tok_s>1000000")], sample)  # of all requests together, not of one


def test_every_metric_has_its_formula_printed() -> None:
    text = " ".join(formulas().split())
    for metric in METRICS.values():
        assert f"{metric.key}: " in text
        assert metric.formula in text
