from __future__ import annotations

import os
import random
import struct
from pathlib import Path
from typing import Any

import gguf
import ggufs
import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from kolo.errors import ModelInvalid, ModelNotFound
from kolo.manager.memory import estimate
from kolo.models.cursor import Cursor, LazyArray
from kolo.models.ggml import FILE_TYPES, TENSOR_TYPES
from kolo.models.gguf import read_header, read_model, shard_paths
from kolo.models.header import Header
from kolo.types import LoadParams


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


def write(path: Path, arch: str = "llama", **metadata: Any) -> Path:
    """A file with one small tensor and the given metadata; ``__`` in a key stands for a dot."""
    writer = GGUFWriter(path, arch)
    ggufs._add_metadata(writer, {key.replace("__", "."): v for key, v in metadata.items()})
    writer.add_tensor("t", np.zeros(32, dtype=np.float32))
    return ggufs._finish(writer, path)


def invalid(path: Path) -> ModelInvalid:
    with pytest.raises(ModelInvalid) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    return caught.value


# Agreement with the gguf package ---------------------------------------------------------


@pytest.mark.parametrize("name", [*ggufs.MODELS, "quantized", "long"])
def test_header_agrees_with_the_gguf_package(folder: Path, name: str) -> None:
    if name == "quantized":
        path = ggufs.tiny_llama(folder / "q.gguf", quant="Q4_0", n_head=4, n_head_kv=2)
    elif name == "long":
        path = ggufs.tiny_llama(folder / "long.gguf", vocab=5_000, n_embd=32)
    else:
        path = ggufs.build(folder, name)
    oracle, header = GGUFReader(path), read_model(path)

    assert header.file_bytes == path.stat().st_size
    assert header.data_offset == oracle.data_offset
    assert header.alignment == oracle.alignment
    assert header.n_params == sum(tensor.n_elements for tensor in oracle.tensors)
    assert [(t.name, list(t.shape), t.type, t.n_elements, t.n_bytes) for t in header.tensors] == [
        (t.name, list(t.shape), t.tensor_type.name, t.n_elements, t.n_bytes) for t in oracle.tensors
    ]
    assert [header.data_offset + t.offset for t in header.tensors] == [
        t.data_offset for t in oracle.tensors
    ]
    fields = {k: v for k, v in oracle.fields.items() if not k.startswith("GGUF.")}
    assert header.metadata.keys() == fields.keys()
    for key, field in fields.items():
        expected = field.contents()
        found = header.metadata[key]
        if isinstance(found, (list, LazyArray)):
            expected, found = np.atleast_1d(np.array(expected)).tolist(), header.array(key)
        assert found == expected, key


def test_long_arrays_are_left_on_disk_and_read_on_demand(folder: Path) -> None:
    header = read_header(ggufs.tiny_llama(folder / "lazy.gguf", vocab=20_000, n_embd=32))
    assert isinstance(header.metadata["tokenizer.ggml.tokens"], LazyArray)
    assert isinstance(header.metadata["tokenizer.ggml.token_type"], LazyArray)
    assert header.n_vocab == 20_000
    assert header.array("tokenizer.ggml.tokens")[:3] == list(ggufs.SPECIALS)
    assert header.array("tokenizer.ggml.token_type")[-1] == gguf.TokenType.UNUSED
    assert header.array("no.such.key") == []


def test_strings_across_read_pieces_are_walked_rightly(tmp_path: Path) -> None:
    words = ["x" * (n * 7919 % 200_000) for n in range(40)]
    header = read_header(write(tmp_path / "m.gguf", words=words, after="here"))
    assert header.metadata["after"] == "here"
    assert header.array("words") == words


def test_tensor_types_are_those_of_the_gguf_package() -> None:
    ours = {number: row[1:] for number, row in TENSOR_TYPES.items()}
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    # ggml packs Q8_1, which no file holds, with two half floats; the package counts two floats.
    assert theirs.pop(9) == (32, 40)
    assert ours[9] == (32, 36)
    assert {number: ours[number] for number in theirs} == theirs
    for number in theirs:
        assert TENSOR_TYPES[number][0] == gguf.GGMLQuantizationType(number).name


def test_file_types_are_those_of_the_gguf_package() -> None:
    for file_type in gguf.LlamaFileType:
        if file_type is not gguf.LlamaFileType.GUESSED:
            name = file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            assert FILE_TYPES[file_type] == name.removesuffix("_MOE")


# What the header says of the model --------------------------------------------------------


