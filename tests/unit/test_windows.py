"""Windows that slide: what is in them, what has left, and clocks that misbehave."""

from __future__ import annotations

import random

import pytest

from kolo.monitor.windows import SPANS_S, Slice, Sliding
from kolo.snapshot import Summary, Window, Windows


def part(tokens: int = 0, *itl_ms: float, **counts: int) -> Slice:
    made = Slice()
    made.count("output_tokens", tokens)
    for name, by in counts.items():
        made.count(name, by)  # type: ignore[arg-type]
    if itl_ms:
        made.measure("itl_ms").extend(itl_ms)
    return made


def all_of(windows: Windows) -> list[Window]:
    return [windows.last_5s, windows.last_1m, windows.last_15m]


def test_each_window_says_its_span_and_what_it_covers() -> None:
    sliding = Sliding(100.0)
    assert [w.span_s for w in all_of(sliding.windows(103.5, busy=False))] == [5, 60, 900]
    assert [w.covered_s for w in all_of(sliding.windows(103.5, busy=False))] == [3.5, 3.5, 3.5]
    assert [w.covered_s for w in all_of(sliding.windows(1500.25, busy=False))] == [
        5.25,
        60.25,
        900.25,
    ]


def test_a_rate_is_over_the_time_that_is_covered() -> None:
    sliding = Sliding(0.0)
    for second in range(10):
        sliding.add(part(50), second + 0.5)
    windows = sliding.windows(10.0, busy=True)
    assert windows.last_5s.output_tokens_per_s == pytest.approx(50.0)
    assert windows.last_1m.output_tokens_per_s == pytest.approx(50.0)
    assert windows.last_1m.covered_s == 10.0


def test_what_is_older_than_the_window_is_in_it_no_more() -> None:
    sliding = Sliding(0.0)
    sliding.add(part(7, 3.0), 10.0)
    seen = {at: all_of(sliding.windows(at, busy=False)) for at in (10, 15, 16, 70, 71, 910, 911)}
    counts = {at: [window.output_tokens for window in seen[at]] for at in seen}
    assert counts[10] == counts[15] == [7, 7, 7]
    assert counts[16] == counts[70] == [0, 7, 7]
    assert counts[71] == counts[910] == [0, 0, 7]
    assert counts[911] == [0, 0, 0]
    assert seen[911] == [Window(span_s=span, covered_s=span) for span in SPANS_S]


def test_windows_equal_a_recount_of_everything_at_any_moment() -> None:
    draw = random.Random(7)
    sliding, happened, now = Sliding(0.0), [], 0.0
    for _ in range(3000):
        now += draw.expovariate(2.0)
        itl_ms = draw.lognormvariate(2, 1)
        happened.append((now, itl_ms))
        sliding.add(part(1, itl_ms), now)
        if draw.random() < 0.02:
            for window in all_of(sliding.windows(now, busy=True)):
                inside = [v for at, v in happened if int(at) >= int(now) - window.span_s]
                assert window.output_tokens == window.itl_ms.n == len(inside)
                assert window.itl_ms.mean == pytest.approx(sum(inside) / len(inside), abs=2e-3)
                assert window.itl_ms.max == pytest.approx(max(inside), rel=0.011)


def test_nothing_is_unknown_while_something_runs_and_never_zero_otherwise() -> None:
    sliding = Sliding(0.0)
    idle = sliding.windows(30.0, busy=False).last_5s
    assert idle.output_tokens_per_s is idle.requests_per_s is idle.cached_share is None
    assert idle.itl_ms == Summary()
    reading = sliding.windows(30.0, busy=True).last_5s
    assert reading.output_tokens_per_s == reading.requests_per_s == 0.0
    assert reading.decode_tokens_per_s is reading.prefill_tokens_per_s is None


def test_speeds_and_shares_are_sums_over_sums() -> None:
    sliding = Sliding(0.0)
    made = part(
        0, 10.0, 30.0, done=2, prompt_tokens=400, cached_tokens=100, prefilled_tokens=300,
        computed_tokens=300, draft_tokens=10, draft_accepted=7, cancelled=1,
    )  # fmt: skip
    made.measure("prefill_ms").extend([100.0, 500.0])
    sliding.add(made, 4.0)
    window = sliding.windows(4.0, busy=False).last_5s
    assert window.decode_tokens_per_s == pytest.approx(50.0)
    assert window.prefill_tokens_per_s == pytest.approx(500.0)
    assert window.prompt_tokens_per_s == pytest.approx(75.0)
    assert (window.cached_share, window.draft_accepted_share) == (0.25, 0.7)
    assert window.requests_per_s == pytest.approx(0.75)


def test_what_is_told_late_counts_in_the_second_it_happened_in() -> None:
    sliding = Sliding(0.0)
    sliding.add(part(1), 20.5)
    sliding.windows(21.1, busy=True)
    sliding.add(part(10, 4.0), 20.9)
    sliding.add(part(100), 19.8)  # where nothing was counted before
    assert [w.output_tokens for w in all_of(sliding.windows(24.9, busy=True))] == [111] * 3
    assert sliding.windows(25.0, busy=True).last_5s.output_tokens == 11
    assert sliding.windows(26.0, busy=True).last_5s.output_tokens == 0
    assert sliding.windows(80.0, busy=True).last_1m.output_tokens == 11
    sliding.add(part(7), 79.5)
    assert [w.output_tokens for w in all_of(sliding.windows(80.0, busy=True))] == [7, 18, 118]
    assert sliding.windows(921.0, busy=True).last_15m.output_tokens == 7


def test_a_clock_that_goes_back_stands_still() -> None:
    sliding = Sliding(1000.0)
    sliding.add(part(5), 1010.0)
    sliding.add(part(5), 300.0)
    windows = sliding.windows(-4.0, busy=True)
    assert [window.output_tokens for window in all_of(windows)] == [10, 10, 10]
    assert all(window.covered_s > 0 for window in all_of(windows))
    assert sliding.windows(1011.0, busy=True).last_5s.output_tokens == 10


def test_a_clock_that_leaps_ahead_empties_the_windows_and_they_fill_again() -> None:
    sliding = Sliding(0.0)
    sliding.add(part(5, 1.0), 1.0)
    leapt = sliding.windows(1e9, busy=False)
    assert [window.output_tokens for window in all_of(leapt)] == [0, 0, 0]
    sliding.add(part(4, 2.0), 1e9 + 1)
    after = sliding.windows(1e9 + 1.5, busy=True)
    assert [window.output_tokens for window in all_of(after)] == [4, 4, 4]
    assert after.last_5s.itl_ms.n == 1


def test_a_rate_is_never_negative_nor_endless_at_the_very_start() -> None:
    sliding = Sliding(5.0)
    sliding.add(part(3), 5.0)
    assert sliding.windows(5.0, busy=True).last_5s.output_tokens_per_s is None
    assert sliding.windows(5.001, busy=True).last_5s.output_tokens_per_s == pytest.approx(3000)
