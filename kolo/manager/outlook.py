"""What a load would come to, told before it is tried."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from kolo.manager.budget import Pools, Use
from kolo.manager.memory import Estimate
from kolo.types import LoadParams


class Held(Struct, frozen=True, kw_only=True):
    """An engine that holds memory now."""

    id: str
    use: Use
    """``idle`` ones may be unloaded to make room; ``busy`` not now, ``pinned`` never."""
    pools: Pools
    """Bytes by pool."""


class Outlook(Struct, kw_only=True):
    """Would it fit? Pools are ``host`` and the ids of GPUs, amounts are bytes."""

    id: str
    verdict: Literal["go", "wait", "never"] = "never"
    """``go``: it fits, once the engines of ``evict`` are unloaded. ``wait``: once busy engines
    have become idle. ``never``: not in this memory, or not beside what is pinned."""
    evict: list[str] = []
    need: Pools = {}
    """Empty where it is more than there could ever be; ``message`` has the numbers then."""
    estimate: Estimate | None = None
    """Of the host's part, by what takes it."""
    budget: Pools = {}
    """What all engines may hold together."""
    free: Pools = {}
    """Of that, what nobody holds."""
    held: list[Held] = []
    params: LoadParams
    """What it would be loaded with, those left open decided as far as they are before a load."""
    message: str = ""
    """Why it does not fit now; empty if it does."""
    hint: str = ""
