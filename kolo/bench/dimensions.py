"""The dimensions of a model, and the tensors and metadata llama.cpp wants of them.

They say nothing of weights: a model of the same dimensions and quantization costs the same to
run whatever it was trained on. The tensors follow llama.cpp's loaders (``src/models/*.cpp``).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

from msgspec import Struct

Architecture = Literal[
    "gemma2",
    "gemma3",
    "gpt-oss",
    "granite",
    "llama",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "smollm3",
]

Role = Literal["matrix", "embedding", "router", "ones", "zeros", "output_norm"]
"""What a tensor is for, which decides what is drawn for it. ``router`` stays in f32."""

_QKV_BIAS = frozenset({"qwen2", "gpt-oss"})
_QK_NORM = frozenset({"qwen3", "qwen3moe", "gemma3"})
_POST_NORMS = frozenset({"gemma2", "gemma3"})
_WINDOWED = frozenset({"gemma2", "gemma3", "gpt-oss"})


class Dimensions(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """In llama.cpp's terms; ``problem`` says whether they go together."""

    arch: Architecture
    layers: int
    embd: int
    heads: int
    kv_heads: int = 0
    """As many as ``heads`` if 0."""
    ff: int
    vocab: int
    head_dim: int = 0
    """``embd / heads`` if 0."""
    tied: bool = False
    """The output is computed with the embedding table; there is no second matrix."""
    ctx_train: int = 32768
    rope_base: float = 10000.0
    rope_dim: int = 0
    """Elements of a head that rotate; all if 0."""
    rope_factors: bool = False
    """A factor for each frequency, as Llama 3.1 has."""
    experts: int = 0
    experts_used: int = 0
    expert_ff: int = 0
    """Width of one expert; ``ff`` if 0."""
    window: int = 0
    """Tokens that a windowed layer looks back."""

    @property
    def n_head_kv(self) -> int:
        return self.kv_heads or self.heads

    @property
    def n_head_dim(self) -> int:
        return self.head_dim or self.embd // self.heads

    @property
    def n_expert_ff(self) -> int:
        return self.expert_ff or self.ff

    @property
    def n_params(self) -> int:
        """Weights, shared ones counted once."""
        return sum(prod(tensor.shape) for tensor in self.tensors())

    @property
    def n_active(self) -> int:
        """Weights that one token is multiplied with: of the experts only those used."""
        idle = 1 - self.experts_used / self.experts if self.experts else 0.0
        unused = sum(
            prod(tensor.shape) * idle for tensor in self.tensors() if "_exps." in tensor.name
        )
        return self.n_params - int(unused)

    def problem(self) -> str:
        """Why there can be no such model; empty if there can."""
        sizes = {"layers": self.layers, "embd": self.embd, "heads": self.heads, "ff": self.ff}
        for name, value in sizes.items():
            if value < 1:
                return f"{name} must be at least 1, found {value}"
        if self.vocab < 259:
            return f"vocab must be at least 259 (the bytes and three more), found {self.vocab}"
        if self.heads % self.n_head_kv:
            return f"heads {self.heads} cannot share kv_heads {self.n_head_kv} evenly"
        if not self.head_dim and self.embd % self.heads:
            return f"embd {self.embd} is not a multiple of heads {self.heads}: give head_dim"
        if self.n_head_dim % 2:
            return f"head_dim {self.n_head_dim} must be even"
        moe = self.arch in ("qwen3moe", "gpt-oss")
        if moe and not self.experts:
            return f"{self.arch} needs experts and experts_used"
        if self.experts and not (moe or self.arch == "llama"):
            return f"{self.arch} has no experts"
        if self.experts and not 0 < self.experts_used <= self.experts:
            return f"experts_used must be 1 to experts {self.experts}, found {self.experts_used}"
        if self.arch in ("qwen2", "phi3") and self.n_head_dim * self.heads != self.embd:
            return f"in {self.arch}, head_dim x heads must be embd"
        if self.arch == "gemma2" and not self.tied:
            return "gemma2 is always tied"
        if self.arch in _WINDOWED and not self.window:
            return f"{self.arch} needs window"
        return ""

    def tensors(self) -> Iterator[Tensor]:
        """All tensors, in the order of the file."""
        yield Tensor("token_embd.weight", (self.embd, self.vocab), "embedding")
        yield Tensor("output_norm.weight", (self.embd,), "output_norm")
        if not self.tied:
            yield Tensor("output.weight", (self.embd, self.vocab), "embedding")
        if self.rope_factors:
            yield from self._rope_factors()
        for layer in range(self.layers):
            for tensor in (*self._attention(), *self._feed_forward()):
                yield Tensor(f"blk.{layer}.{tensor.name}", tensor.shape, tensor.role)

    def metadata(self) -> dict[str, bool | int | float]:
        """What llama.cpp reads of the dimensions, the architecture's own keys included."""
        rotating = self.rope_dim or self.n_head_dim
        keys: dict[str, bool | int | float] = {
            "context_length": self.ctx_train,
            "embedding_length": self.embd,
            "block_count": self.layers,
            "feed_forward_length": self.ff,
            "vocab_size": self.vocab,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.n_head_kv,
            "attention.key_length": self.n_head_dim,
            "attention.value_length": self.n_head_dim,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.dimension_count": rotating,
            "rope.freq_base": self.rope_base,
        }
        if self.experts:
            keys["expert_count"] = self.experts
            keys["expert_used_count"] = self.experts_used
            keys["expert_feed_forward_length"] = self.n_expert_ff
        if self.window:
            keys["attention.sliding_window"] = self.window
        if self.arch == "gemma2":
            keys["attn_logit_softcapping"] = 50.0
            keys["final_logit_softcapping"] = 30.0
        if self.arch == "granite":
            keys["logit_scale"] = 1.0
        return {f"{self.arch}.{key}": value for key, value in keys.items()}

    def _rope_factors(self) -> Iterator[Tensor]:
        half = (self.rope_dim or self.n_head_dim) // 2
        if self.arch == "phi3":
            yield Tensor("rope_factors_long.weight", (half,), "ones")
            yield Tensor("rope_factors_short.weight", (half,), "ones")
        else:
            yield Tensor("rope_freqs.weight", (half,), "ones")

    def _attention(self) -> Iterator[Tensor]:
        query, kv = self.heads * self.n_head_dim, self.n_head_kv * self.n_head_dim
        yield Tensor("attn_norm.weight", (self.embd,), "ones")
        if self.arch == "phi3":
            yield Tensor("attn_qkv.weight", (self.embd, query + 2 * kv), "matrix")
        else:
            for name, width in (("q", query), ("k", kv), ("v", kv)):
                yield Tensor(f"attn_{name}.weight", (self.embd, width), "matrix")
                if self.arch in _QKV_BIAS:
                    yield Tensor(f"attn_{name}.bias", (width,), "zeros")
        yield Tensor("attn_output.weight", (query, self.embd), "matrix")
        if self.arch in _QK_NORM:
            yield Tensor("attn_q_norm.weight", (self.n_head_dim,), "ones")
            yield Tensor("attn_k_norm.weight", (self.n_head_dim,), "ones")
        if self.arch in _POST_NORMS or self.arch == "gpt-oss":
            yield Tensor("post_attention_norm.weight", (self.embd,), "ones")
        if self.arch == "gpt-oss":
            yield Tensor("attn_output.bias", (self.embd,), "zeros")
            yield Tensor("attn_sinks.weight", (self.heads,), "zeros")

    def _feed_forward(self) -> Iterator[Tensor]:
        if self.arch != "gpt-oss":
            yield Tensor("ffn_norm.weight", (self.embd,), "ones")
        if self.experts:
            yield from self._experts()
            return
        if self.arch == "phi3":
            yield Tensor("ffn_up.weight", (self.embd, 2 * self.ff), "matrix")
        else:
            yield Tensor("ffn_gate.weight", (self.embd, self.ff), "matrix")
            yield Tensor("ffn_up.weight", (self.embd, self.ff), "matrix")
        yield Tensor("ffn_down.weight", (self.ff, self.embd), "matrix")
        if self.arch in _POST_NORMS:
            yield Tensor("post_ffw_norm.weight", (self.embd,), "ones")

    def _experts(self) -> Iterator[Tensor]:
        n, width = self.experts, self.n_expert_ff
        yield Tensor("ffn_gate_inp.weight", (self.embd, n), "router")
        yield Tensor("ffn_gate_exps.weight", (self.embd, width, n), "matrix")
        yield Tensor("ffn_down_exps.weight", (width, self.embd, n), "matrix")
        yield Tensor("ffn_up_exps.weight", (self.embd, width, n), "matrix")
        if self.arch == "gpt-oss":
            yield Tensor("ffn_gate_inp.bias", (n,), "zeros")
            yield Tensor("ffn_gate_exps.bias", (width, n), "zeros")
            yield Tensor("ffn_down_exps.bias", (self.embd, n), "zeros")
            yield Tensor("ffn_up_exps.bias", (width, n), "zeros")


class Tensor(Struct, frozen=True):
    """``shape`` in ggml's order, fastest first."""

    name: str
    shape: tuple[int, ...]
    role: Role
