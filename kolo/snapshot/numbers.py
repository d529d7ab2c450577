"""What a snapshot says of requests in numbers: sums, windows, distributions."""

from __future__ import annotations

from msgspec import Struct


class Summary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A distribution of ``n`` values. Percentiles are within 1 % of a value that was measured.
    Empty, ``{}``, when there is none."""

    n: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Window(Struct, frozen=True, kw_only=True):
    """What happened in the last ``span_s`` seconds.

    Rates divide by ``covered_s``, which is less than the span while the server is younger, and
    up to a second more otherwise: whole seconds leave the window.
    """

    span_s: float
    covered_s: float = 0.0
    done: int = 0
    """Requests that ended well in it; those that ended otherwise follow."""
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    """Turned away: the queue was full."""
    prompt_tokens: int = 0
    """Of the requests that ended in it, cached ones included."""
    cached_tokens: int = 0
    output_tokens: int = 0
    """Emitted in it, whether or not their request has ended."""
    requests_per_s: float | None = None
    """Requests ended, in whatever way, per second."""
    output_tokens_per_s: float | None = None
    """``output_tokens`` per second, all requests together."""
    prompt_tokens_per_s: float | None = None
    """Prompt tokens really computed, per second, all requests together."""
    prefill_tokens_per_s: float | None = None
    """How quickly a prompt is read: tokens computed over the time of their prefill."""
    decode_tokens_per_s: float | None = None
    """How quickly one answer is written: the inverse of the mean ITL."""
    cached_share: float | None = None
    """Of the prompt tokens, those taken from a cache."""
    draft_tokens: int = 0
    draft_accepted_share: float | None = None
    """Of the tokens drafted by speculation, those that held."""
    queue_ms: Summary = Summary()
    """Submit to the start of prefill, of requests that ended in it."""
    prefill_ms: Summary = Summary()
    """Start of prefill to the first token, likewise."""
    ttft_ms: Summary = Summary()
    """Submit to the arrival of the first token, of requests whose first token came in it."""
    itl_ms: Summary = Summary()
    """Time per token after the first, one value per token. Tokens that come together (several
    accepted drafts, text held back) share the time since the one before evenly, so that the
    values of an answer sum up to the time from its first token to its last."""
    e2e_ms: Summary = Summary()
    """Submit to end, of requests that ended well in it."""


class Windows(Struct, frozen=True, kw_only=True):
    last_5s: Window = Window(span_s=5)
    last_1m: Window = Window(span_s=60)
    last_15m: Window = Window(span_s=900)


class Totals(Struct, frozen=True, kw_only=True):
    """Counted since the server started."""

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    draft_tokens: int = 0
    draft_accepted: int = 0
    loads: int = 0
    failed_loads: int = 0
    unloads: int = 0
    """Without crashes."""
    crashes: int = 0