def test_llama_facts(folder: Path) -> None:
    header = read_model(ggufs.tiny_llama(folder / "f.gguf", n_head=4, n_head_kv=2, quant="Q8_0"))
    assert (header.architecture, header.name, header.quant) == ("llama", "Tiny Llama", "Q8_0")
    assert (header.n_layer, header.n_embd, header.n_ctx_train) == (2, 64, 1024)
    assert (header.n_head, header.n_head_kv) == ([4, 4], [2, 2])
    assert (header.head_k, header.head_v) == (16, 16)
    assert (header.sliding_window, header.kind, header.refusal()) == (0, "generate", "")
    assert header.chat_templates == {"default": ggufs.CHATML}


def test_heads_may_differ_per_layer_and_lengths_be_given(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.gguf",
        llama__block_count=3,
        llama__attention__head_count=8,
        llama__attention__head_count_kv=[4, 0, 2],
        llama__attention__key_length=128,
        llama__attention__value_length=64,
        llama__attention__sliding_window=512,
    )
    header = read_header(path)
    assert (header.n_head, header.n_head_kv) == ([8, 8, 8], [4, 0, 2])
    assert (header.head_k, header.head_v, header.sliding_window) == (128, 64, 512)


def test_named_chat_templates_are_listed_beside_the_default(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.gguf",
        tokenizer__chat_template="plain",
        tokenizer__chat_templates=["tool_use"],
        tokenizer__chat_template__tool_use="tools",
    )
    assert read_header(path).chat_templates == {"default": "plain", "tool_use": "tools"}


def test_quant_without_a_file_type_is_the_commonest_tensor_type(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "m.gguf")).quant == "F32"


@pytest.mark.parametrize(
    ("arch", "metadata", "kind"),
    [
        ("llama", {}, "generate"),
        ("llama", {"llama.pooling_type": 0}, "generate"),
        ("qwen3", {"qwen3.pooling_type": 3}, "embedding"),
        ("qwen3", {"qwen3.pooling_type": 4}, "rerank"),
        ("bert", {"bert.pooling_type": 2}, "embedding"),
        ("bert", {"bert.pooling_type": 4}, "rerank"),
        ("nomic-bert", {}, "embedding"),
        ("gemma3", {"gemma3.attention.causal": False}, "embedding"),
    ],
)
def test_kind(tmp_path: Path, arch: str, metadata: dict[str, Any], kind: str) -> None:
    assert read_header(write(tmp_path / "m.gguf", arch, **metadata)).kind == kind


@pytest.mark.parametrize(
    ("arch", "metadata", "reason"),
    [
        ("llama", {"general.type": "adapter"}, "LoRA"),
        ("clip", {"general.type": "mmproj"}, "projector"),
        ("clip", {}, "projector"),
        ("controlvector", {}, "control vector"),
        ("llada", {}, "diffusion"),
        ("eagle3", {}, "draft"),
    ],
)
def test_files_that_are_no_models_say_what_they_are(
    tmp_path: Path, arch: str, metadata: dict[str, Any], reason: str
) -> None:
    assert reason in read_header(write(tmp_path / "m.gguf", arch, **metadata)).refusal()


def test_a_vocabulary_alone_is_no_model(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "v.gguf", "llama")
    ggufs.byte_vocabulary(writer)
    header = read_header(ggufs._finish(writer, tmp_path / "v.gguf"))
    assert "without weights" in header.refusal()


@pytest.mark.parametrize(
    ("metadata", "attribute"),
    [
        ({"llama.block_count": "many"}, "n_layer"),
        ({"llama.block_count": 513}, "n_layer"),
        ({"llama.embedding_length": 1.5}, "n_embd"),
        ({"llama.embedding_length": True}, "n_embd"),
        ({"llama.block_count": 2, "llama.attention.head_count": [1]}, "n_head"),
        ({"llama.block_count": 1, "llama.attention.head_count": ["x"]}, "n_head"),
        ({"general.name": 7}, "name"),
        ({"tokenizer.chat_template": 7}, "chat_templates"),
    ],
)
def test_a_key_of_the_wrong_type_is_named(
    tmp_path: Path, metadata: dict[str, Any], attribute: str
) -> None:
    header = read_header(write(tmp_path / "m.gguf", **metadata))
    with pytest.raises(ModelInvalid, match="must be") as caught:
        getattr(header, attribute)
    assert any(key in caught.value.message for key in metadata)


# Split models -------------------------------------------------------------------------------


