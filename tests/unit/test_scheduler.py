"""The scheduler's promises, over a backend that checks every row it is given."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise

import pytest

from kolo.engine.backend import NO_ROOM
from kolo.engine.fake import FakeBackend, Script
from kolo.engine.pace import BUDGET_MS, ChunkCost, PrefillPace
from kolo.engine.prefix import PrefixCache, common_prefix
from kolo.engine.scheduler import HOLD_MS, Decode, Prefill, Scheduler, Sequence
from kolo.types import LoadParams

MS_PER_TOKEN = 1.0
"""As is believed at first."""


class Driver:
    """Runs a scheduler over the fake, as the worker's loop does, counting what it computes."""

    def __init__(
        self,
        *,
        parallel: int = 4,
        ctx: int = 512,
        unified: bool = False,
        cells: int = 0,
        store_bytes: int = 1 << 20,
        can_trim: bool = True,
        chunk: int = 64,
    ) -> None:
        params = LoadParams(parallel=parallel, ctx=ctx, kv_unified=unified)
        self.backend = FakeBackend(Script(cells=cells, can_trim=can_trim), params)
        self.cache = PrefixCache(self.backend, store_bytes)
        cost = ChunkCost(fixed_ms=0.0, ms_per_token=MS_PER_TOKEN)
        pace = PrefillPace(chunk * 1.4, cost, n_batch=512)
        self.scheduler = Scheduler(self.cache, pace, max_outputs=32)
        self.prefilled = 0
        self.steps: list[Decode | Prefill] = []
        self.limits: dict[Sequence, int] = {}

    def add(self, tokens: list[int], generate: int = 4, *, reuse: bool = True) -> Sequence:
        sequence = Sequence(array("i", tokens), reuse=reuse)
        self.limits[sequence] = len(tokens) + generate
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> bool:
        step = self.scheduler.plan()
        if step is None:
            return False
        rows = self._rows(step)
        wanted = [1] * len(rows) if isinstance(step, Decode) else [0] * len(rows)
        status = self.backend.decode(
            [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], wanted
        )
        if status == NO_ROOM:
            assert self.scheduler.make_room()
            return True
        self.steps.append(step)
        self.scheduler.advance(step)
        if isinstance(step, Prefill):
            self.scheduler.observe(step.n_tokens, 1.4 * step.n_tokens)
        self._sample(step)
        return True

    def _rows(self, step: Decode | Prefill) -> list[tuple[int, int, int]]:
        if isinstance(step, Decode):
            return [(s.tokens[-1], len(s.slot.tokens), s.slot.id) for s in step.sequences]
        rows = []
        for sequence, count in step.parts:
            done = len(sequence.slot.tokens)
            tokens = sequence.tokens[done : done + count]
            rows += [(token, done + at, sequence.slot.id) for at, token in enumerate(tokens)]
            self.prefilled += count
        return rows

    def _sample(self, step: Decode | Prefill) -> None:
        parts = (
            step.sequences
            if isinstance(step, Decode)
            else [sequence for sequence, _ in step.parts if sequence.remaining == 0]
        )
        for sequence in parts:
            held = list(self.backend._kv[sequence.slot.id])
            assert held == list(sequence.tokens), "the KV is of other tokens"
            sequence.tokens.append(97 + len(sequence.tokens) % 26)
            if len(sequence.tokens) >= self.limits[sequence]:
                self.scheduler.remove(sequence)

    def run(self, limit: int = 10_000) -> None:
        for _ in range(limit):
            if not self.step():
                return
        pytest.fail("the scheduler did not come to rest")


def prompt(n: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(97, 123) for _ in range(n)]


def test_every_sequence_ends_and_every_slot_is_idle_again() -> None:
    driver = Driver()
    sequences = [driver.add(prompt(10 + 7 * i, seed=i), generate=5) for i in range(20)]
    driver.run()
    assert all(len(s.tokens) == driver.limits[s] for s in sequences)
    assert not any(slot.busy for slot in driver.cache.slots)
    assert driver.scheduler.idle


def test_sixteen_arriving_together_with_one_prefix_prefill_it_once() -> None:
    driver = Driver(parallel=16, ctx=2048)
    shared = prompt(1000)
    for i in range(16):
        driver.add([*shared, 97 + i, *prompt(19, seed=100 + i)])
    driver.run()
    assert driver.prefilled == 1000 + 16 * 20


def test_n_choices_of_one_prompt_cost_one_prefill() -> None:
    driver = Driver(parallel=4)
    for _ in range(4):
        driver.add(prompt(200))
    driver.run()
    assert driver.prefilled == 200


def test_a_continued_conversation_prefills_only_what_is_new() -> None:
    driver = Driver()
    first = driver.add(prompt(100), generate=10)
    driver.run()
    driver.prefilled = 0
    following = driver.add(list(first.tokens) + prompt(15, seed=9))
    driver.run()
    # The last generated token was never computed, so it is prefilled with the new ones.
    assert driver.prefilled == 16
    assert following.n_cached == 109


