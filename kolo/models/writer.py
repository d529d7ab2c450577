"""Writes a GGUF file of any size without ever holding more than a piece of it in memory.

Version 3, little-endian. The counterpart of ``kolo.models.gguf``; format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

from kolo.models.ggml import BLOCKS, TENSOR_TYPES
from kolo.models.header import TensorInfo

Value = bool | int | float | str | Sequence[str] | Sequence[int] | Sequence[float]
"""An integer is written as u32 (in an array as i32), a float as f32."""

Fill = Callable[[TensorInfo], Iterable[bytes | memoryview]]
"""The bytes of a tensor, in pieces."""

_ALIGNMENT = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TYPE_NUMBERS = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}


def lay_out(tensors: Iterable[tuple[str, tuple[int, ...], str]]) -> list[TensorInfo]:
    """Tensors given by name, shape (fastest first) and type, one after the other in the file.

    Raises ValueError for a row that is not whole blocks of its type.
    """
    placed: list[TensorInfo] = []
    offset = 0
    for name, shape, type_name in tensors:
        block, block_bytes = BLOCKS[type_name]
        if shape[0] % block:
            raise ValueError(f"{name}: rows of {shape[0]} are not whole blocks of {type_name}")
        n_elements = prod(shape)
        n_bytes = n_elements // block * block_bytes
        placed.append(TensorInfo(name, shape, type_name, offset, n_elements, n_bytes))
        offset += _padded(n_bytes)
    return placed


def data_bytes(tensors: Sequence[TensorInfo]) -> int:
    """Bytes of the data section of ``tensors`` as ``lay_out`` placed them."""
    return tensors[-1].offset + _padded(tensors[-1].n_bytes) if tensors else 0


def write_gguf(
    path: Path,
    metadata: Mapping[str, Value],
    tensors: Sequence[TensorInfo],
    fill: Fill,
    on_written: Callable[[int], None] = lambda n_bytes: None,
) -> None:
    """Write ``path``, its disk blocks reserved before the first byte of a tensor is made.

    ``tensors`` come from ``lay_out``. ``on_written`` is told of every piece. Raises OSError
    (ENOSPC while little has been written), and ValueError if ``fill`` gives another number of
    bytes than the tensor has. What was begun is left to the caller to remove.
    """
    head = _head(metadata, tensors)
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, len(head) + max(data_bytes(tensors), 1))
        file.write(head)
        for tensor in tensors:
            _write_tensor(file, tensor, fill, on_written)


def _write_tensor(
    file: BinaryIO, tensor: TensorInfo, fill: Fill, on_written: Callable[[int], None]
) -> None:
    written = 0
    for piece in fill(tensor):
        file.write(piece)
        written += len(piece)
        on_written(len(piece))
    if written != tensor.n_bytes:
        raise ValueError(f"{tensor.name}: {written} bytes for a tensor of {tensor.n_bytes}")
    file.write(bytes(_padded(written) - written))


def _head(metadata: Mapping[str, Value], tensors: Sequence[TensorInfo]) -> bytes:
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        kind, body = _typed(key, value)
        parts += [_text(key), struct.pack("<I", kind), body]
    for tensor in tensors:
        n_dims = len(tensor.shape)
        parts.append(_text(tensor.name))
        parts.append(
            struct.pack(
                f"<I{n_dims}QIQ", n_dims, *tensor.shape, _TYPE_NUMBERS[tensor.type], tensor.offset
            )
        )
    head = b"".join(parts)
    return head + bytes(_padded(len(head)) - len(head))


def _typed(key: str, value: Value) -> tuple[int, bytes]:
    """Number of the value's type, and its bytes."""
    match value:
        case bool():
            return _BOOL, struct.pack("<?", value)
        case int():
            return _U32, struct.pack("<I", value)
        case float():
            return _F32, struct.pack("<f", value)
        case str():
            return _STRING, _text(value)
    if not value:
        raise ValueError(f"{key}: an empty array has no type")
    n = len(value)
    if isinstance(value[0], str):
        kind, body = _STRING, b"".join(_text(str(item)) for item in value)
    elif isinstance(value[0], int):
        kind, body = _I32, struct.pack(f"<{n}i", *value)
    else:
        kind, body = _F32, struct.pack(f"<{n}f", *value)
    return _ARRAY, struct.pack("<IQ", kind, n) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _padded(n: int) -> int:
    return -(-n // _ALIGNMENT) * _ALIGNMENT
