"""Which rows a decode batch has."""

from __future__ import annotations

from kolo.engine.layout import Costs, Layout, flat

MEASURED = Costs(
    (
        11,
        26,
        31,
        29,
        42,
        49,
        66,
        37,
        50,
        54,
        56,
        58,
        62,
        68,
        74,
        45,
        *[75.0] * 7,
        70,
        *[100.0] * 7,
        89,
    ),
    (1, *[2] * 31),
)


def anything(_slot: int) -> bool:
    return True


def test_widths_that_kernels_dislike_are_padded_to_the_next_good_one() -> None:
    layout = Layout(32, MEASURED, unified=False)
    for n, wide in {3: 4, 5: 8, 6: 8, 7: 8, 12: 16, 20: 24}.items():
        rows = layout.rows(tuple(range(n)), anything)
        if MEASURED.of(wide) < 0.95 * MEASURED.of(n):
            assert rows == tuple(range(wide))


def test_gaps_between_active_slots_are_filled_when_runs_cost_more() -> None:
    layout = Layout(32, MEASURED, unified=False)
    assert layout.rows((0, 2, 4, 6), anything) == tuple(range(8))


def test_far_apart_runs_stay_apart() -> None:
    layout = Layout(32, MEASURED, unified=False)
    assert layout.rows((0, 31), anything) == (0, 31)


def test_a_slot_that_cannot_take_a_dummy_row_means_no_padding() -> None:
    layout = Layout(32, MEASURED, unified=False)
    active = tuple(range(7))
    assert layout.rows(active, lambda slot: slot != 7) == active


def test_every_active_slot_is_in_the_batch_once_and_rows_ascend() -> None:
    layout = Layout(32, MEASURED, unified=False)
    for active in [(1, 5, 6, 20, 21), (3,), (0, 1, 30, 31), tuple(range(1, 32, 3))]:
        rows = layout.rows(active, anything)
        assert set(active) <= set(rows)
        assert list(rows) == sorted(set(rows))


def test_flat_costs_never_pad() -> None:
    layout = Layout(8, flat(2), unified=False)
    for n in range(1, 9):
        assert layout.rows(tuple(range(n)), anything) == tuple(range(n))


def test_a_unified_cache_pads_with_any_idle_slot() -> None:
    layout = Layout(8, MEASURED, unified=True)
    rows = layout.rows((1, 3, 5, 6, 7), anything)
    assert rows == tuple(range(8))


def test_threads_are_those_that_were_fastest_at_the_width() -> None:
    layout = Layout(32, MEASURED, unified=False)
    assert layout.threads(1) == 1
    assert layout.threads(8) == 2
