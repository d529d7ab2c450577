"""How long reading the header of a large GGUF file takes.

    python bench/gguf_header.py --gb 10

Writes a sparse file of that size with the header of a model of 8 billion parameters (291 tensors,
a vocabulary of 128,256 tokens and 280,147 merges), and reads its header: once cold, as far as the
page cache of this machine can be emptied of one file, then several times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from kolo.models.gguf import read_header

LAYERS, EMBD, FF, VOCAB, MERGES, KV = 32, 4096, 14336, 128_256, 280_147, 1024


def write(path: Path, n_bytes: int) -> None:
    """The header of such a model, then nothing but a hole to ``n_bytes`` and over."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(EMBD)
    writer.add_head_count(32)
    writer.add_head_count_kv(8)
    writer.add_context_length(131072)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token-{i}" for i in range(VOCAB)])
    writer.add_token_types([1] * VOCAB)
    writer.add_token_merges([f"left-{i} right-{i}" for i in range(MERGES)])
    shapes = {"token_embd.weight": (VOCAB, EMBD), "output.weight": (VOCAB, EMBD)}
    shapes["output_norm.weight"] = (1, EMBD)
    for i in range(LAYERS):
        for name, rows in (("q", EMBD), ("k", KV), ("v", KV), ("output", EMBD)):
            shapes[f"blk.{i}.attn_{name}.weight"] = (rows, EMBD)
        for name, rows, columns in (("gate", FF, EMBD), ("up", FF, EMBD), ("down", EMBD, FF)):
            shapes[f"blk.{i}.ffn_{name}.weight"] = (rows, columns)
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{i}.{name}.weight"] = (1, EMBD)
    for name, shape in shapes.items():
        # Eight bits a weight, and told to be F32 or quantized by what the writer derives.
        n = shape[0] * shape[1] // 32 * 34
        writer.add_tensor_info(
            name, (shape[0], shape[1] // 32 * 34), np.dtype(np.uint8), n, GGMLQuantizationType.Q8_0
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    needed = path.stat().st_size + sum(t.n_bytes for t in _tensors(path))
    os.truncate(path, max(needed, n_bytes))


def _tensors(path: Path) -> list:  # type: ignore[type-arg]
    os.truncate(path, 1 << 40)  # until its end is known
    return read_header(path).tensors


def cold(path: Path) -> float:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    return timed(path)


def timed(path: Path) -> float:
    began_s = time.perf_counter()
    read_header(path)
    return (time.perf_counter() - began_s) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.gguf"
        write(path, int(options.gb * 1e9))
        header = read_header(path)
        size = path.stat()
        print(
            f"{size.st_size / 1e9:.1f} GB ({size.st_blocks * 512 / 1e6:.0f} MB on disk), header "
            f"{header.data_offset / 1e6:.1f} MB, {len(header.tensors)} tensors, "
            f"{header.n_vocab} tokens"
        )
        first = cold(path)
        runs = sorted(timed(path) for _ in range(options.runs))
        print(
            f"cold {first:.1f} ms, warm median {statistics.median(runs):.1f} ms, "
            f"worst of {options.runs} {runs[-1]:.1f} ms"
        )


if __name__ == "__main__":
    main()
