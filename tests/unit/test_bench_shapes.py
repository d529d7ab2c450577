"""Known shapes against published numbers, and what ``--shape`` understands."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from kolo.bench.dimensions import Dimensions
from kolo.bench.known import KNOWN
from kolo.bench.shapes import check_disk, made, named, parse, written
from kolo.errors import BadParameter, LoadFailed

PUBLISHED = {
    "llama-3.2-1b": 1_235_814_400, "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248, "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800, "deepseek-r1-distill-qwen-1.5b": 1_777_088_000,
    "qwen2.5-0.5b": 494_032_768, "qwen2.5-1.5b": 1_543_714_304, "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512, "qwen2.5-14b": 14_770_033_664, "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648, "qwen3-0.6b": 596_049_920, "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096, "qwen3-8b": 8_190_735_360, "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264, "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560, "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984, "gemma-2-27b": 27_227_128_320, "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952, "gemma-3-4b": 3_880_263_168, "gemma-3-12b": 11_766_034_176,
    "gemma-3-27b": 27_009_346_304, "phi-3-mini": 3_821_079_552, "phi-3-medium": 13_960_238_080,
    "phi-4": 14_659_507_200, "phi-4-mini": 3_836_021_760, "mistral-7b": 7_248_023_552,
    "mistral-nemo-12b": 12_247_782_400, "mistral-small-24b": 23_572_403_200,
    "ministral-8b": 8_019_808_256, "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_630_071_296, "smollm2-135m": 134_515_008, "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384, "smollm3-3b": 3_075_098_624, "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672, "granite-3.3-2b": 2_533_539_840,
    "granite-3.3-8b": 8_170_864_640, "tinyllama-1.1b": 1_100_048_384, "stories-15m": 15_191_712,
}  # fmt: skip
"""Weights without the factors of the rotation, from the models' own pages."""

