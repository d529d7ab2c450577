"""An outlook as a person reads it, in a few lines."""

from __future__ import annotations

from kolo.bench.outlook import USER_CTX, Outlook
from kolo.manager.machine import Machine
from kolo.manager.memory import human

_READING_SPEED = 10.0
"""Tokens per second that nobody waits for: faster than most people read."""


def lines(outlook: Outlook, machine: Machine) -> list[str]:
    """What the machine would do, what it holds, and on what the numbers stand; each line short
    enough for a terminal of 80 columns."""
    name = f"{outlook.name}:{outlook.quant.lower()}"
    users = outlook.users_that_fit(machine.available_bytes)
    return [
        f"{name} · {_count(outlook.n_params)} weights, {_size(outlook.size_bytes)} to download",
        f"{outlook.cpu}, {outlook.threads} threads{_gpu(outlook)}, llama.cpp {outlook.llama_cpp}",
        "",
        *_table(
            ("prompt tokens", [f"{row.n_tokens:,}" for row in outlook.reading]),
            ("first token", [_duration(row.ttft_ms) for row in outlook.reading]),
        ),
        "",
        *_table(
            ("users", [str(row.users) for row in outlook.writing]),
            ("tok/s each", [_rate(row.each_per_s) for row in outlook.writing]),
            ("tok/s in all", [_rate(row.tokens_per_s) for row in outlook.writing]),
        ),
        _comfort(outlook),
        "",
        f"{human(outlook.weights_bytes)} of weights, {_size(outlook.kv_bytes_per_token)} of KV "
        "cache a token",
        f"{_users(users)} of {USER_CTX:,} tokens fit in the {human(machine.available_bytes)} that "
        "are free",
        "",
        "measured in the engine with random weights of this shape; HTTP comes on top",
    ]


def short(outlook: Outlook) -> str:
    """One line to quote beside a model: ``about 5.2 tok/s, first token of 512 tokens in 3 s``."""
    one = next((row for row in outlook.writing if row.users == 1), None)
    prompt = next((row for row in outlook.reading if row.n_tokens == 512), None)
    parts = [f"about {_rate(one.tokens_per_s)} tok/s"] if one else []
    if prompt:
        parts.append(f"first token of a 512-token prompt after {_duration(prompt.ttft_ms)}")
    return ", ".join(parts) + " on this machine"


def _table(*rows: tuple[str, list[str]]) -> list[str]:
    return [f"{name:<14}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows]


def _comfort(outlook: Outlook) -> str:
    users = outlook.users_at(_READING_SPEED)
    if users:
        return f"{_users(users)} at once: {_READING_SPEED:g} tok/s or more each"
    return f"not even one user gets {_READING_SPEED:g} tok/s"


def _gpu(outlook: Outlook) -> str:
    return f", {outlook.gpu_layers} layers on the GPU" if outlook.gpu_layers else ""


def _users(n: int) -> str:
    return "1 user" if n == 1 else f"{n} users"


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:.1f}" if tokens_per_s < 100 else f"{tokens_per_s:.0f}"


def _duration(ms: float) -> str:
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms / 60_000:.1f} min"


def _count(n: int) -> str:
    return f"{n / 1e9:.1f} B" if n >= 1e9 else f"{n / 1e6:.0f} M"


def _size(n_bytes: int) -> str:
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= limit:
            amount = n_bytes / limit
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{n_bytes} B"
