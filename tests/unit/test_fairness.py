"""Sharing an engine among keys: who waits for whom."""

from __future__ import annotations

import random
from array import array
from queue import SimpleQueue

import pytest
from test_scheduler import Driver

from kolo import wire
from kolo.engine import shares as module
from kolo.engine.fake import FakeBackend, Script
from kolo.engine.layout import flat
from kolo.engine.loop import Loop
from kolo.engine.pace import ChunkCost
from kolo.engine.pooling import PooledJob
from kolo.engine.scheduler import Prefill, Sequence
from kolo.engine.shares import REMEMBERED, Shares
from kolo.types import LoadParams

QUANTUM = 48


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUANTUM", float(QUANTUM))


class Shared(Driver):
    """The scheduler's driver, for several keys; prompts of one have nothing in common."""

    made = 0

    def ask(self, share: str, prompt: int = 20, generate: int = 50) -> Sequence:
        Shared.made += 1
        chance = random.Random(Shared.made)
        tokens = [chance.randrange(97, 123) for _ in range(prompt)]
        sequence = Sequence(array("i", tokens), share=share)
        self.limits[sequence] = prompt + generate
        self.scheduler.add(sequence)
        return sequence

    def run_until(self, done: object, steps: int = 10_000) -> int:
        """Steps until ``done`` has its first token."""
        assert isinstance(done, Sequence)
        for n in range(1, steps):
            assert self.step()
            if len(done.tokens) > done.n_prompt:
                return n
        raise AssertionError("it never came to its turn")

    def finish(self, steps: int = 100_000) -> None:
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError("it never ends")


@pytest.mark.parametrize("parallel", [2, 4, 8])
def test_one_request_beside_thirty_of_another_key_is_served_at_once(parallel: int) -> None:
    driver = Shared(parallel=parallel, ctx=4096)
    crowd = [driver.ask("a", prompt=200, generate=2000) for _ in range(30)]
    for _ in range(60):
        driver.step()
    before, only = driver.prefilled, driver.ask("b", prompt=200)
    steps = driver.run_until(only)
    # Nobody's answer has to end first, and no prompt of the others comes before its own, but for
    # the chunk that takes its turn with decode steps.
    assert driver.prefilled - before <= 200 + 64
    assert steps <= 2 * sum(isinstance(step, Prefill) for step in driver.steps[-steps:]) + 1
    assert driver.scheduler.preemptions == 1
    assert sum(sequence.slot is not None for sequence in crowd) == parallel - 1


def test_with_one_slot_a_newcomer_waits_for_a_turn_and_not_for_the_whole_answer() -> None:
    driver = Shared(parallel=1, ctx=2048)
    driver.ask("a", generate=1000)
    for _ in range(2 * QUANTUM):
        driver.step()
    only = driver.ask("b")
    assert driver.run_until(only) < 10
    second = driver.ask("c")
    assert driver.run_until(second) <= QUANTUM + 10  # b has just begun its turn


def test_who_was_paused_goes_on_and_all_get_all_their_tokens() -> None:
    driver = Shared(parallel=2, ctx=2048)
    crowd = [driver.ask("a", prompt=100, generate=300) for _ in range(5)]
    for _ in range(30):
        driver.step()
    others = [driver.ask(name, prompt=100, generate=40) for name in "bc"]
    driver.finish()
    assert all(len(one.tokens) == 400 for one in crowd)
    assert all(len(one.tokens) == 140 for one in others)
    assert driver.scheduler.preemptions >= 1
    # What was computed of the one that was paused was not computed again.
    assert driver.prefilled <= 7 * 100 + 10


def test_a_slot_that_is_free_goes_to_the_key_with_fewest() -> None:
    driver = Shared(parallel=2, ctx=2048)
    driver.ask("a", generate=10)
    driver.ask("a", generate=1000)
    waiting = [driver.ask("a", generate=1000) for _ in range(4)]
    for _ in range(4):
        driver.step()
    mine = [driver.ask("b", generate=500) for _ in range(2)]
    for _ in range(40):
        driver.step()
    assert mine[0].slot is not None  # by pausing
    assert [one.slot is not None for one in waiting].count(True) == 0


def test_within_a_key_the_first_to_come_is_the_first_to_be_served() -> None:
    driver = Shared(parallel=2, ctx=2048)
    order: list[Sequence] = []
    asked = [driver.ask(name, generate=20) for name in "aaabbbaaabbb"]
    while driver.scheduler.waiting:
        driver.step()
        order += driver.scheduler.admitted
    for share in "ab":
        expected = [one for one in asked if one.share == share]
        assert [one for one in order if one.share == share] == expected


def test_keys_with_endless_work_get_as_much_as_each_other() -> None:
    driver = Shared(parallel=4, ctx=4096)
    for _ in range(6):
        driver.ask("a", generate=900)
    for _ in range(12):
        driver.ask("b", generate=900)
    for _ in range(900):
        driver.step()
    written = {"a": 0, "b": 0}
    for sequence in driver.limits:
        written[sequence.share] += len(sequence.tokens) - sequence.n_prompt
    assert written["a"] == pytest.approx(written["b"], rel=0.15)


def test_more_keys_than_slots_take_turns() -> None:
    driver = Shared(parallel=2, ctx=8192)
    asked = [driver.ask(name, generate=800) for name in "abcde"]
    for _ in range(QUANTUM * 8):
        driver.step()
    assert all(len(one.tokens) > one.n_prompt for one in asked)
    # A turn is long enough that pausing costs little.
    assert driver.scheduler.preemptions <= 2 * 8 + 2


