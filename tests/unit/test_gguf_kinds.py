"""Our header reader against the ``gguf`` package on many kinds of files, and against files that
were made to break it."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ggufs
import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from stores import model, split

from kolo.errors import ModelInvalid
from kolo.models.cursor import LazyArray
from kolo.models.gguf import read_header

Make = Callable[[Path], object]


def with_values(**values: Any) -> Make:
    def make(path: Path) -> object:
        writer = GGUFWriter(path, "llama")
        ggufs._add_metadata(writer, {key.replace("__", "."): v for key, v in values.items()})
        writer.add_tensor("t", np.zeros(32, dtype=np.float32))
        return ggufs._finish(writer, path)

    return make


def with_typed(key: str, value: Any, kind: GGUFValueType, sub: GGUFValueType | None = None) -> Make:
    def make(path: Path) -> object:
        writer = GGUFWriter(path, "llama")
        writer.add_key_value(key, value, kind, sub)
        writer.add_tensor("t", np.zeros(32, dtype=np.float32))
        return ggufs._finish(writer, path)

    return make


def quantized(name: str) -> Make:
    def make(path: Path) -> object:
        kind = GGMLQuantizationType[name]
        writer = GGUFWriter(path, "llama")
        data = quants.quantize(np.ones((4, 256), dtype=np.float32), kind)
        writer.add_tensor("q", data, raw_dtype=kind)
        writer.add_tensor("after", np.zeros((3, 5), dtype=np.float32))
        return ggufs._finish(writer, path)

    return make


def shaped(*shapes: tuple[int, ...], alignment: int = 32) -> Make:
    def make(path: Path) -> object:
        writer = GGUFWriter(path, "llama")
        if alignment != 32:
            writer.add_custom_alignment(alignment)
        for no, shape in enumerate(shapes):
            writer.add_tensor(f"t{no}", np.zeros(shape, dtype=np.float16))
        return ggufs._finish(writer, path)

    return make


SCALARS: dict[str, Any] = {
    "UINT8": 200, "INT8": -100, "UINT16": 60000, "INT16": -30000, "UINT32": 4_000_000_000,
    "INT32": -2_000_000_000, "FLOAT32": 0.5, "BOOL": True, "UINT64": 2**63, "INT64": -(2**62),
    "FLOAT64": 0.1, "STRING": "é",
}  # fmt: skip

KINDS: dict[str, Make] = {
    **{name: make for name, make in ggufs.MODELS.items()},
    "long vocabulary": lambda path: ggufs.tiny_llama(path, vocab=5000, n_embd=32),
    "infill": lambda path: ggufs.tiny_llama(path, infill=True),
    "no template": lambda path: ggufs.tiny_llama(path, template=None),
    "grouped heads": lambda path: ggufs.tiny_llama(path, n_head=4, n_head_kv=2),
    **{name: quantized(name) for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16", "F16")},
    "rows of one": shaped((1,), (1, 1), (7, 1, 1)),
    "four dimensions": shaped((2, 3, 4, 32), (32,), (5, 3)),
    "alignment of 256": shaped((5,), (3,), (64, 2), alignment=256),
    "alignment of 8": shaped((5,), (3,), alignment=8),
    "text beyond ASCII": with_values(a__text="日本語 \n\t\x00 🦙", general__name="имя"),
    "empty text": with_values(a__text=""),
    "array of texts": with_values(a__texts=["", "a", "日本語", "x" * 300]),
    "strings of every length": with_values(a__texts=["x" * i for i in range(300)]),
    **{
        f"scalar {name}": with_typed("a.value", value, GGUFValueType[name])
        for name, value in SCALARS.items()
    },
    **{
        f"array {name}": with_typed(
            "a.value", [value] * 3, GGUFValueType.ARRAY, GGUFValueType[name]
        )
        for name, value in SCALARS.items()
    },
}


def check(path: Path) -> None:
    """Hold what we read against what the package reads."""
    oracle, header = GGUFReader(path), read_header(path)
    assert (header.data_offset, header.alignment) == (oracle.data_offset, oracle.alignment)
    assert [
        (t.name, list(t.shape), t.type, t.n_elements, t.n_bytes, header.data_offset + t.offset)
        for t in header.tensors
    ] == [
        (t.name, list(t.shape), t.tensor_type.name, t.n_elements, t.n_bytes, t.data_offset)
        for t in oracle.tensors
    ]
    fields = {k: v for k, v in oracle.fields.items() if not k.startswith("GGUF.")}
    assert header.metadata.keys() == fields.keys()
    for key, field in fields.items():
        found, expected = header.metadata[key], field.contents()
        if isinstance(found, (list, LazyArray)):
            assert header.array(key) == np.atleast_1d(np.array(expected)).tolist(), key
        else:
            assert found == expected, key


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_as_the_gguf_package_reads_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    KINDS[kind](path)
    check(path)


def test_parts_of_a_split_model_are_read_as_the_gguf_package_reads_them(tmp_path: Path) -> None:
    for part in split(model(tmp_path), tmp_path / "s"):
        check(part)


# Files made to break a reader ----------------------------------------------------------------


def file(path: Path, keys: bytes, n_keys: int, n_tensors: int = 0) -> Path:
    start = b"GGUF\3\0\0\0" + struct.pack("<QQ", n_tensors, n_keys)
    path.write_bytes(start + keys)
    return path


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def test_millions_of_empty_strings_are_not_walked_for_ever(tmp_path: Path) -> None:
    n = 5_000_000
    keys = text(b"k") + struct.pack("<IIQ", 9, 8, n) + bytes(8 * n)
    with pytest.raises(ModelInvalid, match="strings"):
        read_header(file(tmp_path / "m.gguf", keys, 1))


def test_a_million_keys_are_not_kept(tmp_path: Path) -> None:
    keys = b"".join(text(b"%07d" % i) + struct.pack("<IB", 0, 1) for i in range(100_000))
    with pytest.raises(ModelInvalid, match="too many"):
        read_header(file(tmp_path / "m.gguf", keys, 100_000))
    rows = b"".join(text(b"%07d" % i) + struct.pack("<IqIQ", 1, 0, 0, 0) for i in range(150_000))
    with pytest.raises(ModelInvalid, match="too many"):
        read_header(file(tmp_path / "m.gguf", rows, 0, 150_000))


def test_many_arrays_that_are_each_short_are_left_on_disk(tmp_path: Path) -> None:
    one = struct.pack("<IIQ", 9, 0, 60_000) + bytes(60_000)
    keys = b"".join(text(b"k%05d" % i) + one for i in range(200))
    header = read_header(file(tmp_path / "m.gguf", keys, 200))
    kept = sum(len(v) for v in header.metadata.values() if isinstance(v, list))
    assert kept < 5_000_000
    assert header.array("k00199") == [0] * 60_000


def test_texts_are_bounded_together(tmp_path: Path) -> None:
    one = struct.pack("<I", 8) + text(b"x" * (15 << 20))
    keys = b"".join(text(b"k%05d" % i) + one for i in range(5))
    with pytest.raises(ModelInvalid, match="together"):
        read_header(file(tmp_path / "m.gguf", keys, 5))


def test_a_long_array_is_not_read_whole_by_who_asks_for_it(tmp_path: Path) -> None:
    n = 5_000_000
    keys = text(b"k") + struct.pack("<IIQ", 9, 0, n) + bytes(n)
    header = read_header(file(tmp_path / "m.gguf", keys, 1))
    with pytest.raises(ModelInvalid, match="items"):
        header.array("k")


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    path = Path(__file__).parents[1] / "fuzz" / "gguf_headers.py"
    spec = importlib.util.spec_from_file_location("gguf_headers", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_file_ends_in_a_header_or_in_our_error(
    fuzzer: ModuleType, tmp_path: Path, seed: int
) -> None:
    good, bad = fuzzer.fuzz(tmp_path, 1000, seed)
    assert good + bad == 1000
    assert good > 5
