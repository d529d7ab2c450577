"""Reads the header of a GGUF file: metadata, tensor table, and what they say of the model.

Own reader, because a file is judged before a worker is started for it and the answer must be
quick, small and certain: nothing is believed before it is held against the size of the file,
no tensor is touched, and the long arrays (tokens, scores, merges) are skipped. The checks are
those of llama.cpp's loader (``ggml/src/gguf.cpp``), so that what passes here loads there.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import re
import struct
from math import prod
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kolo.errors import ModelInvalid
from kolo.models.cursor import UNFINISHED, Cursor, open_cursor
from kolo.models.ggml import REMOVED_TENSOR_TYPES, TENSOR_TYPES
from kolo.models.header import Header, Split, TensorInfo

_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<no>\d{5})-of-(?P<count>\d{5})\.gguf")
_MAX_KEY_BYTES = 65535  # gguf.md
_MAX_TENSOR_NAME_BYTES = 63  # GGML_MAX_NAME
_MAX_DIMS = 4  # GGML_MAX_DIMS
_MIN_KEY_BYTES = 8 + 1 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 4 + 4 + 8
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 17
"""Ours: the largest models have some thousand, and each costs memory here."""
_DEFAULT_ALIGNMENT = 32  # GGUF_DEFAULT_ALIGNMENT

_OTHER_FORMATS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"PK\x03\x04": "a zip archive, as PyTorch checkpoints are",
    b"\x80\x02": "a pickled PyTorch checkpoint",
    b"\x1f\x8b": "a gzip archive",
    b"(\xb5/\xfd": "a zstd archive",
    b"\x89HDF": "an HDF5 file",
    b"lmgg": "a GGML file, the format before GGUF",
    b"fmgg": "a GGMF file, the format before GGUF",
    b"tjgg": "a GGJT file, the format before GGUF",
    b"algg": "a GGLA adapter, the format before GGUF",
}


def read_model(path: Path) -> Header:
    """The header of a whole model: for a split one, of its first shard with all tensors joined.

    Raises what ``read_header`` does, for any shard.
    """
    first = read_header(path)
    if first.split is None or first.split.count < 2:
        return first
    paths = shard_paths(path)
    if len(paths) != first.split.count or paths[first.split.no] != path:
        raise ModelInvalid(
            f"{path}: is part {first.split.no + 1} of {first.split.count}, but its name says other",
            hint=f"Name the parts NAME-00001-of-{first.split.count:05}.gguf and so on.",
        )
    if first.split.no > 0:
        raise ModelInvalid(
            f"{path}: is part {first.split.no + 1} of {first.split.count}",
            hint=f"Give the first part, {paths[0].name}.",
        )
    shards = [first, *(read_header(shard) for shard in paths[1:])]
    for i, shard in enumerate(shards):
        if shard.split != Split(i, len(shards)):
            raise ModelInvalid(f"{shard.path}: is not part {i + 1} of {path.name}")
    return replace(
        first,
        tensors=[tensor for shard in shards for tensor in shard.tensors],
        file_bytes=sum(shard.file_bytes for shard in shards),
    )


def shard_paths(path: Path) -> list[Path]:
    """All parts of the split model that ``path`` names one of, existing or not; else [path]."""
    match = _SHARD_NAME.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    return [
        path.with_name(f"{match['stem']}-{i:05}-of-{count:05}.gguf") for i in range(1, count + 1)
    ]


def read_header(path: Path) -> Header:
    """Read and check one file. ModelNotFound if it is not there, ModelInvalid for all else."""
    with open_cursor(path) as cursor:
        return _parse(cursor)


def _parse(cursor: Cursor) -> Header:
    version = _check_start(cursor)
    n_tensors = cursor.count(_MIN_TENSOR_BYTES, "tensors")
    n_keys = cursor.count(_MIN_KEY_BYTES, "metadata keys")
    if n_tensors > _MAX_TENSORS or n_keys > _MAX_KEYS:
        raise cursor.invalid(f"{n_tensors} tensors and {n_keys} metadata keys are too many")
    metadata: dict[str, Any] = {}
    for _ in range(n_keys):
        key = cursor.name(_MAX_KEY_BYTES, "a metadata key")
        if not key or key in metadata:
            raise cursor.invalid(f"metadata key {key!r} is {'double' if key else 'empty'}")
        metadata[key] = cursor.value(key)
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise cursor.invalid(f"general.alignment must be a power of two, found {alignment!r}")
    tensors = _tensor_table(cursor, n_tensors, alignment)
    data_offset = _padded(cursor.pos, alignment)
    if tensors:
        end = data_offset + tensors[-1].offset + tensors[-1].n_bytes
        if end > cursor.size:
            raise cursor.invalid(
                f"truncated: its tensors need {end} bytes, the file has {cursor.size}",
                hint=UNFINISHED,
            )
    return Header(
        path=cursor.path,
        version=version,
        metadata=metadata,
        tensors=tensors,
        data_offset=data_offset,
        file_bytes=cursor.size,
        alignment=alignment,
        split=_split(cursor, metadata),
    )


def _check_start(cursor: Cursor) -> int:
    """The version, once magic, byte order and version are those of a file llama.cpp loads."""
    if cursor.peek(4) != b"GGUF":
        raise ModelInvalid(
            f"{cursor.path}: not a GGUF file: {_what_is(cursor.peek(4096), cursor.size)}",
            hint="Kolo loads models in GGUF format (.gguf), as llama.cpp does.",
        )
    cursor.take(4, "the magic")
    version = cursor.u32("the version")
    if version & 0xFFFF == 0 and version:
        raise cursor.invalid("a big-endian GGUF; only little-endian files are supported")
    if version not in (2, 3):
        raise cursor.invalid(f"GGUF version {version}; versions 2 and 3 are supported")
    return version


def _tensor_table(cursor: Cursor, n_tensors: int, alignment: int) -> list[TensorInfo]:
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    end = 0
    for _ in range(n_tensors):
        tensor = _tensor(cursor)
        if tensor.name in names:
            raise cursor.invalid(f"tensor {tensor.name!r} is there twice")
        if tensor.offset != end:
            raise cursor.invalid(f"tensor {tensor.name!r} is at {tensor.offset}, expected at {end}")
        end += _padded(tensor.n_bytes, alignment)
        names.add(tensor.name)
        tensors.append(tensor)
    return tensors


def _tensor(cursor: Cursor) -> TensorInfo:
    name = cursor.name(_MAX_TENSOR_NAME_BYTES, "a tensor name")
    n_dims = cursor.u32(f"the dimensions of {name}")
    if n_dims > _MAX_DIMS:
        raise cursor.invalid(f"tensor {name!r} has {n_dims} dimensions, over {_MAX_DIMS}")
    shape = struct.unpack(f"<{n_dims}q", cursor.take(8 * n_dims, f"the shape of {name}"))
    kind = cursor.u32(f"the type of {name}")
    offset = cursor.u64(f"the offset of {name}")
    if kind in REMOVED_TENSOR_TYPES:
        raise cursor.invalid(
            f"tensor {name!r} has the type {REMOVED_TENSOR_TYPES[kind]}, which llama.cpp dropped",
            hint="Get the model in a current quantization, such as Q4_K_M.",
        )
    if kind not in TENSOR_TYPES:
        raise cursor.invalid(
            f"tensor {name!r} has the unknown type {kind}",
            hint="The file may be made for a newer or a changed llama.cpp.",
        )
    type_name, block, block_bytes = TENSOR_TYPES[kind]
    n_elements = prod(shape)
    if any(dim < 0 for dim in shape) or n_elements >= 2**63:
        raise cursor.invalid(f"tensor {name!r} has the impossible shape {shape}")
    row = shape[0] if shape else 1
    if row % block:
        raise cursor.invalid(f"tensor {name!r} of type {type_name} has rows of {row} elements")
    return TensorInfo(name, shape, type_name, offset, n_elements, n_elements // block * block_bytes)


def _split(cursor: Cursor, metadata: dict[str, Any]) -> Split | None:
    if "split.count" not in metadata:
        return None
    no, count = metadata.get("split.no", 0), metadata["split.count"]
    if not isinstance(no, int) or not isinstance(count, int) or not 0 <= no < max(count, 1):
        raise cursor.invalid(f"split.no {no!r} of split.count {count!r} is impossible")
    return Split(no, count) if count > 1 else None


def _what_is(start: bytes, size: int) -> str:
    """What a file that is not GGUF looks like, from its first bytes."""
    shown = f"it starts with {start[:4]!r}"
    text = start.lstrip().lower()
    if not start:
        return "it is empty"
    if not any(start):
        return f"{shown}: zeros, as an unfinished download leaves them"
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            return f"{shown}, which looks like {name}"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"{shown}, which looks like an HTML page, perhaps of an error or a login"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return f"{shown}, which looks like safetensors"
    if text.startswith((b"{", b"[")):
        return f"{shown}, which looks like JSON, perhaps an error message"
    return shown


def _padded(n: int, alignment: int) -> int:
    return -(-n // alignment) * alignment
