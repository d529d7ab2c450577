"""Who plays in the demo: engines as they could be, and what befalls them."""

from __future__ import annotations

from dataclasses import dataclass

GB = 10**9


@dataclass(frozen=True, slots=True)
class Role:
    """An engine: what it is, and how much is asked of it."""

    id: str
    architecture: str
    quant: str
    n_params: int
    size_bytes: int
    parallel: int
    n_ctx: int
    prefill_per_s: float
    decode_per_s: float
    """Of one answer alone; several share it less than evenly."""
    asked_per_s: float
    """Requests, on average."""
    gpu: int
    pinned: bool = False
    awake: bool = True
    """Loaded when the demo begins."""


CAST = (
    Role("qwen3-8b", "qwen3", "Q4_K - Medium", 8_190_000_000, int(5.03 * GB), 8, 16_384,
         2600, 92, 0.55, 0, pinned=True),
    Role("llama-3.1-70b", "llama", "Q4_K - Small", 70_600_000_000, int(40.3 * GB), 4, 8_192,
         420, 19, 0.06, 1),
    Role("gemma-3-4b-it", "gemma3", "Q8_0", 3_880_000_000, int(4.13 * GB), 4, 8_192,
         4100, 128, 0.30, 0),
    Role("qwen2.5-coder-14b", "qwen2", "Q5_K - Medium", 14_770_000_000, int(10.5 * GB), 4, 32_768,
         1300, 54, 0.12, 0, awake=False),
    Role("nomic-embed-v2", "nomic-bert-moe", "F16", 475_000_000, int(0.96 * GB), 2, 512,
         16_000, 1, 0.0, 1),
)  # fmt: skip

CLIENTS = (
    ("ana", "10.0.4.12"), ("", "127.0.0.1"), ("ci-bot", "10.0.4.80"), ("raj", "10.0.7.31"),
    ("", "192.168.1.20"), ("notebook", "10.0.4.55"), ("mei", "10.0.9.2"),
)  # fmt: skip

PERIOD_S = 180.0
"""After which the plot begins again."""
PLOT: tuple[tuple[float, str, str], ...] = (
    (12.0, "load", "qwen2.5-coder-14b"),
    (70.0, "crash", "gemma-3-4b-it"),
    (74.0, "load", "gemma-3-4b-it"),
    (118.0, "evict", "qwen2.5-coder-14b"),
    (140.0, "burst", "qwen3-8b"),
)
STAGES = (("memory", 0.6), ("weights", 5.0), ("context", 1.2))
"""What a load goes through, and for how long, in seconds."""


def crowd(n: int) -> tuple[Role, ...]:
    """``n`` engines: the cast, then more of their kind."""
    roles = list(CAST[:n])
    while len(roles) < n:
        model = CAST[len(roles) % 3]
        roles.append(
            Role(
                f"{model.id}-{len(roles):02d}",
                model.architecture,
                model.quant,
                model.n_params,
                model.size_bytes,
                model.parallel,
                model.n_ctx,
                model.prefill_per_s,
                model.decode_per_s,
                model.asked_per_s,
                len(roles) % 2,
                awake=len(roles) % 4 != 3,
            )
        )
    return tuple(roles)
