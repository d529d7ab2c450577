"""Who is evicted for whom, and how a worker that keeps failing is paused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kolo.errors import Busy, OutOfMemory
from kolo.manager.backoff import STEADY_S, WINDOW_S, Backoff
from kolo.manager.budget import (
    ENGINES,
    HOST,
    Decision,
    Holder,
    Use,
    decide,
    ran_out,
    refusal,
)

GIB = 1 << 30


def holder(id: str, gib: int, use: Use = "idle", last_used: float = 0.0) -> Holder:
    return Holder(id, {HOST: gib * GIB, ENGINES: 1}, use, last_used)


def need(gib: int) -> dict[str, int]:
    return {HOST: gib * GIB, ENGINES: 1}


def budget(gib: int, engines: int = 100) -> dict[str, int]:
    return {HOST: gib * GIB, ENGINES: engines}


def test_what_fits_evicts_nobody() -> None:
    assert decide(need(4), budget(10), [holder("a", 6)]) == Decision("go")


def test_the_least_recently_used_goes_first() -> None:
    holders = [
        holder("new", 4, last_used=3),
        holder("old", 4, last_used=1),
        holder("mid", 4, "idle", 2),
    ]
    assert decide(need(4), budget(12), holders) == Decision("go", ("old",))
    assert decide(need(8), budget(12), holders) == Decision("go", ("old", "mid"))


def test_one_whose_going_does_not_matter_is_spared() -> None:
    holders = [holder("small and old", 1, last_used=1), holder("large", 9, last_used=2)]
    assert decide(need(9), budget(10), holders) == Decision("go", ("large",))


def test_busy_ones_are_waited_for_and_nobody_is_evicted_meanwhile() -> None:
    holders = [holder("idle", 2), holder("busy", 6, "busy")]
    assert decide(need(9), budget(10), holders) == Decision("wait")


def test_pinned_ones_are_not_waited_for() -> None:
    holders = [holder("pinned", 2, "pinned"), holder("idle", 8)]
    assert decide(need(9), budget(10), holders) == Decision("never")


def test_the_number_of_engines_is_limited_like_memory() -> None:
    holders = [holder("old", 1, last_used=1), holder("new", 1, last_used=2)]
    assert decide(need(1), budget(100, engines=2), holders) == Decision("go", ("old",))
    busy = [holder("a", 1, "busy"), holder("b", 1, "busy")]
    assert decide(need(1), budget(100, engines=2), busy) == Decision("wait")


def test_a_pool_without_a_budget_has_no_limit() -> None:
    assert decide({"device": 99 * GIB}, budget(1), []) == Decision("go")


def test_engines_that_outgrew_the_budget_do_not_block_one_that_needs_nothing() -> None:
    assert decide({HOST: 0}, budget(1), [holder("grown", 2, "busy")]) == Decision("go")


def test_a_refusal_names_the_numbers_and_the_holders() -> None:
    error = refusal("x", need(8), budget(10), [holder("a", 6, "busy"), holder("b", 1)])
    assert isinstance(error, OutOfMemory)
    assert error.message == (
        "cannot load 'x': it needs 8.6 GB of host memory, the budget is 10.7 GB, "
        "of which 6.4 GB are held by 'a' (busy): 4.3 GB too few"
    )
    assert "kolo unload a" in error.hint
    assert error.retry_after_s is not None


def test_a_refusal_that_waiting_does_not_help_has_no_time_to_retry() -> None:
    error = refusal("x", need(8), budget(10), [holder("a", 6, "pinned")])
    assert error.retry_after_s is None


def test_too_many_engines_is_busy_not_out_of_memory() -> None:
    error = refusal("x", need(1), budget(10, engines=1), [holder("a", 1, "busy")])
    assert isinstance(error, Busy)
    assert "max_engines" in error.hint


def test_a_load_that_ran_out_tells_what_was_thought_what_is_free_and_who_has_the_rest() -> None:
    error = ran_out("x", "cannot allocate", need(3), budget(10), [holder("a", 6, "idle")])
    assert error.message == (
        "cannot load 'x', there is not enough memory: cannot allocate; it was thought to need "
        "3.2 GB of host memory (4.3 GB free, 6.4 GB are held by 'a' (idle))"
    )
    assert "kolo unload a" in error.hint
    assert "ctx" in error.hint


def test_each_gpu_is_a_pool_of_its_own() -> None:
    gpus = {"nvidia:0": 8 * GIB, "nvidia:1": 8 * GIB}
    small = Holder("a", {"nvidia:0": 6 * GIB}, "idle", 1)
    assert decide({"nvidia:1": 6 * GIB}, gpus, [small]) == Decision("go")
    assert decide({"nvidia:0": 6 * GIB}, gpus, [small]) == Decision("go", ("a",))
    error = refusal("x", {"nvidia:0": 9 * GIB}, gpus, [small])
    assert "needs 9.7 GB of nvidia:0 memory" in error.message
    assert "1.1 GB too few" in error.message


USES = st.sampled_from(["idle", "busy", "pinned"])


@given(
    st.lists(st.tuples(st.integers(0, 8), USES, st.integers(0, 5)), max_size=8),
    st.integers(0, 12),
    st.integers(0, 20),
)
def test_a_decision_is_sound_and_minimal(
    held: list[tuple[int, Use, int]], wanted: int, room: int
) -> None:
    holders = [holder(str(at), gib, use, used) for at, (gib, use, used) in enumerate(held)]
    decision = decide({HOST: wanted * GIB}, {HOST: room * GIB}, holders)

    def fits(*gone: str) -> bool:
        left = sum(h.held[HOST] for h in holders if h.id not in gone)
        return wanted == 0 or wanted * GIB + left <= room * GIB

    idle = [h.id for h in holders if h.use == "idle"]
    passing = [h.id for h in holders if h.use != "pinned"]
    if decision.verdict == "go":
        assert set(decision.evict) <= set(idle)
        assert fits(*decision.evict)
        for spared in decision.evict:
            assert not fits(*(set(decision.evict) - {spared}))
    else:
        assert decision.evict == ()
        assert not fits(*idle)
        assert fits(*passing) == (decision.verdict == "wait")


def test_the_first_failure_costs_nothing_then_pauses_double_up_to_a_bound() -> None:
    backoff, now, pauses = Backoff(1.0, 30.0), 1000.0, []
    for _ in range(8):
        backoff.failed(now)
        pauses.append(backoff.wait_s(now))
        now += backoff.wait_s(now)
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_was_up_for_a_while_begins_anew() -> None:
    backoff, now_s = Backoff(1.0, 30.0), 0.0
    for _ in range(5):
        backoff.up(now_s)
        now_s += STEADY_S + 1
        backoff.failed(now_s)
        assert backoff.wait_s(now_s) == 0.0
    backoff.up(now_s)
    backoff.failed(now_s + 1)
    assert backoff.wait_s(now_s + 1) == 1.0


def test_a_pause_runs_out_and_a_quiet_time_forgives() -> None:
    backoff = Backoff()
    backoff.failed(0.0)
    backoff.failed(0.0)
    assert backoff.wait_s(0.25) == 0.75
    assert backoff.wait_s(2.0) == 0.0
    backoff.failed(WINDOW_S + 2.0)
    assert backoff.wait_s(WINDOW_S + 2.0) == 0.0


def test_a_reset_ends_the_pause_at_once() -> None:
    backoff = Backoff()
    backoff.failed(0.0)
    backoff.failed(0.0)
    backoff.reset()
    assert backoff.wait_s(0.0) == 0.0