def test_a_split_model_is_read_as_one(folder: Path, tmp_path: Path) -> None:
    whole = read_model(ggufs.build(folder, "llama"))
    first = ggufs.tiny_llama(tmp_path / "m.gguf", split_tensors=6)
    model = read_model(first)
    shards = shard_paths(first)
    assert [shard.name for shard in shards] == [f"m-{i:05}-of-00004.gguf" for i in range(1, 5)]
    assert {tensor.name for tensor in model.tensors} == {tensor.name for tensor in whole.tensors}
    assert (model.n_params, model.kind) == (whole.n_params, "generate")
    assert model.file_bytes == sum(shard.stat().st_size for shard in shards)
    assert len(read_header(first).tensors) == 6


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    first = ggufs.tiny_llama(tmp_path / "m.gguf", split_tensors=6)
    with pytest.raises(ModelInvalid, match="part 2 of 4") as caught:
        read_model(shard_paths(first)[1])
    assert first.name in caught.value.hint


def test_a_renamed_part_is_refused(tmp_path: Path) -> None:
    first = ggufs.tiny_llama(tmp_path / "m.gguf", split_tensors=6)
    with pytest.raises(ModelInvalid, match="its name says other"):
        read_model(first.rename(tmp_path / "renamed.gguf"))


def test_parts_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    first = ggufs.tiny_llama(tmp_path / "m.gguf", split_tensors=6)
    shards = shard_paths(first)
    shards[2].write_bytes(shards[1].read_bytes())
    with pytest.raises(ModelInvalid, match="is not part 3"):
        read_model(first)


# Defects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\0" * 100, "unfinished download"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\n <HTML>", "HTML page"),
        (struct.pack("<Q", 40) + b'{"__metadata__":{}}' + b" " * 60, "safetensors"),
        (b"PK\x03\x04archive/data.pkl", "PyTorch"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch"),
        (b"tjgg\x03\0\0\0", "format before GGUF"),
        (b'{"error":"not found"}', "JSON"),
        (b"MZ\x90\0", r"b'MZ\\x90\\x00'"),
        (b"GGUF", "truncated"),
        (b"GGUF\3\0\0\0", "truncated"),
        (b"GGUF\1\0\0\0" + b"\0" * 16, "version 1"),
        (b"GGUF\4\0\0\0" + b"\0" * 16, "version 4"),
        (b"GGUF\0\0\0\3" + b"\0" * 16, "big-endian"),
        (b"GGUF\3\0\0\0" + struct.pack("<QQ", 2**63, 0), "9223372036854775808 tensors"),
        (b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 2**40), "metadata keys"),
        (b"GGUF\3\0\0\0" + struct.pack("<QQQ", 0, 1, 2**50) + b"\0" * 20, "a metadata key"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelInvalid, match=says):
        read_header(path)


def test_an_empty_but_sound_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\3\0\0\0" + struct.pack("<QQ", 0, 0))
    assert "no architecture" in read_header(path).refusal()


def test_truncation_anywhere_is_found_and_named_in_bytes(folder: Path, tmp_path: Path) -> None:
    whole = ggufs.build(folder, "llama").read_bytes()
    header = read_header(ggufs.build(folder, "llama"))
    end = header.data_offset + header.tensors[-1].offset + header.tensors[-1].n_bytes
    path = tmp_path / "cut.gguf"
    for size in [*range(0, header.data_offset, 37), header.data_offset, end - 1]:
        path.write_bytes(whole[:size])
        error = invalid(path)
        if size > 24:
            assert "truncated" in error.message
            assert str(size) in error.message
            assert "did not finish" in error.hint
    assert f"needs {end} bytes" in invalid(path).message.replace("tensors need", "needs")
    path.write_bytes(whole[:end])
    assert read_header(path).n_params == header.n_params


def test_missing_folder_and_fifo_are_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no such file"):
        read_header(tmp_path / "none.gguf")
    assert "not a regular file" in invalid(tmp_path).message
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "not a regular file" in invalid(tmp_path / "pipe.gguf").message


