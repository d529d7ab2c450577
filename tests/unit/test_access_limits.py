"""Rates: what is let in, what is told, and that a clock set anew changes nothing."""

from __future__ import annotations

import time

import pytest

from kolo.errors import RateLimited
from kolo.keys import new_key
from kolo.server.access import limits as module
from kolo.server.access.limits import Allowance, Limits
from kolo.server.access.principal import by_key


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def take(limits: Limits, allowed: Allowance, n: int, name: str = "a") -> int:
    """How many of ``n`` were let in."""
    let_in = 0
    for _ in range(n):
        try:
            limits.take(name, allowed)
        except RateLimited:
            continue
        let_in += 1
    return let_in


def test_so_many_and_no_more_then_evenly_again() -> None:
    clock = Clock()
    limits, allowed = Limits(clock), Allowance(requests=6)
    assert take(limits, allowed, 10) == 6
    clock.now += 10.0
    assert take(limits, allowed, 10) == 1
    clock.now += 3600.0
    assert take(limits, allowed, 10) == 6


def test_a_refusal_says_when_it_is_worth_trying_again() -> None:
    clock = Clock()
    limits, allowed = Limits(clock), Allowance(requests=6)
    take(limits, allowed, 6)
    with pytest.raises(RateLimited) as refused:
        limits.take("a", allowed)
    assert refused.value.retry_after_s == pytest.approx(10.0)
    clock.now += refused.value.retry_after_s or 0
    limits.take("a", allowed)


def test_tokens_are_charged_afterwards_and_a_debt_is_paid_off() -> None:
    clock = Clock()
    limits, allowed = Limits(clock), Allowance(tokens=600)
    limits.take("a", allowed)
    limits.charge("a", 1200, allowed)
    with pytest.raises(RateLimited, match="600 tokens in a minute") as refused:
        limits.take("a", allowed)
    assert refused.value.retry_after_s == pytest.approx(60.1)
    clock.now += 60.1
    limits.take("a", allowed)


def test_one_account_takes_nothing_from_another() -> None:
    limits, allowed = Limits(Clock()), Allowance(requests=3, tokens=10)
    take(limits, allowed, 9)
    limits.charge("a", 1000, allowed)
    assert take(limits, allowed, 9, "b") == 3


def test_headers_say_what_is_left_and_when_all_is_there_again() -> None:
    clock = Clock()
    limits, allowed = Limits(clock), Allowance(requests=6, tokens=600)
    assert limits.headers("a", Allowance()) == {}
    take(limits, allowed, 2)
    limits.charge("a", 60, allowed)
    assert limits.headers("a", allowed) == {
        "X-Rate-Limit-Limit": "6",
        "X-Rate-Limit-Remaining": "4",
        "X-Rate-Limit-Reset": "20",
        "X-Rate-Limit-Limit-Tokens": "600",
        "X-Rate-Limit-Remaining-Tokens": "540",
        "X-Rate-Limit-Reset-Tokens": "6",
    }


def test_clearing_gives_a_full_allowance_and_forgets_the_counts() -> None:
    limits, allowed = Limits(Clock()), Allowance(requests=1)
    take(limits, allowed, 2)
    take(limits, allowed, 2, "b")
    assert limits.counts() == {"a": 2, "b": 2}
    assert limits.clear("a")
    assert not limits.clear("a")
    assert take(limits, allowed, 2) == 1
    limits.clear()
    assert limits.counts() == {}


def test_only_so_many_accounts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 3)
    limits, allowed = Limits(Clock()), Allowance(requests=1)
    for name in "abcad":
        take(limits, allowed, 1, name)
    assert set(limits.counts()) == {"c", "a", "d"}


def test_no_number_of_strangers_pushes_out_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 3)
    limits, allowed = Limits(Clock()), Allowance(requests=1)
    limits.take("key", allowed, keyed=True)
    for name in "abcdef":
        limits.take(name, allowed)
    with pytest.raises(RateLimited):
        limits.take("key", allowed, keyed=True)
    assert set(limits.counts()) == {"d", "e", "f", "key"}
    assert limits.clear("key")
    limits.take("key", allowed, keyed=True)


def test_setting_the_time_of_day_gives_and_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, allowed = Limits(), Allowance(requests=2)
    take(limits, allowed, 2)
    for jump_s in (86_400.0, -86_400.0):
        real = time.time
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s, real=real: real() + jump_s)
        with pytest.raises(RateLimited) as refused:
            limits.take("a", allowed)
        assert 0 < (refused.value.retry_after_s or 0) <= 30


def test_a_keys_own_rate_is_a_minutes_whatever_the_servers_window() -> None:
    server = Allowance(requests=7200, tokens=60, window_s=3600.0)
    key, _ = new_key("a", ["infer"], tokens_per_minute=500)
    assert by_key(key, Limits(), server).allowed == Allowance(120, 500)
    plain, _ = new_key("b", ["infer"])
    assert by_key(plain, Limits(), server).allowed == server
