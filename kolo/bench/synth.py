"""Writes a model of a given shape with random weights: real bytes on real pages.

Holes in a file, or one repeated value, would be answered from a cache that a real model does
not fit, and the speed would lie. So every block is drawn, and made valid: its scales are small
finite numbers of either sign, so that activations stay finite and have no drift.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kolo.bench.blueprint import metadata, plan
from kolo.bench.dimensions import Dimensions, Role
from kolo.bench.vocabulary import vocabulary
from kolo.models.ggml import BLOCKS
from kolo.models.header import TensorInfo
from kolo.models.writer import write_gguf

_Bytes = npt.NDArray[np.uint8]

_PIECE_BYTES = 8 << 20
_EMBEDDING_STD = 0.02
_LOGIT_STD = 5.0
"""About as peaked as the answers of a trained model: a few of 150,000 tokens hold the mass."""

_SCALES = {
    # type: offsets of its f16 scales in a block, and the spread of what a scale multiplies
    "Q4_0": ((0,), 4.6),
    "Q4_1": ((0, 2), 8.8),
    "Q5_0": ((0,), 9.2),
    "Q5_1": ((0, 2), 18.0),
    "Q8_0": ((0,), 73.9),
    "Q2_K": ((80, 82), 16.0),
    "Q3_K": ((108,), 43.0),
    "Q4_K": ((0, 2), 320.0),
    "Q5_K": ((0, 2), 650.0),
    "Q6_K": ((208,), 1370.0),
    "IQ4_NL": ((0,), 70.0),
    "IQ4_XS": ((0,), 1300.0),
}


def synthesize(
    path: Path,
    model: Dimensions,
    recipe: str,
    *,
    name: str = "",
    seed: int = 0,
    on_written: Callable[[int], None] = lambda n_bytes: None,
) -> Path:
    """Write a model of ``model`` to ``path``; whole or not at all.

    ``on_written`` is told of every piece, in bytes. Raises OSError when the disk is full.
    """
    roles = {tensor.name: tensor.role for tensor in model.tensors()}
    draw = _Draw(model, roles, seed)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write_gguf(
            unfinished,
            metadata(model, recipe, name, vocabulary(model.vocab)),
            plan(model, recipe),
            draw.pieces,
            on_written,
        )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


class _Draw:
    """Random tensors, in pieces of a few megabytes."""

    def __init__(self, model: Dimensions, roles: dict[str, Role], seed: int) -> None:
        self._model = model
        self._roles = roles
        self._random = np.random.Generator(np.random.SFC64(seed))

    def pieces(self, tensor: TensorInfo) -> Iterator[bytes | memoryview]:
        role = self._roles[tensor.name]
        if role in ("ones", "zeros", "output_norm"):
            values = np.full(tensor.n_elements, self._constant(role), np.float32)
            yield values.tobytes()
            return
        std = _EMBEDDING_STD if role == "embedding" else tensor.shape[0] ** -0.5
        block, block_bytes = BLOCKS[tensor.type]
        left = tensor.n_elements // block
        while left:
            count = min(left, _PIECE_BYTES // block_bytes)
            yield self._blocks(tensor.type, count, std).data
            left -= count

    def _constant(self, role: str) -> float:
        if role == "output_norm":
            return float(_LOGIT_STD / (_EMBEDDING_STD * self._model.embd**0.5))
        return 1.0 if role == "ones" else 0.0

    def _blocks(self, type_name: str, count: int, std: float) -> _Bytes:
        """``count`` blocks, flat."""
        if type_name == "F32":
            return self._normal(count, std).view(np.uint8)
        if type_name == "F16":
            return self._normal(count, std).astype(np.float16).view(np.uint8)
        if type_name == "BF16":
            return (self._normal(count, std).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        block_bytes = BLOCKS[type_name][1]
        blocks = self._bytes(count * block_bytes).reshape(count, block_bytes)
        if type_name == "MXFP4":
            # One byte of exponent: 2 ** (e - 127) times a number of spread 3.
            blocks[:, 0] = 127 + round(np.log2(std / 3.0))
            return blocks.reshape(-1)
        offsets, spread = _SCALES[type_name]
        signs = self._random.integers(0, 2, count, np.uint8) << 7
        scale = np.frombuffer(np.float16(std / spread).tobytes(), np.uint8)
        for offset in offsets:
            blocks[:, offset] = scale[0]
            blocks[:, offset + 1] = scale[1] | signs
        return blocks.reshape(-1)

    def _normal(self, count: int, std: float) -> npt.NDArray[np.float32]:
        return self._random.standard_normal(count, np.float32) * np.float32(std)

    def _bytes(self, count: int) -> _Bytes:
        words = self._random.integers(0, 2**64, -(-count // 8), np.uint64)
        return words.view(np.uint8)[:count].copy() if count % 8 else words.view(np.uint8)
