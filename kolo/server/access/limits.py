"""How much one may ask: requests and tokens in a window, each as a bucket that fills evenly.

A request takes one from its bucket before it is let in; tokens are known only afterwards, so a
bucket of tokens can go below zero, and nobody is let in until it is above again. On the monotonic
clock: setting the time of day changes nothing.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from kolo.errors import RateLimited

MINUTE_S = 60.0
MAX_ACCOUNTS = 10_000
"""Accounts remembered, of keys and of addresses each; past that the one that was not heard of for
longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an account may have in ``window_s``; 0 is without limit."""

    requests: int = 0
    tokens: int = 0
    window_s: float = MINUTE_S

    def per_minute(self) -> Allowance:
        """The same rates; what is not 0 stays above it."""
        share = MINUTE_S / self.window_s
        return Allowance(math.ceil(self.requests * share), math.ceil(self.tokens * share))


@dataclass(slots=True)
class Bucket:
    level: float
    seen_s: float

    def fill(self, limit: int, window_s: float, now_s: float) -> None:
        self.level = min(self.level + (now_s - self.seen_s) * limit / window_s, float(limit))
        self.seen_s = now_s


@dataclass(slots=True)
class _Usage:
    requests: Bucket | None = None
    tokens: Bucket | None = None
    count: int = 0
    """Requests since the start, or since they were last cleared."""


@dataclass(slots=True)
class Limits:
    clock: Callable[[], float] = monotonic
    total: int = 0
    _strangers: OrderedDict[str, _Usage] = field(default_factory=OrderedDict)
    """By address: there may be any number, which must push out nobody who has a key."""
    _keyed: OrderedDict[str, _Usage] = field(default_factory=OrderedDict)

    def take(self, name: str, allowed: Allowance, *, keyed: bool = False) -> None:
        """Let one request in. RateLimited, with the time to wait, if that is one too many."""
        usage, now_s = self._usage(name, keyed), self.clock()
        usage.count += 1
        self.total += 1
        if allowed.tokens:
            usage.tokens = _filled(usage.tokens, allowed.tokens, allowed.window_s, now_s)
            if usage.tokens.level <= 0:
                wait_s = (1 - usage.tokens.level) * allowed.window_s / allowed.tokens
                raise _too_much(allowed.tokens, "tokens", allowed.window_s, wait_s)
        if allowed.requests:
            usage.requests = _filled(usage.requests, allowed.requests, allowed.window_s, now_s)
            if usage.requests.level < 1:
                wait_s = (1 - usage.requests.level) * allowed.window_s / allowed.requests
                raise _too_much(allowed.requests, "requests", allowed.window_s, wait_s)
            usage.requests.level -= 1

    def charge(self, name: str, n_tokens: int, allowed: Allowance, *, keyed: bool = False) -> None:
        """``n_tokens`` were used."""
        if allowed.tokens:
            usage = self._usage(name, keyed)
            bucket = _filled(usage.tokens, allowed.tokens, allowed.window_s, self.clock())
            bucket.level -= n_tokens
            usage.tokens = bucket

    def headers(self, name: str, allowed: Allowance, *, keyed: bool = False) -> Mapping[str, str]:
        """What is left. Reset is in how many seconds all of it is there again."""
        usage, now_s = self._usage(name, keyed), self.clock()
        found: dict[str, str] = {}
        for limit, bucket, end in (
            (allowed.requests, usage.requests, ""),
            (allowed.tokens, usage.tokens, "-Tokens"),
        ):
            if limit:
                bucket = _filled(bucket, limit, allowed.window_s, now_s)
                reset_s = (limit - bucket.level) * allowed.window_s / limit
                found[f"X-Rate-Limit-Limit{end}"] = str(limit)
                found[f"X-Rate-Limit-Remaining{end}"] = str(max(math.floor(bucket.level), 0))
                found[f"X-Rate-Limit-Reset{end}"] = str(math.ceil(reset_s))
        return found

    def clear(self, name: str | None = None) -> bool:
        """Forget what ``name``, or everybody, has had; False if nothing was known of him."""
        if name is None:
            self._strangers.clear()
            self._keyed.clear()
            self.total = 0
            return True
        gone = [each.pop(name, None) for each in (self._strangers, self._keyed)]
        return gone != [None, None]

    def counts(self) -> dict[str, int]:
        """Requests of each account."""
        return {name: usage.count for name, usage in (self._strangers | self._keyed).items()}

    def _usage(self, name: str, keyed: bool) -> _Usage:
        accounts = self._keyed if keyed else self._strangers
        usage = accounts.get(name)
        if usage is None:
            usage = accounts[name] = _Usage()
            if len(accounts) > MAX_ACCOUNTS:
                accounts.popitem(last=False)
        else:
            accounts.move_to_end(name)
        return usage


def _filled(bucket: Bucket | None, limit: int, window_s: float, now_s: float) -> Bucket:
    if bucket is None:
        return Bucket(float(limit), now_s)
    bucket.fill(limit, window_s, now_s)
    return bucket


def _too_much(limit: int, what: str, window_s: float, wait_s: float) -> RateLimited:
    window = "a minute" if window_s == MINUTE_S else f"{window_s:g} s"
    return RateLimited(
        f"the limit is {limit} {what} in {window}",
        hint=f"Try again in {math.ceil(wait_s)} s.",
        retry_after_s=wait_s,
    )
