"""What an engine counts: its slots and itself, as of now and since its load."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class SlotStats(Struct, frozen=True, kw_only=True):
    """One sequence of the context. ``state`` is idle, prefill or decode."""

    id: int
    state: Literal["idle", "prefill", "decode"]
    request: int | None = None
    cached_tokens: int = 0
    """Tokens whose KV the slot holds."""
    prompt_tokens: int = 0
    prompt_done: int = 0
    prompt_cached: int = 0
    generated_tokens: int = 0
    left_tokens: int = 0
    """The most that may still be written, which the context bounds too."""
    has_new_line: bool = False
    """There is a line break in what was written."""


class EngineStats(Struct, frozen=True, kw_only=True, tag="stats"):
    """Counters since load and the state now."""

    slots: list[SlotStats] = []
    waiting: int = 0
    running: int = 0
    n_ctx: int = 0
    steps: int = 0
    decode_calls: int = 0
    prefill_tokens: int = 0
    """Prompt tokens really computed."""
    cached_tokens: int = 0
    """Prompt tokens taken from a cache instead."""
    generated_tokens: int = 0
    padding_rows: int = 0
    copies: int = 0
    spills: int = 0
    restores: int = 0
    preemptions: int = 0
    draft_tokens: int = 0
    draft_accepted: int = 0
    store_bytes: int = 0
    store_entries: int = 0
    saved_bytes: int = 0
    """Of prefixes on disk that may be taken back."""
    saved_entries: int = 0
    python_us: float = 0.0
    """Time of all steps outside the backend's own calls."""
    backend_us: float = 0.0
