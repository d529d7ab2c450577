"""The last thing an engine does: save what it has cached."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kolo import wire
from kolo.engine.prefix import PrefixCache

SHARE_OF_FREE = 2
"""At most one in so many of the bytes that the disk has free is taken."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """Asked for by a Stop; ``deadline_s`` is of time.monotonic."""

    deadline_s: float
    max_bytes: int

    @classmethod
    def of(cls, stop: wire.Stop) -> Farewell:
        return cls(time.monotonic() + stop.save_ms / 1000, stop.max_bytes)

    def save(self, cache: PrefixCache) -> list[wire.Note]:
        """Do it; what the operator should know of it. Never raises."""
        if cache.saved is None:
            return []
        began_s = time.monotonic()
        max_bytes = min(self.max_bytes, cache.saved.free_bytes() // SHARE_OF_FREE)
        kept = cache.save_all(self.deadline_s, max_bytes)
        notes = []
        if kept.n:
            took_s = time.monotonic() - began_s
            size = f"{kept.n_bytes / 2**20:.1f} MiB"
            text = f"cached prefixes saved: {kept.n}, {size}, in {took_s:.1f} s"
            notes.append(wire.Note("info", text))
        if kept.left_out:
            why = cache.saved.problem or "there was no room or no time for them"
            text = f"cached prefixes not saved: {kept.left_out}: {why}"
            notes.append(wire.Note("warning", text))
        return notes
