"""Whose turn it is where several share an engine: fair queueing over what each has had.

A share is everything that one key (or, without keys, one address) has asked for. What it has had
is counted in rows of decode, a token of prompt as a small part of one. Who has waited gets no
more than QUANTUM of advantage for it, and who has used an idle engine owes no more than that:
start-time fair queueing (Goyal, Vin and Cheng, 1996) with the lag bounded on both sides.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kolo.engine.scheduler import Sequence

QUANTUM = 256.0
"""Rows: the most that a share can be ahead or behind when it comes, and how long a turn lasts
where there are fewer slots than shares."""
PROMPT_WEIGHT = 1 / 16
"""Rows that a token of prompt counts as: a prompt is computed many tokens at a time."""
REMEMBERED = 1024
"""Shares without anything to do whose account is kept."""


@dataclass(slots=True, eq=False)
class Share:
    """One account. ``since`` is what ``served`` was when it last got a slot."""

    served: float = 0.0
    since: float = 0.0
    running: int = 0
    waiting: deque[Sequence] = field(default_factory=deque)

    @property
    def active(self) -> bool:
        return bool(self.running or self.waiting)


class Shares:
    """All accounts, and who is next."""

    def __init__(self) -> None:
        self._known: dict[str, Share] = {}
        self._active: list[Share] = []
        self._now = 0.0
        """What the least served of the active ones has had: the time of fair queueing."""

    def __len__(self) -> int:
        """Sequences that wait."""
        return sum(len(share.waiting) for share in self._active)

    def enter(self, name: str, sequence: Sequence) -> Share:
        """The account of ``name``, with one more sequence at the end of its queue."""
        share = self._known.get(name)
        if share is None:
            share = self._known[name] = Share(self._now - QUANTUM)
        if not share.active:
            self._look()
            share.served = min(max(share.served, self._now - QUANTUM), self._now + QUANTUM)
            self._active.append(share)
        share.waiting.append(sequence)
        return share

    def left(self, share: Share) -> None:
        """A sequence of ``share`` is over."""
        if not share.active:
            self._look()
            self._active.remove(share)
            self._forget_some()

    def turns(self) -> list[Share]:
        """Those with somebody waiting, next first: who has fewest slots, then who had least."""
        waiting = [share for share in self._active if share.waiting]
        if len(waiting) > 1:
            waiting.sort(key=lambda share: (share.running, share.served, share.waiting[0].order))
        return waiting

    def starved(self) -> list[Share]:
        """Those with somebody waiting and not one slot, next first."""
        if len(self._active) < 2:
            return []
        return [share for share in self.turns() if not share.running]

    def paused_tokens(self) -> int:
        """Tokens of sequences that had a slot and wait for one again."""
        return sum(
            len(sequence.tokens)
            for share in self._active
            for sequence in share.waiting
            if sequence.started
        )

    def giver(self, starved: Share) -> Share | None:
        """Who is to give up a slot for ``starved``: who has several, else who has had a whole
        turn and more than it."""
        holders = [share for share in self._active if share.running]
        if not holders:
            return None
        most = max(holders, key=lambda share: (share.running, share.served))
        turn_over = most.served - most.since >= QUANTUM and most.served >= starved.served
        return most if most.running > 1 or turn_over else None

    def _look(self) -> None:
        if self._active:
            self._now = max(self._now, min(share.served for share in self._active))

    def _forget_some(self) -> None:
        if len(self._known) - len(self._active) > REMEMBERED:
            self._known = {name: share for name, share in self._known.items() if share.active}
