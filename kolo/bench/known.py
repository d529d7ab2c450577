"""Dimensions of well-known models, from their published configurations (``config.json``).

A test holds the weights each of them comes to against the published number.
"""

from __future__ import annotations

from typing import Any

from kolo.bench.dimensions import Architecture, Dimensions


def _family(
    arch: Architecture, common: dict[str, Any], sizes: dict[str, dict[str, Any]]
) -> dict[str, Dimensions]:
    return {name: Dimensions(arch=arch, **{**common, **size}) for name, size in sizes.items()}


def _sizes(
    layers: int, embd: int, heads: int, kv_heads: int, ff: int, **more: Any
) -> dict[str, Any]:
    return {
        "layers": layers, "embd": embd, "heads": heads, "kv_heads": kv_heads, "ff": ff, **more
    }  # fmt: skip


_LLAMA3 = {"vocab": 128256, "ctx_train": 131072, "rope_base": 500000.0, "rope_factors": True}
_LLAMA = _family(
    "llama",
    _LLAMA3,
    {
        "llama-3.2-1b": _sizes(16, 2048, 32, 8, 8192, tied=True),
        "llama-3.2-3b": _sizes(28, 3072, 24, 8, 8192, tied=True),
        "llama-3.1-8b": _sizes(32, 4096, 32, 8, 14336),
        "llama-3.1-70b": _sizes(80, 8192, 64, 8, 28672),
        "llama-3.3-70b": _sizes(80, 8192, 64, 8, 28672),
        "llama-3.1-405b": _sizes(126, 16384, 128, 8, 53248),
        "deepseek-r1-distill-llama-8b": _sizes(32, 4096, 32, 8, 14336),
        "deepseek-r1-distill-llama-70b": _sizes(80, 8192, 64, 8, 28672),
    },
)

_SMALL_VOCAB, _LARGE_VOCAB = 151936, 152064
_QWEN25 = _family(
    "qwen2",
    {"vocab": _LARGE_VOCAB, "rope_base": 1e6},
    {
        "qwen2.5-0.5b": _sizes(24, 896, 14, 2, 4864, vocab=_SMALL_VOCAB, tied=True),
        "qwen2.5-1.5b": _sizes(28, 1536, 12, 2, 8960, vocab=_SMALL_VOCAB, tied=True),
        "qwen2.5-3b": _sizes(36, 2048, 16, 2, 11008, vocab=_SMALL_VOCAB, tied=True),
        "qwen2.5-7b": _sizes(28, 3584, 28, 4, 18944),
        "qwen2.5-14b": _sizes(48, 5120, 40, 8, 13824),
        "qwen2.5-32b": _sizes(64, 5120, 40, 8, 27648),
        "qwen2.5-72b": _sizes(80, 8192, 64, 8, 29568),
        "deepseek-r1-distill-qwen-1.5b": _sizes(28, 1536, 12, 2, 8960, vocab=_SMALL_VOCAB),
        "deepseek-r1-distill-qwen-7b": _sizes(28, 3584, 28, 4, 18944),
        "deepseek-r1-distill-qwen-14b": _sizes(48, 5120, 40, 8, 13824),
        "deepseek-r1-distill-qwen-32b": _sizes(64, 5120, 40, 8, 27648),
    },
)

_QWEN3_COMMON = {"vocab": _SMALL_VOCAB, "head_dim": 128, "ctx_train": 40960, "rope_base": 1e6}
_QWEN3 = _family(
    "qwen3",
    _QWEN3_COMMON,
    {
        "qwen3-0.6b": _sizes(28, 1024, 16, 8, 3072, tied=True),
        "qwen3-1.7b": _sizes(28, 2048, 16, 8, 6144, tied=True),
        "qwen3-4b": _sizes(36, 2560, 32, 8, 9728, tied=True),
        "qwen3-8b": _sizes(36, 4096, 32, 8, 12288),
        "qwen3-14b": _sizes(40, 5120, 40, 8, 17408),
        "qwen3-32b": _sizes(64, 5120, 64, 8, 25600),
    },
)
_QWEN3_MOE = _family(
    "qwen3moe",
    {**_QWEN3_COMMON, "experts": 128, "experts_used": 8},
    {
        "qwen3-30b-a3b": _sizes(48, 2048, 32, 4, 6144, expert_ff=768),
        "qwen3-235b-a22b": _sizes(94, 4096, 64, 4, 12288, expert_ff=1536),
    },
)

