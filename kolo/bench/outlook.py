"""What a machine would do with a model: the numbers of ``kolo bench --shape``."""

from __future__ import annotations

from msgspec import Struct

from kolo.bench.dimensions import Dimensions
from kolo.types import LoadParams

DEPTH = 128
"""Tokens that a sequence holds when it is timed."""
USER_CTX = 4096
"""Tokens for each user, where it is said how many fit."""


class Reading(Struct, frozen=True):
    """A prompt of ``n_tokens`` that nothing is cached of, with nobody else there."""

    n_tokens: int
    ttft_ms: float
    tokens_per_s: float


class Writing(Struct, frozen=True):
    """``users`` answers at once, each after ``DEPTH`` tokens."""

    users: int
    tokens_per_s: float
    """All together."""

    @property
    def each_per_s(self) -> float:
        return self.tokens_per_s / self.users


class Outlook(Struct, frozen=True, kw_only=True):
    """Speed and memory of a shape on a machine. Medians over repetitions."""

    name: str
    quant: str
    dimensions: Dimensions
    n_params: int
    size_bytes: int
    when: float
    """Unix time in seconds."""
    cpu: str
    cores: int
    devices: list[str]
    memory_bytes: int
    llama_cpp: str
    """Version of the binding, which is built with one commit of llama.cpp."""
    settings: LoadParams
    threads: int
    gpu_layers: int
    reading: list[Reading]
    writing: list[Writing]
    weights_bytes: int
    resident_bytes: int
    """Most that the worker was seen to take."""
    kv_bytes_per_token: int
    fixed_bytes: int
    """What a loaded model takes without any KV cache, as it is estimated."""

    def users_that_fit(self, free_bytes: int, ctx: int = USER_CTX) -> int:
        """Users of ``ctx`` tokens that ``free_bytes`` have room for, beside the weights."""
        return max(0, (free_bytes - self.fixed_bytes) // (self.kv_bytes_per_token * ctx))

    def users_at(self, each_per_s: float) -> int:
        """Most users that were measured to get so many tokens per second each; 0 if not even
        one does."""
        return max((row.users for row in self.writing if row.each_per_s >= each_per_s), default=0)