def raw_file(path: Path, keys: bytes, n_keys: int, tensors: bytes, n_tensors: int) -> Path:
    path.write_bytes(
        b"GGUF\3\0\0\0" + struct.pack("<QQ", n_tensors, n_keys) + keys + tensors + bytes(4096)
    )
    return path


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor_row(name: bytes, dims: list[int], kind: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (tensor_row(b"t", [4, 4, 4, 4, 4]), "5 dimensions"),
        (tensor_row(b"t", [2**40, 2**40]), "impossible shape"),
        (tensor_row(b"t", [2**63]), "impossible shape"),
        (tensor_row(b"t", [33], kind=2), "rows of 33"),
        (tensor_row(b"t", [], kind=2), "rows of 1"),
        (tensor_row(b"t", [32], kind=99), "unknown type 99"),
        (tensor_row(b"t", [32], kind=31), "Q4_0_4_4, which llama.cpp dropped"),
        (tensor_row(b"t", [32], offset=64), "expected at 0"),
        (tensor_row(b"t", [2**40]), "truncated"),
        (tensor_row(b"t" * 64, [32]), "over the limit of 63"),
        (tensor_row(b"\x1b[31m", [32]), "not printable"),
        (tensor_row(b"\xff\xfe", [32]), "not printable"),
    ],
)
def test_an_impossible_tensor_is_refused(tmp_path: Path, row: bytes, says: str) -> None:
    with pytest.raises(ModelInvalid, match=says):
        read_header(raw_file(tmp_path / "m.gguf", b"", 0, row, 1))


def test_tensors_may_not_repeat(tmp_path: Path) -> None:
    rows = tensor_row(b"t", [8]) + tensor_row(b"t", [8], offset=32)
    with pytest.raises(ModelInvalid, match="there twice"):
        read_header(raw_file(tmp_path / "m.gguf", b"", 0, rows, 2))


U32 = struct.pack("<I", 4)


@pytest.mark.parametrize(
    ("keys", "n", "says"),
    [
        (text(b"k") + U32 + U32 + text(b"k") + U32 + U32, 2, "'k' is double"),
        (text(b"") + U32 + U32 + b"\0\0", 1, "empty"),
        (text(b"k") + struct.pack("<I", 13), 1, "unknown type 13"),
        (text(b"k") + struct.pack("<IIQ", 9, 9, 1), 1, "array of the unsupported type 9"),
        (text(b"k") + struct.pack("<IIQ", 9, 4, 2**62), 1, "items of k"),
        (text(b"k") + struct.pack("<IIQ", 9, 8, 2**62), 1, "items of k"),
        (text(b"k") + struct.pack("<IIQQ", 9, 8, 1, 2**62), 1, "to hold k"),
        (text(b"k") + struct.pack("<IQ", 8, 2**62), 1, "to hold k"),
        (text(b"general.alignment") + U32 + struct.pack("<I", 24), 1, "power of two"),
        (text(b"split.count") + U32 + struct.pack("<I", 2) + text(b"split.no") + U32 + U32, 2, "4"),
    ],
)
def test_impossible_metadata_is_refused(tmp_path: Path, keys: bytes, n: int, says: str) -> None:
    with pytest.raises(ModelInvalid, match=says):
        read_header(raw_file(tmp_path / "m.gguf", keys, n, b"", 0))


def everything(header: Header) -> None:
    """Ask all a header can be asked."""
    for name in dir(Header):
        if isinstance(getattr(Header, name), property):
            getattr(header, name)
    for key, value in header.metadata.items():
        if isinstance(value, (list, LazyArray)):
            header.array(key)
    header.refusal()
    estimate(header, LoadParams())


def test_a_damaged_file_raises_model_invalid_only_and_no_read_exceeds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        tmp_path / "m.gguf",
        llama__block_count=2,
        llama__attention__head_count=4,
        llama__attention__head_count_kv=[4, 2],
        tokenizer__ggml__tokens=["a", "b", "c"],
        tokenizer__chat_template="{{ x }}",
    )
    sound = path.read_bytes()
    header_bytes = read_header(path).data_offset
    rng = random.Random(7)
    refused = 0
    reads_bytes: list[int] = []
    fill = Cursor._fill

    def watched(self: Cursor, n: int) -> None:
        reads_bytes.append(n)
        fill(self, n)

    monkeypatch.setattr(Cursor, "_fill", watched)
    for _ in range(2000):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(4, header_bytes)
            if rng.random() < 0.3:
                damaged[at : at + 8] = struct.pack("<Q", rng.choice((2**64 - 1, 2**40, 2**31, 0)))
            else:
                damaged[at] = rng.randrange(256)
        path.write_bytes(damaged[: rng.randint(0, len(damaged))] if rng.random() < 0.1 else damaged)
        try:
            everything(read_header(path))
        except ModelInvalid:
            refused += 1
    assert 1000 < refused < 2000
    assert max(reads_bytes) <= len(sound)
