"""Models with random weights: files that others read, blocks that are sound, real pages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader

from kolo.bench.blueprint import header, plan
from kolo.bench.dimensions import Dimensions
from kolo.bench.quants import BASE_TYPES
from kolo.bench.synth import synthesize
from kolo.bench.vocabulary import vocabulary
from kolo.models.ggml import BLOCKS
from kolo.models.gguf import read_model
from kolo.models.writer import lay_out, write_gguf

TINY = Dimensions(
    arch="llama", layers=2, embd=256, heads=4, kv_heads=2, ff=512, vocab=2048, ctx_train=512
)
EXPERTS = Dimensions(
    arch="qwen3moe", layers=2, embd=256, heads=4, kv_heads=2, ff=512, vocab=512,
    experts=8, experts_used=2, expert_ff=256,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synth")


def test_the_gguf_package_reads_what_we_wrote(folder: Path) -> None:
    path = synthesize(folder / "read.gguf", TINY, "Q4_K_M", name="Tiny")

    oracle = GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in oracle.tensors}
    planned = plan(TINY, "Q4_K_M")

    assert list(tensors) == [tensor.name for tensor in planned]
    for tensor in planned:
        assert tuple(tensors[tensor.name].shape) == tensor.shape
        assert tensors[tensor.name].tensor_type.name == tensor.type
        assert tensors[tensor.name].n_bytes == tensor.n_bytes
    assert oracle.fields["general.name"].contents() == "Tiny"
    assert oracle.fields["llama.attention.head_count_kv"].contents() == 2
    assert oracle.fields["llama.rope.freq_base"].contents() == 10000.0
    assert oracle.fields["tokenizer.ggml.add_bos_token"].contents() is False
    assert len(oracle.fields["tokenizer.ggml.tokens"].contents()) == 2048


def test_the_header_told_beforehand_is_that_of_the_file(folder: Path) -> None:
    path = synthesize(folder / "before.gguf", EXPERTS, "Q5_K_M")

    told, read = header(EXPERTS, "Q5_K_M", path), read_model(path)

    assert told.tensors == read.tensors
    for name in ("n_layer", "n_embd", "n_head", "n_head_kv", "n_vocab", "n_params", "quant"):
        assert getattr(told, name) == getattr(read, name), name


@pytest.mark.parametrize("recipe", BASE_TYPES)
def test_weights_are_finite_and_have_no_drift(folder: Path, recipe: str) -> None:
    path = synthesize(folder / f"{recipe}.gguf", EXPERTS, recipe, seed=3)

    for tensor in GGUFReader(path).tensors:
        if len(tensor.shape) < 2:
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        expected = (
            0.02 if tensor.name.startswith(("token_embd", "output")) else tensor.shape[0] ** -0.5
        )
        assert np.isfinite(values).all(), tensor.name
        assert 0.5 < values.std() / expected < 2, (tensor.name, tensor.tensor_type.name)
        n_blocks = tensor.n_elements / BLOCKS[tensor.tensor_type.name][0]
        # A block may lean to one side; which one is drawn anew for each.
        assert abs(values.mean()) < 5 * expected / n_blocks**0.5, tensor.name


def test_every_page_is_written_and_none_is_like_another(folder: Path) -> None:
    path = synthesize(folder / "pages.gguf", TINY, "Q8_0")

    data = path.read_bytes()
    weights = data[read_model(path).data_offset :]
    pages = [weights[at : at + 4096] for at in range(0, len(weights) - 4096, 4096)]

    assert path.stat().st_blocks * 512 >= path.stat().st_size, "the file has holes"
    assert len({hashlib.sha256(page).digest() for page in pages}) == len(pages)


def test_a_seed_gives_the_same_file_and_another_another(folder: Path) -> None:
    first, same, other = (
        synthesize(folder / f"seed{i}.gguf", TINY, "Q4_0", seed=seed).read_bytes()
        for i, seed in enumerate((1, 1, 2))
    )
    assert first == same
    assert first != other
    assert len(first) == len(other)


def test_what_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(n_bytes: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        synthesize(tmp_path / "cut.gguf", TINY, "Q4_0", on_written=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    tensors = lay_out([("t", (32,), "F32")])
    with pytest.raises(ValueError, match="3 bytes for a tensor of 128"):
        write_gguf(tmp_path / "short.gguf", {}, tensors, lambda tensor: [b"abc"])


def test_a_row_of_no_whole_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of 100 are not whole blocks of Q4_K"):
        lay_out([("t", (100, 2), "Q4_K")])


@pytest.mark.parametrize("size", [259, 300, 2048, 32000, 151936, 262208])
def test_a_vocabulary_has_the_size_it_was_asked_for(size: int) -> None:
    words = vocabulary(size)
    tokens, merges = words["tokenizer.ggml.tokens"], words["tokenizer.ggml.merges"]
    assert isinstance(tokens, list)
    assert isinstance(merges, list)

    assert len(set(tokens)) == size == len(words["tokenizer.ggml.token_type"])  # type: ignore[arg-type]
    known = set(tokens)
    made = [merge.split(" ") for merge in merges] if size > 259 else []
    assert all({left, right, left + right} <= known for left, right in made)
