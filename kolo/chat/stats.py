"""Numbers for people: the line after an answer, and how much of the context is taken."""

from __future__ import annotations

from kolo.types import Generated

BAR_CELLS = 8


def stats_line(result: Generated) -> str:
    """``412 tok · 48.1 tok/s · ttft 210 ms · prompt 1.2k @ 900 tok/s · cached 1.1k``.

    The rate is of decoding alone, (n - 1) tokens in the time from the first to the last, and
    is left out when there was no second one. That of the prompt is of the tokens that were
    computed, not of the cached ones, over ``prefill_ms``.
    """
    usage, timings = result.usage, result.timings
    parts = [f"{usage.completion_tokens} tok"]
    if usage.completion_tokens > 1 and timings.decode_ms > 0:
        parts.append(f"{rate(usage.completion_tokens - 1, timings.decode_ms)} tok/s")
    parts.append(f"ttft {duration(timings.ttft_ms)}")
    if usage.prompt_tokens:
        computed = usage.prompt_tokens - usage.cached_tokens
        speed = ""
        if computed > 1 and timings.prefill_ms > 0:
            speed = f" @ {rate(computed, timings.prefill_ms)} tok/s"
        parts.append(f"prompt {short_count(usage.prompt_tokens)}{speed}")
    if usage.cached_tokens:
        parts.append(f"cached {short_count(usage.cached_tokens)}")
    return " · ".join(parts)


def rate(n_tokens: int, ms: float) -> str:
    """Tokens a second: ``48.1``, ``912``, ``1.2k``."""
    per_s = n_tokens / ms * 1000
    return f"{per_s:.1f}" if per_s < 99.95 else short_count(round(per_s))


def context(used: int, n_ctx: int) -> str:
    """``1.2k/4.1k ▓▓░░░░░░ 29 %``; of what is not known yet, the context alone."""
    if not n_ctx:
        return ""
    if not used:
        return short_count(n_ctx)
    share = min(used / n_ctx, 1.0)
    full = round(share * BAR_CELLS)
    bar = "▓" * full + "░" * (BAR_CELLS - full)
    return f"{short_count(used)}/{short_count(n_ctx)} {bar} {share * 100:.0f} %"


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


def size_text(n_bytes: int) -> str:
    """``812 bytes``, ``3.2 kB``, ``4.1 GB``: powers of ten, as disks are sold."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.1f} {unit}"
    return f"{n_bytes} bytes"
