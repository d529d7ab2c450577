"""Percentiles, intervals, and the framing of replies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.bench.framing import BadReply, read_head
from kolo.bench.stats import figure, least, percentile, ratio

floats = st.floats(-1e9, 1e9)


@given(st.lists(floats, min_size=100, max_size=300), st.sampled_from([0, 25, 50, 90, 95, 99, 100]))
def test_percentiles_are_numpys(values: list[float], rank: float) -> None:
    if rank == 100:
        return
    found = percentile(sorted(values), rank)
    assert found == pytest.approx(np.percentile(values, rank), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("rank", "needed"), [(50, 1), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_that_so_few_samples_cannot_carry_is_refused(rank: float, needed: int) -> None:
    values = [float(n) for n in range(needed)]
    assert least(rank) == needed
    assert percentile(values, rank) is not None
    assert percentile(values[1:], rank) is None


@given(st.lists(floats, min_size=2, max_size=50))
def test_a_figure_has_the_moments_of_its_values(values: list[float]) -> None:
    found = figure(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert found.std == pytest.approx(np.std(values, ddof=1), rel=1e-6, abs=1e-4)
    assert (found.min, found.max) == (min(values), max(values))


def test_nothing_has_no_figure() -> None:
    assert figure([]).n == 0
    assert figure([]).p50 is None
    assert figure([3.0]).std is None


def rounds(level: float, n: int = 5) -> list[list[float]]:
    rng = np.random.default_rng(1)
    return [list(level * rng.lognormal(0, 0.05, 40)) for _ in range(n)]


def test_an_interval_holds_the_ratio_and_repeats_with_its_seed() -> None:
    one = ratio(rounds(30.0), rounds(20.0), paired=True, seed=7)
    again = ratio(rounds(30.0), rounds(20.0), paired=True, seed=7)
    other = ratio(rounds(30.0), rounds(20.0), paired=True, seed=8)
    assert one == again != other
    assert one is not None
    assert one.low is not None
    assert one.high is not None
    assert one.value == pytest.approx(1.5)
    assert 1.4 < one.low < 1.5 < one.high < 1.6


def test_of_the_same_thing_the_interval_holds_one() -> None:
    rng = np.random.default_rng(3)
    a, b = ([list(rng.normal(100, 10, 30)) for _ in range(6)] for _ in range(2))
    found = ratio(a, b, paired=False)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 1 < found.high


@pytest.mark.parametrize("n_rounds", [5, 10])
def test_an_interval_of_few_rounds_holds_the_truth_nearly_always(n_rounds: int) -> None:
    rng = np.random.default_rng(5)

    def drawn() -> list[list[float]]:
        levels = rng.lognormal(0, 0.2, n_rounds)  # rounds differ more than requests do
        return [list(level * rng.lognormal(0, 0.05, 8)) for level in levels]

    held = 0
    for seed in range(150):
        found = ratio(drawn(), drawn(), paired=False, seed=seed)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1 <= found.high
    assert held / 150 > 0.92


def test_what_slows_a_round_of_both_does_not_widen_a_paired_interval() -> None:
    slow = [1.0, 3.0, 1.5, 5.0, 2.0, 4.0]
    a = [[10.0 * factor] for factor in slow]
    b = [[20.0 * factor] for factor in slow]
    paired, free = ratio(b, a, paired=True), ratio(b, a, paired=False)
    assert paired is not None
    assert free is not None
    assert (paired.low, paired.high) == pytest.approx((2.0, 2.0))
    assert free.high is not None
    assert free.high > 3


def test_few_rounds_give_a_ratio_without_an_interval() -> None:
    found = ratio(rounds(2.0, 4), rounds(1.0, 4), paired=True)
    assert found is not None
    assert found.value == pytest.approx(2.0)
    assert found.low is None


def test_nothing_to_divide_by_gives_no_ratio() -> None:
    assert ratio(rounds(1.0), [[0.0]] * 5, paired=True) is None
    assert ratio([[], []], rounds(1.0), paired=True) is None


BODY = b"data: one\n\ndata: two\n\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\ndata:\r\n6;x=y\r\n one\n\n\r\nb\r\ndata: two\n\n\r\n0\r\n\r\n"
)
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.parametrize("reply", [CHUNKED, COUNTED])
def test_a_reply_is_read_however_it_is_cut(reply: bytes) -> None:
    for first in range(1, len(reply)):
        for second in range(first + 1, len(reply) + 1):
            pieces = [reply[:first], reply[first:second], reply[second:]]
            head_bytes, body, found = b"", None, b""
            for piece in pieces:
                if body is None:
                    head_bytes += piece
                    head = read_head(head_bytes)
                    if head is None:
                        continue
                    body, piece = head.body, head.rest
                found += body.feed(piece)
            assert body is not None
            assert body.ended
            assert found == BODY


def test_an_interim_reply_is_passed_over() -> None:
    head = read_head(b"HTTP/1.1 100 Continue\r\n\r\n" + COUNTED)
    assert head is not None
    assert (head.status, head.keep) == (200, True)


@pytest.mark.parametrize(
    ("reply", "keep", "ended"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False, False),
    ],
)
def test_whether_a_connection_can_be_used_again(reply: bytes, keep: bool, ended: bool) -> None:
    head = read_head(reply)
    assert head is not None
    assert (head.keep, head.body.ended) == (keep, ended)


@pytest.mark.parametrize(
    "reply",
    [b"SSH-2.0", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_no_reply_is_refused(reply: bytes) -> None:
    with pytest.raises(BadReply):
        read_head(reply)


def test_a_broken_chunk_is_refused() -> None:
    head = read_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert head is not None
    with pytest.raises(BadReply, match="a chunk begins with"):
        head.body.feed(b"zz\r\n")