def test_first_come_first_served() -> None:
    driver = Driver(parallel=1)
    sequences = [driver.add(prompt(20, seed=i)) for i in range(5)]
    order = []
    while driver.step():
        for sequence in sequences:
            if sequence not in order and len(sequence.tokens) > 20:
                order.append(sequence)
    assert order == sequences


def test_a_long_prompt_and_decoding_take_turns() -> None:
    driver = Driver(ctx=4096, chunk=64)
    driver.add(prompt(8), generate=100)
    driver.step()
    driver.step()
    driver.add(prompt(1000, seed=5), generate=1)
    driver.steps.clear()
    for _ in range(20):
        driver.step()
    kinds = [isinstance(step, Decode) for step in driver.steps]
    assert all(a != b for a, b in pairwise(kinds))
    chunks = [step.n_tokens for step in driver.steps if isinstance(step, Prefill)]
    assert max(chunks) <= 64


def test_what_leaves_the_device_comes_back_from_the_host_store() -> None:
    driver = Driver(parallel=1)
    first = driver.add(prompt(100, seed=1))
    driver.run()
    driver.add(prompt(100, seed=2))
    driver.run()
    driver.prefilled = 0
    again = driver.add(list(first.tokens)[:100] + prompt(5, seed=3))
    driver.run()
    assert driver.cache.counters.restores == 1
    assert again.n_cached == 100
    assert driver.prefilled == 5


def test_the_host_store_stays_within_its_bound() -> None:
    driver = Driver(parallel=1, store_bytes=1000)
    for i in range(30):
        driver.add(prompt(100, seed=i))
        driver.run()
    assert driver.cache.store.used_bytes <= 1000
    assert driver.cache.counters.spills > 20


def test_no_store_means_no_saving() -> None:
    driver = Driver(parallel=1, store_bytes=0)
    for i in range(3):
        driver.add(prompt(100, seed=i))
        driver.run()
    assert driver.cache.counters.spills == 0


def test_a_full_pool_puts_the_newest_back_and_it_resumes() -> None:
    driver = Driver(parallel=4, ctx=512, unified=True, cells=400)
    sequences = [driver.add(prompt(80, seed=i), generate=100) for i in range(4)]
    driver.run()
    assert driver.scheduler.preemptions > 0
    assert all(len(s.tokens) == driver.limits[s] for s in sequences)
    assert sequences[0].n_cached == 0


def test_a_model_that_cannot_trim_reuses_only_whole_sequences() -> None:
    driver = Driver(parallel=2, can_trim=False)
    first = driver.add(prompt(50), generate=3)
    driver.run()
    diverging = driver.add(prompt(50)[:40] + prompt(20, seed=4))
    driver.run()
    assert diverging.n_cached == 0
    continued = driver.add(list(first.tokens) + prompt(5, seed=6))
    driver.run()
    assert continued.n_cached == 52


def test_reuse_off_computes_the_whole_prompt() -> None:
    driver = Driver()
    driver.add(prompt(60))
    driver.run()
    driver.prefilled = 0
    fresh = driver.add(prompt(60), reuse=False)
    driver.run()
    assert driver.prefilled == 60
    assert fresh.n_cached == 0


def test_removing_mid_prefill_frees_the_slot_and_keeps_what_was_computed() -> None:
    driver = Driver(parallel=1, chunk=16)
    going = driver.add(prompt(300))
    driver.step()
    driver.scheduler.remove(going)
    assert driver.scheduler.idle
    driver.prefilled = 0
    driver.add(prompt(300))
    driver.run()
    assert 0 < driver.prefilled < 300


@pytest.mark.parametrize("seed", range(20))
def test_random_traffic_never_confuses_the_cache(seed: int) -> None:
    rng = random.Random(seed)
    driver = Driver(
        parallel=rng.choice([1, 2, 5, 8]),
        unified=rng.random() < 0.5,
        cells=rng.choice([0, 700]),
        store_bytes=rng.choice([0, 2000, 1 << 20]),
        can_trim=rng.random() < 0.8,
        chunk=rng.choice([1, 16, 64]),
    )
    bases = [prompt(rng.randrange(1, 200), seed=i) for i in range(5)]
    alive: list[Sequence] = []
    for _ in range(40):
        base = rng.choice(bases)
        tokens = base[: rng.randrange(1, len(base) + 1)] + prompt(
            rng.randrange(0, 30), seed=rng.randrange(1000)
        )
        alive.append(driver.add(tokens, generate=rng.randrange(1, 20)))
        for _ in range(rng.randrange(0, 6)):
            driver.step()
        if rng.random() < 0.2:
            driver.scheduler.remove(rng.choice(alive))
    driver.run()
    assert not any(slot.busy for slot in driver.cache.slots)
    for slot in driver.cache.slots:
        assert list(driver.backend._kv[slot.id]) == list(slot.tokens)


@pytest.mark.parametrize("at", [0, 1, 7, 64, 99, 100])
def test_common_prefix_finds_the_first_difference(at: int) -> None:
    a = array("i", range(100))
    b = array("i", range(100))
    if at < 100:
        b[at] = -1
    assert common_prefix(a, b, 1000) == at
    assert common_prefix(a, b, 5) == min(at, 5)