_GEMMA2 = _family(
    "gemma2",
    {"vocab": 256000, "head_dim": 256, "ctx_train": 8192, "window": 4096, "tied": True},
    {
        "gemma-2-2b": _sizes(26, 2304, 8, 4, 9216),
        "gemma-2-9b": _sizes(42, 3584, 16, 8, 14336),
        "gemma-2-27b": _sizes(46, 4608, 32, 16, 36864, head_dim=128),
    },
)
_GEMMA3 = _family(
    "gemma3",
    {
        "vocab": 262144, "head_dim": 256, "ctx_train": 131072, "rope_base": 1e6,
        "window": 1024, "tied": True,
    },
    {
        "gemma-3-270m": _sizes(18, 640, 4, 1, 2048, window=512, ctx_train=32768),
        "gemma-3-1b": _sizes(26, 1152, 4, 1, 6912, window=512, ctx_train=32768),
        "gemma-3-4b": _sizes(34, 2560, 8, 4, 10240, vocab=262208),
        "gemma-3-12b": _sizes(48, 3840, 16, 8, 15360, vocab=262208),
        "gemma-3-27b": _sizes(62, 5376, 32, 16, 21504, vocab=262208, head_dim=128),
    },
)  # fmt: skip

_PHI = _family(
    "phi3",
    {"ctx_train": 16384},
    {
        "phi-3-mini": _sizes(32, 3072, 32, 32, 8192, vocab=32064, ctx_train=4096),
        "phi-3.5-mini": _sizes(
            32, 3072, 32, 32, 8192, vocab=32064, ctx_train=131072, rope_factors=True
        ),
        "phi-3-medium": _sizes(40, 5120, 40, 10, 17920, vocab=32064, ctx_train=4096),
        "phi-4": _sizes(40, 5120, 40, 10, 17920, vocab=100352, rope_base=250000.0),
        "phi-4-mini": _sizes(
            32, 3072, 24, 8, 8192, vocab=200064, ctx_train=131072, tied=True, rope_dim=96,
            rope_factors=True,
        ),
    },
)  # fmt: skip

_MISTRAL = _family(
    "llama",
    {"vocab": 32768, "rope_base": 1e6},
    {
        "mistral-7b": _sizes(32, 4096, 32, 8, 14336),
        "mistral-nemo-12b": _sizes(
            40, 5120, 32, 8, 14336, vocab=131072, head_dim=128, ctx_train=131072
        ),
        "mistral-small-24b": _sizes(
            40, 5120, 32, 8, 32768, vocab=131072, head_dim=128, rope_base=1e8
        ),
        "ministral-8b": _sizes(36, 4096, 32, 8, 12288, vocab=131072, head_dim=128, rope_base=1e8),
        "mixtral-8x7b": _sizes(32, 4096, 32, 8, 14336, vocab=32000, experts=8, experts_used=2),
        "mixtral-8x22b": _sizes(
            56, 6144, 48, 8, 16384, experts=8, experts_used=2, ctx_train=65536
        ),
    },
)  # fmt: skip

_SMOLLM = _family(
    "llama",
    {"vocab": 49152, "ctx_train": 8192, "rope_base": 100000.0, "tied": True},
    {
        "smollm2-135m": _sizes(30, 576, 9, 3, 1536),
        "smollm2-360m": _sizes(32, 960, 15, 5, 2560),
        "smollm2-1.7b": _sizes(24, 2048, 32, 32, 8192),
    },
) | _family(
    "smollm3",
    {"vocab": 128256, "ctx_train": 65536, "rope_base": 5e6, "tied": True},
    {"smollm3-3b": _sizes(36, 2048, 16, 4, 11008)},
)

_GPT_OSS = _family(
    "gpt-oss",
    {
        "vocab": 201088, "head_dim": 64, "ctx_train": 131072, "rope_base": 150000.0,
        "window": 128, "experts_used": 4, "expert_ff": 2880,
    },
    {
        "gpt-oss-20b": _sizes(24, 2880, 64, 8, 2880, experts=32),
        "gpt-oss-120b": _sizes(36, 2880, 64, 8, 2880, experts=128),
    },
)  # fmt: skip

_GRANITE = _family(
    "granite",
    {"vocab": 49159, "ctx_train": 131072, "rope_base": 1e7, "tied": True},
    {
        "granite-3.3-2b": _sizes(40, 2048, 32, 8, 8192),
        "granite-3.3-8b": _sizes(40, 4096, 32, 8, 12800),
    },
)

_OTHERS = _family(
    "llama",
    {},
    {
        "tinyllama-1.1b": _sizes(22, 2048, 32, 4, 5632, vocab=32000, ctx_train=2048),
        "stories-15m": _sizes(6, 288, 6, 6, 768, vocab=32000, ctx_train=2048, tied=True),
    },
)

KNOWN: dict[str, Dimensions] = {
    **_LLAMA, **_QWEN25, **_QWEN3, **_QWEN3_MOE, **_GEMMA2, **_GEMMA3, **_PHI, **_MISTRAL,
    **_SMOLLM, **_GPT_OSS, **_GRANITE, **_OTHERS,
}  # fmt: skip
"""Name to dimensions."""
