"""``kolo bench --shape`` on a real worker: what it says, keeps, and leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import Kolo

SHAPE = "arch=llama,layers=2,embd=64,heads=2,ff=96,vocab=320,ctx_train=256:q8_0"


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*.gguf*") if path.suffix != ".log"]


def test_it_says_what_the_machine_would_do_and_remembers_it(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("bench", "--shape", SHAPE, "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "llama-2x64"
    assert told["quant"] == "Q8_0"
    assert [row["n_tokens"] for row in told["reading"]] == [128]
    assert [row["users"] for row in told["writing"]] == [1, 2, 4, 8, 16, 32]
    assert all(row["tokens_per_s"] > 0 for row in told["writing"])
    assert files(tmp_path) == []
    assert len(list((tmp_path / "state" / "kolo" / "bench" / "shapes").iterdir())) == 1


def test_a_person_gets_a_table_and_the_file_may_stay(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("bench", "--shape", SHAPE, "--keep")

    assert done.returncode == 0, done.stderr
    assert "llama-2x64:q8_0" in done.stdout
    assert "first token" in done.stdout
    assert "tok/s each" in done.stdout
    kept = files(tmp_path)
    assert [path.name for path in kept] == ["llama-2x64-q8_0.gguf"]

    shown = kolo("show", str(kept[0]))
    assert shown.returncode == 0, shown.stderr
    assert "on this machine" in shown.stdout


def test_what_was_loaded_in_another_way_is_not_remembered(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("bench", "--shape", SHAPE, "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["threads"] == 1
    assert not (tmp_path / "state" / "kolo" / "bench" / "shapes").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--shape", "qwen2.5-8b"), "no shape is known by the name"),
        (("--shape", SHAPE, "-o", "html"), "-o html is for a load"),
        (("--shape", SHAPE, "--ctx", "4096"), "--shape tries several lengths of context"),
        (("--keep",), "--keep is for the model of --shape"),
        (("--depth", "64"), "--depth is for --engine"),
        (("--shape", SHAPE, "-c", "1", "--engine", "--depth", "x"), "--depth: 'x' is no number"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    kolo: Kolo, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    done = kolo("bench", *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert files(tmp_path) == []


def test_a_model_larger_than_the_memory_is_refused_with_the_numbers(
    kolo: Kolo, tmp_path: Path
) -> None:
    done = kolo("bench", "--shape", "llama-3.1-405b:f32")
    assert done.returncode == 5
    assert "llama-3.1-405b:f32.gguf needs 16" in done.stderr
    assert "GB" in done.stderr
    assert files(tmp_path) == []


def test_a_load_can_be_measured_on_it_over_http(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo(
        "bench", "--shape", SHAPE, "-c", "2", "--rounds", "1", "-n", "4", "-p", "16",
        "--output-tokens", "8", "--engine", "--depth", "40", "-o", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["shape"]["architecture"] == "llama"
    assert told["summary"][0]["figures"]["tok_s"]["p50"] > 0
    assert [(cell["kind"], cell["depth"]) for cell in told["engine"]] == [
        ("prefill", 0), ("decode", 16), ("decode", 40),
    ]  # fmt: skip
    assert told["summary"][0]["engine_tok_s"] > 0
    assert files(tmp_path) == []
