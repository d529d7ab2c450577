"""The line after an answer: ``412 tok · 48.1 tok/s · ttft 210 ms · cached 1.1k``."""

from __future__ import annotations

from kolo.types import Generated


def stats_line(result: Generated) -> str:
    """How many tokens, how fast, how soon, and how much of the prompt was already there.

    The rate is of decoding alone, (n - 1) tokens in the time from the first to the last, and
    is left out when there was no second one.
    """
    usage, timings = result.usage, result.timings
    parts = [f"{usage.completion_tokens} tok"]
    if usage.completion_tokens > 1 and timings.decode_ms > 0:
        parts.append(f"{(usage.completion_tokens - 1) / timings.decode_ms * 1000:.1f} tok/s")
    parts.append(f"ttft {duration(timings.ttft_ms)}")
    if usage.cached_tokens:
        parts.append(f"cached {short_count(usage.cached_tokens)}")
    return " · ".join(parts)


def duration(ms: float) -> str:
    """``0.8 ms``, ``210 ms``, ``3.4 s``."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{ms / 1000:.1f} s"


def short_count(count: int) -> str:
    """``999``, ``1.1k``, ``12k``, ``1.2M``."""
    for limit, unit in ((999_500, "M"), (1_000, "k")):
        if count >= limit:
            scaled = count / (1_000_000 if unit == "M" else 1_000)
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return str(count)
