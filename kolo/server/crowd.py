"""All connections of a server together: how many there may be, and who gives way.

A connection with nothing under way may be closed at any time (RFC 9112, 9.5). So when as many are
open as may be, a new one takes the place of one that has said nothing yet, the oldest first, else
of the one that has been idle longest; only where all have a request under way is it turned away.
Thousands that connect and say nothing thus cost nobody his place.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

OTHER_FILES = 128
"""Descriptors for all else: workers, files, downloads, the monitor."""
BURST = 1024
LEAST_BURST = 128
RESERVED_FILES = OTHER_FILES + LEAST_BURST
LEAST = 16
MOST_TOLD = 64
"""Connections that are told at one time that there is no room; any more are just closed."""


class Member(Protocol):
    def leave(self) -> None:
        """Close, since nothing is under way."""


class Crowd:
    """Lives on one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.turned_away = 0
        self._told = 0
        self._all: set[Member] = set()
        self._silent: dict[Member, None] = {}
        self._idle: dict[Member, None] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, member: Member) -> bool:
        """Whether there is room for one more, now or by one that leaves."""
        if len(self._all) >= self.limit and not self._make_room():
            self.turned_away += 1
            return False
        self._all.add(member)
        return True

    @contextmanager
    def turning_away(self) -> Iterator[bool]:
        """For as long as one that did not enter is still there; whether it can be told why."""
        self._told += 1
        try:
            yield self._told <= MOST_TOLD
        finally:
            self._told -= 1

    def waits(self, member: Member, *, silent: bool) -> None:
        """``member`` has nothing under way; ``silent``: it never had."""
        if self._closing:
            member.leave()
        elif member in self._all:
            (self._silent if silent else self._idle)[member] = None

    def works(self, member: Member) -> None:
        """A request of ``member`` has begun."""
        self._silent.pop(member, None)
        self._idle.pop(member, None)

    def left(self, member: Member) -> None:
        self.works(member)
        self._all.discard(member)

    def close(self) -> None:
        """No connection is to wait for a request any more."""
        self._closing = True
        while self._make_room():
            pass

    def _make_room(self) -> bool:
        for those in (self._silent, self._idle):
            if those:
                member = next(iter(those))
                self.left(member)
                member.leave()
                return True
        return False


def room_for(wanted: int) -> int:
    """How many connections there can be, of ``wanted``: each takes a descriptor, of which this
    process gets as many as it may have (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + BURST + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):  # then there are fewer
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return max(min(wanted, soft - RESERVED_FILES), LEAST)


def burst_for(limit: int) -> int:
    """How many connections are accepted in one go, where there may be ``limit``.

    Each has a descriptor before those that give way have closed theirs, and asyncio tries as many
    times over when there is none left.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return BURST
    return max(min(BURST, soft - limit - OTHER_FILES), LEAST)
