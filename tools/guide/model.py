"""The network of guide and the optimizer of its matrices, in as few lines as they take.

The network is llama's: RMS norm, rotary positions, grouped-query attention, gated feed-forward,
and one table for reading and writing tokens. Rotary pairs are neighbours (0,1), (2,3), ... as
llama.cpp has them for this architecture, so nothing is permuted on export.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. Rows are multiples of 32, as Q8_0 needs them."""

    vocab: int = 2048
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    hidden: int = 640
    context: int = 4096
    rope_base: float = 10000.0
    epsilon: float = 1e-5


class Norm(nn.Module):
    """Root mean square norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.width))
        self.epsilon = shape.epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of neighbours by the angle of its position."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    """Attention, then the gated feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, inner, kv = shape.width, shape.heads * shape.head, shape.kv_heads * shape.head
        self.attn_norm, self.ffn_norm = Norm(shape), Norm(shape)
        self.attn_q = nn.Linear(width, inner, bias=False)
        self.attn_k = nn.Linear(width, kv, bias=False)
        self.attn_v = nn.Linear(width, kv, bias=False)
        self.attn_output = nn.Linear(inner, width, bias=False)
        self.ffn_gate = nn.Linear(width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        y = self.attn_norm(x)
        q = self.attn_q(y).view(batch, length, -1, self.shape.head).transpose(1, 2)
        k = self.attn_k(y).view(batch, length, -1, self.shape.head).transpose(1, 2)
        v = self.attn_v(y).view(batch, length, -1, self.shape.head).transpose(1, 2)
        repeat = self.shape.heads // self.shape.kv_heads
        k = rotate(k, cos, sin).repeat_interleave(repeat, 1)
        y = functional.scaled_dot_product_attention(
            rotate(q, cos, sin), k, v.repeat_interleave(repeat, 1), is_causal=True
        )
        x = x + self.attn_output(y.transpose(1, 2).reshape(batch, length, -1))
        y = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))


class Guide(nn.Module):
    """The whole network: tokens in, the loss of each next token out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape)
        for name, parameter in self.named_parameters():
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02 if "embd" in name else shape.width**-0.5)
        steps = torch.arange(0, shape.head, 2) / shape.head
        angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base**-steps)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """The mean loss over the next tokens, each counted by its weight (zero: skipped)."""
        inputs, targets, weights = tokens[:, :-1], tokens[:, 1:], weights[:, 1:]
        cos, sin = self.cos[: inputs.shape[1]], self.sin[: inputs.shape[1]]
        x = self.token_embd(inputs)
        for block in self.blk:
            x = block(x, cos, sin)
        counted = weights > 0
        logits = functional.linear(self.output_norm(x[counted]), self.token_embd.weight)
        losses = functional.cross_entropy(logits, targets[counted], reduction="none")
        weights = weights[counted]
        return (losses * weights).sum() / weights.sum()


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Bring a stack of matrices near orthogonal by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    flip = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if flip else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if flip else x


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal: it learns the matrices in far fewer steps.

    Matrices of one shape are stacked, so that a step is a few large products.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float, decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Apply the gradients."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                shapes[parameter.shape].append(parameter)
            for shape, parameters in shapes.items():
                gradients = torch.stack([p.grad for p in parameters if p.grad is not None])
                state = self.state[parameters[0]]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradients)
                state["momentum"].lerp_(gradients, 1 - group["momentum"])
                update = orthogonal(gradients.lerp(state["momentum"], group["momentum"]))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, change in zip(parameters, update, strict=True):
                    parameter.mul_(1 - group["lr"] * group["decay"]).sub_(change, alpha=scale)
