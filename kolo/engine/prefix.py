"""Prefix reuse: which slot a new sequence gets, and whose KV it starts from.

Every slot remembers the tokens whose KV it holds, also after its request has ended. A new
sequence takes over the longest prefix found in any slot, running ones included, or in the
host store, where KV goes when its slot is given away, or saved on disk from before the model
was last unloaded. The rules, in order:

1. An idle slot whose cached tokens mostly continue into the new prompt is taken in place.
2. Otherwise the sequence gets a slot beside those that are busy, since llama.cpp computes slots
   that lie apart one after the other; of those an empty one, else the least recently used (its
   KV is saved to the host store first). The prefix is copied or restored into it when that saves
   more than it costs.
3. At least one token is always left to compute, since its logits are needed.

Reuse is exact: only equal tokens at equal positions count.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from kolo.engine.backend import KV
from kolo.engine.saved import SavedPrefix, SavedPrefixes

MIN_SPILL_TOKENS = 64
"""Shorter caches are cheaper to compute again than to keep."""
READ_MS_PER_BYTE = 1e-6
"""To read a state that the system has in memory, to verify it and to hand it over: 1 GB/s."""
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
    blob: bytes | bytearray


@dataclass(slots=True)
class Counters:
    copies: int = 0
    spills: int = 0
    restores: int = 0


@dataclass(slots=True)
class Kept:
    """What came of saving."""

    n: int = 0
    n_bytes: int = 0
    left_out: int = 0
    """Sequences that found no room or no time."""


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

    @property
    def entries(self) -> list[Stored]:
        """Least recently used first."""
        return list(self._entries)

    def touch(self, entry: Stored) -> None:
        """Mark as used just now; an entry pushed out meanwhile stays out."""
        if entry in self._entries:
            self._entries.remove(entry)
            self._entries.append(entry)

    def drop(self, entry: Stored) -> None:
        if entry in self._entries:
            self._entries.remove(entry)
            self.used_bytes -= len(entry.blob)

    def add(self, tokens: array[int], blob: bytes | bytearray) -> None:
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

    def has_room(self, n_tokens: int) -> bool:
        """Whether so many tokens could be kept, going by what the last ones took."""
        if not self._entries or not self.limit_bytes:
            return bool(self.limit_bytes)
        last = self._entries[-1]
        return n_tokens * len(last.blob) <= self.limit_bytes * len(last.tokens)

    def covers(self, tokens: array[int]) -> bool:
        return any(
            common_prefix(entry.tokens, tokens, len(tokens)) == len(tokens)
            for entry in self._entries
        )


class PrefixCache:
    """The slots, what each holds, the store behind them, and what is on disk."""

    def __init__(
        self,
        kv: KV,
        store_bytes: int,
        saved: SavedPrefixes | None = None,
        token_ms: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """``token_ms`` tells what a token takes to compute, which says when the disk is slower."""
        self._kv = kv
        self.saved = saved
        self._token_ms = token_ms
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

    def save_all(self, deadline_s: float, max_bytes: int) -> Kept:
        """Write to disk what is cached, the last used first, as much as ``max_bytes`` hold and
        can be written before ``deadline_s`` (time.monotonic). What is there already stays."""
        kept, done = Kept(), list[SavedPrefix]()
        saved = self.saved
        if saved is None:
            return kept
        busy_first = sorted(self.slots, key=lambda slot: (not slot.busy, -slot.last_used))
        parked: list[Slot | Stored] = [*busy_first, *reversed(self.store.entries)]
        for holder in parked:
            if len(holder.tokens) < MIN_SPILL_TOKENS:
                continue
            if there := saved.find(holder.tokens):
                done.append(there)
                continue
            if time.monotonic() > deadline_s:
                kept.left_out += 1
                continue
            state = holder.blob if isinstance(holder, Stored) else self._kv.save(holder.id)
            if kept.n_bytes + len(state) > max_bytes or not saved.keep(
                holder.tokens, state, deadline_s
            ):
                kept.left_out += 1
                continue
            done.append(saved.entries[-1])
            kept.n += 1
            kept.n_bytes += len(state)
        now_ns = time.time_ns()
        for rank, entry in enumerate(reversed(done)):
            saved.touch(entry, now_ns + rank)
        return kept

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

    def _stored(self, tokens: array[int], limit: int) -> tuple[Stored | SavedPrefix | None, int]:
        """What is parked with the longest usable prefix, and its length; (None, 0) without one.
        Of equally long ones the store's, which is quicker to have than the disk's."""
        found: Stored | SavedPrefix | None = None
        length = 0
        for entry in (*self.store.entries, *(self.saved.entries if self.saved else ())):
            common = common_prefix(entry.tokens, tokens, limit)
            if common > length and (self._kv.can_trim or common == len(entry.tokens)):
                if isinstance(entry, SavedPrefix) and not self._pays(entry, common):
                    continue
                found, length = entry, common
        return found, length

    def _pays(self, entry: SavedPrefix, length: int) -> bool:
        """Whether reading it all takes less time than computing so many tokens."""
        return entry.n_bytes * READ_MS_PER_BYTE < length * self._token_ms()

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

    def _restore(self, entry: Stored | SavedPrefix, target: Slot, length: int) -> None:
        self._cut(target, 0)
        if not self._fill(target, entry):
            return
        target.tokens = array("i", entry.tokens)
        self.counters.restores += 1
        if isinstance(entry, Stored):
            self.store.touch(entry)
            if length == len(entry.tokens):
                self.store.drop(entry)
        self._cut(target, length)

    def _fill(self, target: Slot, entry: Stored | SavedPrefix) -> bool:
        """Give the slot what is parked; what does not fit is not tried again."""
        if isinstance(entry, Stored):
            if self._kv.restore(target.id, entry.blob, len(entry.tokens)):
                return True
            self.store.drop(entry)
            return False
        assert self.saved is not None
        state = self.saved.read(entry)
        if state is None:
            return False
        if self._kv.restore(target.id, state, len(entry.tokens)):
            return True
        self.saved.drop(entry)
        return False

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


def free_share() -> int:
    """Bound of the prefix store when nobody sets one: a tenth of what is free at load, at most
    2 GiB."""
    return min(psutil.virtual_memory().available // 10, 2 << 30)
