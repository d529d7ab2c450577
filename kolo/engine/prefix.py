"""Prefix reuse: which slot a new sequence gets, and whose KV it starts from.

Every slot remembers the tokens whose KV it holds, also after its request has ended. A new
sequence takes over the longest prefix found in any slot, running ones included, or in the
host store, where KV goes when its slot is given away. The rules, in order:

1. An idle slot whose cached tokens mostly continue into the new prompt is taken in place.
2. Otherwise the sequence gets a slot beside those that are busy, since llama.cpp computes slots
   that lie apart one after the other; of those an empty one, else the least recently used (its
   KV is saved to the host store first). The prefix is copied or restored into it when that saves
   more than it costs.
3. At least one token is always left to compute, since its logits are needed.

Reuse is exact: only equal tokens at equal positions count.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from kolo.engine.backend import KV

MIN_SPILL_TOKENS = 64
"""Shorter caches are cheaper to compute again than to keep."""
MIN_PLACE_TOKENS = 16
"""A shorter prefix is no reason to take a slot that lies apart from the busy ones."""


@dataclass(slots=True, eq=False)
class Slot:
    id: int
    tokens: array[int] = field(default_factory=lambda: array("i"))
    busy: bool = False
    last_used: int = 0


@dataclass(slots=True, eq=False)
class Stored:
    tokens: array[int]
    blob: bytes


@dataclass(slots=True)
class Counters:
    copies: int = 0
    spills: int = 0
    restores: int = 0


def common_prefix(a: array[int], b: array[int], limit: int) -> int:
    """How many leading tokens are equal, at most ``limit``. Slices compare as memory does,
    so a bisection over them beats a loop by orders of magnitude."""
    low, high = 0, min(len(a), len(b), limit)
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


class HostStore:
    """Saved KV of sequences that lost their slot, least recently used out first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: list[Stored] = []

    def __len__(self) -> int:
        return len(self._entries)

    def best(self, tokens: array[int], limit: int, *, whole: bool) -> tuple[Stored | None, int]:
        """The entry with the longest usable prefix, and its length; (None, 0) without one.

        ``whole``: entries count only when all of their tokens are wanted.
        """
        found, length = None, 0
        for entry in self._entries:
            common = common_prefix(entry.tokens, tokens, limit)
            if common > length and not (whole and common < len(entry.tokens)):
                found, length = entry, common
        return found, length

    def touch(self, entry: Stored) -> None:
        """Mark as used just now; an entry pushed out meanwhile stays out."""
        if entry in self._entries:
            self._entries.remove(entry)
            self._entries.append(entry)

    def drop(self, entry: Stored) -> None:
        if entry in self._entries:
            self._entries.remove(entry)
            self.used_bytes -= len(entry.blob)

    def add(self, tokens: array[int], blob: bytes) -> None:
        """Keep a copy; entries that are a prefix of the new one are redundant and go."""
        if len(blob) > self.limit_bytes:
            return
        for entry in list(self._entries):
            if common_prefix(entry.tokens, tokens, len(entry.tokens)) == len(entry.tokens):
                self.drop(entry)
        self._entries.append(Stored(array("i", tokens), blob))
        self.used_bytes += len(blob)
        while self.used_bytes > self.limit_bytes:
            self.drop(self._entries[0])

    def covers(self, tokens: array[int]) -> bool:
        return any(
            common_prefix(entry.tokens, tokens, len(tokens)) == len(tokens)
            for entry in self._entries
        )


