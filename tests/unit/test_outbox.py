"""Tokens of short steps are sent together; first and last ones, and all of slow steps, at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kolo import wire
from kolo.engine import outbox
from kolo.engine.outbox import Outbox
from kolo.types import Delta, Generated, Timings, Usage

DONE = wire.Done(1, Generated(usage=Usage(), timings=Timings(), seed=0))


class Sent:
    """What arrives, call by call, and a clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[wire.Up, ...]] = []
        self.now_s = 100.0
        monkeypatch.setattr(outbox, "time", SimpleNamespace(perf_counter=lambda: self.now_s))
        self.out = Outbox(lambda *frames: self.calls.append(frames))

    def step(self, *texts: str, took_s: float = 0.001, over: bool = False) -> None:
        self.now_s += took_s
        deltas = [Delta(id, 0, text, 1) for id, text in enumerate(texts, 1)]
        if over:
            deltas[0].finish = "stop"
        self.out.put(deltas, [DONE] if over else [], at_once=False)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


def test_tokens_of_slow_steps_are_sent_as_they_come(sent: Sent) -> None:
    for text in "abc":
        sent.step(text, took_s=2 * outbox.TOGETHER_S)
    assert sent.calls == [(wire.Tokens([Delta(1, 0, text, 1)]),) for text in "abc"]


def test_tokens_of_short_steps_are_one_delta_for_each_answer(sent: Sent) -> None:
    sent.step("-", "-")
    for first, second in ("ax", "by", "cz"):
        sent.step(first, second)
    sent.step("d", took_s=2 * outbox.TOGETHER_S)
    assert sent.calls[1:] == [(wire.Tokens([Delta(1, 0, "abcd", 4), Delta(2, 0, "xyz", 3)]),)]


def test_an_answers_end_comes_at_once_and_after_what_was_held(sent: Sent) -> None:
    sent.step("-")
    sent.step("a")
    sent.step("b", over=True)
    last = Delta(1, 0, "b", 1, finish="stop")
    assert sent.calls[1:] == [(wire.Tokens([Delta(1, 0, "a", 1), last]), DONE)]


def test_a_first_token_comes_at_once(sent: Sent) -> None:
    sent.step("-")
    sent.out.put([Delta(2, 0, "first", 1)], [], at_once=True)
    assert sent.calls[-1] == (wire.Tokens([Delta(2, 0, "first", 1)]),)


def test_any_other_frame_follows_what_was_held(sent: Sent) -> None:
    sent.step("-")
    sent.step("a")
    sent.out.send(DONE)
    assert sent.calls[1:] == [(wire.Tokens([Delta(1, 0, "a", 1)]), DONE)]


def test_what_is_held_does_not_wait_for_something_slow(sent: Sent) -> None:
    sent.step("-")
    sent.step("a")
    sent.out.flush()
    sent.out.flush()
    assert sent.calls[1:] == [(wire.Tokens([Delta(1, 0, "a", 1)]),)]