def test_prompts_that_came_together_are_all_read_before_the_first_goes_on() -> None:
    driver = Driver(parallel=4, chunk=64)
    for i in range(4):
        driver.add(prompt(100, seed=i), generate=20)
    driver.run()
    first_decode = next(i for i, s in enumerate(driver.steps) if isinstance(s, Decode))
    assert sum(s.n_tokens for s in driver.steps[:first_decode] if isinstance(s, Prefill)) == 400
    assert len(driver.steps[first_decode].sequences) == 4


def test_nobody_waits_for_a_long_prompt_that_came_along() -> None:
    driver = Driver(parallel=2, chunk=64, ctx=4096)
    short = driver.add(prompt(40), generate=50)
    driver.add(prompt(3000, seed=1), generate=1)
    while len(short.tokens) < 60:
        driver.step()
    kinds = "".join("d" if isinstance(step, Decode) else "p" for step in driver.steps)
    assert "ppp" not in kinds


def test_nobody_waits_for_prompts_that_came_later() -> None:
    driver = Driver(parallel=4, chunk=16)
    first = driver.add(prompt(60), generate=50)
    driver.add(prompt(200, seed=1), generate=50)
    while len(first.tokens) < 61:
        driver.step()
    driver.step()
    assert isinstance(driver.steps[-1], Prefill)
    driver.add(prompt(100, seed=2), generate=50)
    driver.step()
    assert isinstance(driver.steps[-1], Decode)


def test_no_stream_waits_for_its_second_token_beyond_the_limit() -> None:
    driver = Driver(parallel=32, chunk=64, ctx=1024)
    for i in range(32):
        driver.add(prompt(500, seed=i), generate=10)
    before = 0.0
    while not driver.steps or not isinstance(driver.steps[-1], Decode):
        driver.step()
        before += 1.4 * driver.steps[-1].n_tokens if isinstance(driver.steps[-1], Prefill) else 0
    batch_ms = 1.4 * 512
    assert HOLD_MS < before < HOLD_MS + 3 * batch_ms


def test_a_short_prompt_that_comes_alone_is_read_at_once() -> None:
    driver = Driver(chunk=64)
    driver.add(prompt(240), generate=4)
    driver.run()
    prefills = [step.n_tokens for step in driver.steps if isinstance(step, Prefill)]
    assert prefills == [240]


def test_the_first_of_many_short_prompts_is_not_followed_by_a_long_wait() -> None:
    driver = Driver(parallel=8, chunk=16)
    several = [driver.add(prompt(60, seed=i), generate=20) for i in range(8)]
    while not any(sequence.newborn for sequence in several):
        driver.step()
    left = sum(sequence.remaining for sequence in several if not sequence.newborn)
    assert 0 < left <= BUDGET_MS / MS_PER_TOKEN


def test_a_stream_that_flows_waits_for_one_chunk_at_a_time() -> None:
    driver = Driver(parallel=3, chunk=64, ctx=4096)
    flowing = driver.add(prompt(40), generate=200)
    while len(flowing.tokens) < 45:
        driver.step()
    start = len(driver.steps)
    for i in range(2):
        driver.add(prompt(600, seed=i + 1), generate=30)
    driver.run()
    kinds = ["d" if isinstance(step, Decode) else "p" for step in driver.steps[start:]]
    assert "pp" not in "".join(kinds)


def busy_slots(driver: Driver) -> list[int]:
    return [slot.id for slot in driver.cache.slots if slot.busy]


def test_slots_in_use_lie_beside_each_other_also_when_all_hold_something() -> None:
    driver = Driver(parallel=16, ctx=1024)
    for round in range(5):
        for i in range(6):
            driver.add(prompt(100, seed=100 * round + i), generate=8)
        while driver.scheduler.waiting:
            driver.step()
        slots = busy_slots(driver)
        assert slots == list(range(slots[0], slots[0] + 6))
        driver.run()


def test_a_gap_left_by_one_that_ended_is_filled_first() -> None:
    driver = Driver(parallel=8, ctx=1024)
    sequences = [driver.add(prompt(50, seed=i), generate=100) for i in range(5)]
    while not all(len(s.tokens) > 52 for s in sequences):
        driver.step()
    driver.scheduler.remove(sequences[2])
    driver.add(prompt(50, seed=9), generate=5)
    driver.step()
    assert busy_slots(driver) == [0, 1, 2, 3, 4]


def test_a_long_prefix_is_worth_a_slot_apart() -> None:
    driver = Driver(parallel=8, ctx=1024)
    first = driver.add(prompt(200), generate=5)
    driver.run()
    flowing = [driver.add(prompt(50, seed=i), generate=100) for i in range(1, 4)]
    while not all(len(s.tokens) > 52 for s in flowing):
        driver.step()
    again = driver.add([*first.tokens, 97, 98], generate=5)
    driver.step()
    assert again.n_cached >= 200