GB = 10**9
SIZES = {
    "qwen2.5-7b:q4_k_m": 4.68 * GB,
    "llama-3.1-8b:q4_k_m": 4.92 * GB,
    "llama-3.1-8b:q8_0": 8.54 * GB,
    "llama-3.1-70b:q4_k_m": 42.5 * GB,
    "llama-3.2-1b:q4_k_m": 0.808 * GB,
    "mixtral-8x7b:q4_k_m": 28.4 * GB,
    "gemma-2-9b:q4_k_m": 5.76 * GB,
    "gpt-oss-20b": 12.1 * GB,
    "mistral-7b:q4_0": 4.11 * GB,
    "qwen2.5-0.5b:q8_0": 0.531 * GB,
}
"""Of the files that are there to download, vocabulary included."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_known_shape_has_as_many_weights_as_published(name: str) -> None:
    dimensions = KNOWN[name]
    factors = sum(t.shape[0] for t in dimensions.tensors() if t.name.startswith("rope_f"))
    assert dimensions.n_params - factors == PUBLISHED[name]


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_shape_is_possible(name: str) -> None:
    assert KNOWN[name].problem() == ""


@pytest.mark.parametrize("name", SIZES)
def test_a_file_is_as_large_as_the_one_to_download(name: str) -> None:
    assert parse(name).result().size_bytes == pytest.approx(SIZES[name], rel=0.02)


def test_experts_that_are_not_used_are_not_active() -> None:
    assert KNOWN["qwen3-30b-a3b"].n_active == pytest.approx(3.3e9, rel=0.05)
    assert KNOWN["gpt-oss-20b"].n_active == pytest.approx(3.6e9 + 0.58e9, rel=0.05)
    assert KNOWN["qwen2.5-7b"].n_active == KNOWN["qwen2.5-7b"].n_params


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("qwen2.5-7b", "qwen2.5-7b:q4_k_m"),
        ("Qwen/Qwen2.5-7B-Instruct:Q8_0", "qwen2.5-7b:q8_0"),
        ("Qwen2.5-Coder-7B", "qwen2.5-7b:q4_k_m"),
        ("llama3.2-1b:f16", "llama-3.2-1b:f16"),
        ("mistral-7b-instruct-v0.3:q5-k-m", "mistral-7b:q5_k_m"),
        ("gpt-oss-20b", "gpt-oss-20b:mxfp4"),
        ("arch=llama,layers=2,embd=64,heads=2,ff=128,vocab=512:q4_0", "llama-2x64:q4_0"),
    ],
)
def test_a_shape_may_be_written_as_people_write_it(text: str, title: str) -> None:
    assert parse(text).title == title


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("qwen2.5-8b", "no shape is known by the name 'qwen2.5-8b'"),
        ("qwen2.5-7b:q4", "no quantization is known by the name 'q4'"),
        ("arch=llama,width=4", "'width=4' is no dimension"),
        ("arch=mamba,layers=2", "arch"),
        ("arch=llama,layers=2", "Object missing required field"),
        ("arch=llama,layers=2,embd=64,heads=3,ff=128,vocab=512", "embd 64 is not a multiple"),
        ("arch=llama,layers=2,embd=64,heads=2,ff=128,vocab=100", "vocab must be at least 259"),
        ("arch=qwen3moe,layers=2,embd=64,heads=2,ff=128,vocab=512", "needs experts"),
        ("arch=llama,layers=x,embd=64,heads=2,ff=128,vocab=512", "layers"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(text: str, says: str) -> None:
    with pytest.raises(BadParameter, match=says) as caught:
        parse(text)
    assert caught.value.param == "shape"


def test_a_wrong_name_gets_the_nearest_ones() -> None:
    with pytest.raises(BadParameter) as caught:
        parse("qwen2.5-8b")
    assert "qwen2.5-7b" in caught.value.hint


TINY = "arch=llama,layers=1,embd=64,heads=2,ff=128,vocab=512:q8_0"


async def test_the_file_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path))
    said: list[str] = []

    async with made(TINY, said.append) as (path, shape):
        assert path.stat().st_size > shape.size_bytes
        assert path.is_relative_to(tmp_path / "cache")
    assert not path.parent.exists()
    assert any("100%" in line for line in said)


async def test_a_kept_file_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path))
    async with written(parse(TINY), str, keep=True) as first:
        before = first.stat().st_mtime_ns
    async with written(parse(TINY), str, keep=True) as second:
        assert second.stat().st_mtime_ns == before


async def test_what_a_killed_run_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOLO_HOME", str(tmp_path))
    left = tmp_path / "cache" / "shapes" / "run-99999999"
    other = tmp_path / "cache" / "shapes" / f"run-{os.getppid()}"
    for folder in (left, other):
        folder.mkdir(parents=True)
        (folder / "big.gguf").write_bytes(b"x")
    async with written(parse(TINY), str):
        pass
    assert not left.exists()
    assert other.exists(), "that run is still alive"


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 30))
    with pytest.raises(LoadFailed, match=r"takes 4\.9 GB on disk, 1\.1 GB are free"):
        check_disk(parse("qwen2.5-7b:q4_k_m"), tmp_path / "not" / "there")
    check_disk(parse("qwen2.5-0.5b:q4_0"), tmp_path)


def test_dimensions_left_out_follow_from_the_others() -> None:
    model = Dimensions(arch="llama", layers=1, embd=64, heads=4, ff=96, vocab=300)
    assert (model.n_head_kv, model.n_head_dim, model.n_expert_ff) == (4, 16, 96)


@pytest.mark.parametrize(
    ("reference", "shape"),
    [
        ("hf:bartowski/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "qwen2.5-0.5b"),
        ("ollama:qwen2.5:0.5b", "qwen2.5-0.5b"),
        ("ollama:llama3.2:1b-instruct-q4_0", "llama-3.2-1b"),
        (
            "TheBloke/Mistral-7B-Instruct-v0.2-GGUF/mistral-7b-instruct-v0.2.Q4_K_M.gguf",
            "mistral-7b",
        ),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "llama-3.1-8b"),
        ("unsloth/gpt-oss-20b-GGUF", "gpt-oss-20b"),
        ("somebody/their-own-7b", None),
        ("ollama:nomic-embed-text", None),
    ],
)
def test_a_name_tells_its_shape(reference: str, shape: str | None) -> None:
    assert named(reference) == shape