class PrefixCache:
    """The slots, what each holds, and the store behind them."""

    def __init__(self, kv: KV, store_bytes: int) -> None:
        self._kv = kv
        self.slots = [Slot(i) for i in range(kv.n_slots)]
        self.store = HostStore(store_bytes)
        self.counters = Counters()
        self._clock = 0
        # A copy between streams moves a whole stream's buffer, so it must save enough.
        self.min_gain = 1 if kv.unified else max(16, kv.n_ctx // 64)

    def has_idle(self) -> bool:
        return any(not slot.busy for slot in self.slots)

    def best_now(self, tokens: array[int]) -> int:
        """Length of the longest prefix that could be had at this moment."""
        limit = len(tokens) - 1
        in_slots = max(self._usable(slot, tokens, limit) for slot in self.slots)
        return max(in_slots, self._stored(tokens, limit)[1])

    def place(self, tokens: array[int], *, reuse: bool = True, share: bool = False) -> Slot | None:
        """Give a slot to a sequence; its ``tokens`` are then the reused prefix.

        ``share``: copy even what would be cheaper to compute. None when every slot is busy.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        min_gain = 1 if share else self.min_gain
        slot = self._take(idle, tokens, len(tokens) - 1 if reuse else 0, min_gain)
        slot.busy = True
        return slot

    def release(self, slot: Slot) -> None:
        """The sequence has ended; its KV stays for whoever comes with the same prefix."""
        self._clock += 1
        slot.busy = False
        slot.last_used = self._clock

    def preempt(self, slot: Slot) -> None:
        """Take the slot from a running sequence, saving its KV to be resumed from."""
        self._spill(slot)
        self._cut(slot, 0)
        self.release(slot)

    def evict_idle(self) -> bool:
        """Free the device cache of the least recently used idle slot; False if none has any."""
        idle = [slot for slot in self.slots if not slot.busy and slot.tokens]
        if not idle:
            return False
        victim = min(idle, key=lambda slot: slot.last_used)
        self._spill(victim)
        self._cut(victim, 0)
        return True

    def clear(self) -> None:
        """Forget every idle slot and the store."""
        for slot in self.slots:
            if not slot.busy:
                self._cut(slot, 0)
        self.store = HostStore(self.store.limit_bytes)

    def _take(self, idle: list[Slot], tokens: array[int], limit: int, min_gain: int) -> Slot:
        reach = {slot.id: self._usable(slot, tokens, limit) for slot in self.slots}
        best = max(self.slots, key=lambda slot: (reach[slot.id], not slot.busy))
        entry, stored = self._stored(tokens, limit)
        here = max(idle, key=lambda slot: (reach[slot.id], -len(slot.tokens), -slot.id))
        available = max(reach[best.id], stored)
        lost = len(here.tokens) - reach[here.id]
        continues = lost <= max(reach[here.id], MIN_SPILL_TOKENS)
        alone = {slot.id: -self._busy_beside(slot) for slot in idle}
        fits = reach[here.id] >= MIN_PLACE_TOKENS or alone[here.id] == min(alone.values())
        if reach[here.id] and fits and continues and available - reach[here.id] < min_gain:
            self._cut(here, reach[here.id])
            return here
        target = min(
            idle, key=lambda slot: (alone[slot.id], bool(slot.tokens), slot.last_used, slot.id)
        )
        gain = available - reach[target.id]
        if gain < min_gain:
            self._spill(target, keep=reach[target.id])
            self._cut(target, reach[target.id])
        elif entry is None or reach[best.id] >= stored:
            self._spill(target)
            self._copy(best, target, reach[best.id])
        else:
            self._spill(target)
            self._restore(entry, target, stored)
        return target

    def _busy_beside(self, slot: Slot) -> int:
        """How many of its two neighbours are busy; of no matter in a unified cache."""
        if self._kv.unified:
            return 0
        beside = self.slots[max(slot.id - 1, 0) : slot.id + 2]
        return sum(other.busy for other in beside if other is not slot)

    def _stored(self, tokens: array[int], limit: int) -> tuple[Stored | None, int]:
        return self.store.best(tokens, limit, whole=not self._kv.can_trim)

    def _usable(self, slot: Slot, tokens: array[int], limit: int) -> int:
        common = common_prefix(slot.tokens, tokens, limit)
        if not self._kv.can_trim and common < len(slot.tokens):
            return 0
        return common

    def _cut(self, slot: Slot, length: int) -> None:
        if length == len(slot.tokens):
            return
        if not self._kv.trim(slot.id, length):
            self._kv.trim(slot.id, 0)
            length = 0
        del slot.tokens[length:]

    def _copy(self, source: Slot, target: Slot, length: int) -> None:
        self._cut(target, 0)
        self._kv.copy(source.id, target.id, length)
        target.tokens = source.tokens[:length]
        self.counters.copies += 1

    def _restore(self, entry: Stored, target: Slot, length: int) -> None:
        self._cut(target, 0)
        if not self._kv.restore(target.id, entry.blob):
            self.store.drop(entry)
            return
        self.store.touch(entry)
        target.tokens = array("i", entry.tokens)
        self.counters.restores += 1
        if length == len(entry.tokens):
            self.store.drop(entry)
        self._cut(target, length)

    def _spill(self, slot: Slot, keep: int = 0) -> None:
        """Save what a slot is about to lose, unless it is short or held elsewhere."""
        if len(slot.tokens) - keep < MIN_SPILL_TOKENS or not self.store.limit_bytes:
            return
        elsewhere = any(
            other is not slot
            and common_prefix(other.tokens, slot.tokens, len(slot.tokens)) == len(slot.tokens)
            for other in self.slots
        )
        if elsewhere or self.store.covers(slot.tokens):
            return
        self.store.add(slot.tokens, self._kv.save(slot.id))
        self.counters.spills += 1