def test_of_many_keys_no_more_are_paused_than_can_be_kept() -> None:
    """What is not kept is computed again: a crowd must not be doing nothing but that."""
    room = 400
    driver = Shared(parallel=2, ctx=4096, store_bytes=room * array("i").itemsize)
    asked = [driver.ask(f"key {n}", prompt=70, generate=150) for n in range(30)]
    most = 0
    while driver.step():
        paused = [one for one in asked if one.started and one.slot is None]
        most = max(most, sum(len(one.tokens) for one in paused if len(one.tokens) < 220))
    assert 0 < most <= room + 2
    assert all(len(one.tokens) == 220 for one in asked)
    assert driver.scheduler.preemptions < 30


def test_where_nothing_can_be_kept_nobody_takes_turns_but_all_have_a_slot_due() -> None:
    driver = Shared(parallel=2, ctx=4096, store_bytes=0)
    for _ in range(2):
        driver.ask("a", generate=300)
    for _ in range(100):
        driver.step()
    assert driver.run_until(driver.ask("b", generate=300)) <= 4
    late = driver.ask("c")
    for _ in range(100):
        driver.step()
    assert late.slot is None
    driver.finish()
    assert driver.scheduler.preemptions == 1


def test_a_long_prompt_of_one_key_does_not_hold_up_a_short_one_of_another() -> None:
    driver = Shared(parallel=3, ctx=16_384, chunk=64)
    driver.ask("a", prompt=8000)
    driver.ask("a", prompt=8000)
    for _ in range(20):
        driver.step()
    short = driver.ask("b", prompt=60)
    assert driver.run_until(short) <= 2


def test_coming_back_again_and_again_gains_no_more_than_a_turn() -> None:
    driver = Shared(parallel=1, ctx=8192)
    steady = driver.ask("a", generate=800)
    driver.step()
    theirs = 0
    while len(steady.tokens) < steady.n_prompt + 800:
        one = driver.ask("b", prompt=4, generate=40)
        while driver.limits[one] > len(one.tokens):
            driver.step()
            if len(steady.tokens) >= steady.n_prompt + 800:
                break
        theirs += len(one.tokens) - one.n_prompt
    assert theirs <= 800 + 4 * QUANTUM


def test_using_an_idle_engine_is_not_held_against_anybody() -> None:
    driver = Shared(parallel=1, ctx=16_384)
    driver.ask("a", generate=800)
    driver.finish()
    driver.ask("b", generate=800)
    for _ in range(2 * QUANTUM):
        driver.step()
    again = driver.ask("a", generate=10)
    assert driver.run_until(again) <= 2 * QUANTUM + 10


def test_accounts_of_the_idle_are_forgotten_some_day() -> None:
    shares = Shares()
    for at in range(3 * REMEMBERED):
        sequence = Sequence(array("i", [1]))
        account = shares.enter(f"address {at}", sequence)
        account.waiting.clear()
        shares.left(account)
    assert len(shares._known) <= REMEMBERED + 1


def test_prompt_logprobs_are_never_torn_apart() -> None:
    driver = Shared(parallel=1, ctx=4096)
    whole = Sequence(array("i", [97] * 500), reuse=False, all_logits=True, share="a")
    driver.limits[whole] = 504
    driver.scheduler.add(whole)
    driver.scheduler.plan()
    driver.ask("b")
    for _ in range(3):
        step = driver.scheduler.plan()
        assert isinstance(step, Prefill)
        assert [part[0] for part in step.parts] == [whole]
        driver.scheduler.advance(step)


@pytest.mark.parametrize("seed", range(8))
def test_any_mix_ends_with_every_slot_given_back(seed: int) -> None:
    chance = random.Random(seed)
    driver = Shared(
        parallel=chance.choice([1, 2, 3, 5]), ctx=1024, store_bytes=chance.choice([0, 1 << 20])
    )
    asked = []
    for _ in range(60):
        asked.append(
            driver.ask(chance.choice("abcd"), chance.randint(1, 300), chance.randint(1, 300))
        )
        for _ in range(chance.randint(0, 30)):
            driver.step()
        if chance.random() < 0.2:
            gone = asked.pop(chance.randrange(len(asked)))
            driver.scheduler.remove(gone)
            driver.scheduler.remove(gone)
            del driver.limits[gone]
    driver.finish()
    assert driver.scheduler.idle
    assert all(len(one.tokens) == driver.limits[one] for one in asked)
    assert not any(slot.busy for slot in driver.cache.slots)


def test_embeddings_of_one_key_take_turns_with_those_of_another() -> None:

    params = LoadParams(parallel=1, ctx=2048)
    sent: list[int] = []

    def send(*frames: wire.Up) -> None:
        sent.extend(frame.id for frame in frames if isinstance(frame, wire.Done))

    loop = Loop(
        FakeBackend(Script(), params), params, flat(1), ChunkCost(0.0, 1.0), send, SimpleQueue()
    )
    for n in range(10):
        loop.take(PooledJob(n, [array("i", [97] * 600)] * 3, rank=False, share="many"))
    loop.take(PooledJob(77, [array("i", [97])], rank=False, share="single"))
    loop.take(PooledJob(78, [array("i", [97])], rank=False, share="third"))
    for _ in range(4):
        loop.step()
    assert sorted(sent) == [77, 78]
    for _ in range(40):
        loop.step()
    assert sorted(sent) == [*range(10), 77, 78]
