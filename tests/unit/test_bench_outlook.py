"""What is said of a model before it is there, and how it is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from kolo.bench.dimensions import Dimensions
from kolo.bench.host import cpu_name
from kolo.bench.known import KNOWN
from kolo.bench.known_outlooks import dimensions_of, known_estimate, remember
from kolo.bench.outlook import Outlook, Reading, Writing
from kolo.bench.report_outlook import lines, short
from kolo.bench.shapes import parse
from kolo.bench.synth import synthesize
from kolo.manager.machine import Machine, physical_cores
from kolo.models.gguf import read_model
from kolo.types import LoadParams

GIB = 1 << 30


def outlook(dimensions: Dimensions | None = None, **changes: object) -> Outlook:
    from importlib.metadata import version

    made = Outlook(
        name="qwen2.5-7b",
        quant="Q4_K_M",
        dimensions=dimensions or KNOWN["qwen2.5-7b"],
        n_params=7_615_616_512,
        size_bytes=4_677_000_000,
        when=0.0,
        cpu=cpu_name(),
        cores=physical_cores(),
        devices=[],
        memory_bytes=32 * GIB,
        llama_cpp=version("llama-cpp-python"),
        settings=LoadParams(),
        threads=8,
        gpu_layers=0,
        reading=[Reading(128, 900.0, 142.0), Reading(512, 3600.0, 142.0)],
        writing=[Writing(1, 12.0), Writing(4, 41.0), Writing(8, 64.0)],
        weights_bytes=4_677_000_000,
        resident_bytes=6 * GIB,
        kv_bytes_per_token=57_344,
        fixed_bytes=5 * GIB,
    )
    return replace(made, **changes)


def test_users_are_those_whose_context_fits_beside_the_weights() -> None:
    known = outlook()
    per_user = 57_344 * 4096
    assert known.users_that_fit(5 * GIB + 3 * per_user, 4096) == 3
    assert known.users_that_fit(5 * GIB + 3 * per_user - 1, 4096) == 2
    assert known.users_that_fit(GIB) == 0


@pytest.mark.parametrize(("rate", "users"), [(5.0, 8), (8.0, 8), (10.0, 4), (12.0, 1), (13.0, 0)])
def test_users_at_a_speed_are_the_most_that_were_measured_to_get_it(
    rate: float, users: int
) -> None:
    assert outlook().users_at(rate) == users


def test_a_person_reads_speed_memory_and_how_it_is_known() -> None:
    text = "\n".join(lines(outlook(), Machine(32 * GIB, 16 * GIB, "this machine")))
    assert "qwen2.5-7b:q4_k_m · 7.6 B weights, 4.7 GB to download" in text
    assert "prompt tokens       128      512\nfirst token      900 ms    3.6 s\n" in text
    assert "tok/s each         12.0     10.2      8.0\n" in text
    assert "50 users of 4,096 tokens fit in the 17.2 GB that are free" in text
    assert "4 users at once: 10 tok/s or more each" in text
    assert "measured in the engine with random weights" in text
    assert max(map(len, text.splitlines()[2:])) < 80
    assert short(outlook()).startswith("about 12.0 tok/s, first token of a 512-token prompt")


def test_a_remembered_outlook_is_found_by_its_shape(tmp_path: Path) -> None:
    known = outlook()
    remember(known, tmp_path)
    assert known_estimate(KNOWN["qwen2.5-7b"], "Q4_K_M", tmp_path) == known
    assert known_estimate(KNOWN["deepseek-r1-distill-qwen-7b"], "Q4_K_M", tmp_path) == known
    assert known_estimate(KNOWN["qwen2.5-7b"], "Q8_0", tmp_path) is None
    assert known_estimate(KNOWN["qwen2.5-14b"], "Q4_K_M", tmp_path) is None


def test_what_was_measured_elsewhere_does_not_count(tmp_path: Path) -> None:
    for change in ({"cpu": "another"}, {"cores": 999}, {"llama_cpp": "0.0.1"}):
        remember(outlook(**change), tmp_path)
    assert known_estimate(KNOWN["qwen2.5-7b"], "Q4_K_M", tmp_path) is None


def test_a_damaged_document_is_as_none(tmp_path: Path) -> None:
    remember(outlook(), tmp_path).write_bytes(b"{")
    assert known_estimate(KNOWN["qwen2.5-7b"], "Q4_K_M", tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "arch=llama,layers=2,embd=64,heads=2,ff=96,vocab=512,tied=true:q4_0",
        "arch=qwen3moe,layers=2,embd=64,heads=2,kv_heads=1,ff=96,vocab=512,experts=4,"
        "experts_used=2,expert_ff=64,head_dim=32:q4_0",
        "arch=gemma3,layers=2,embd=64,heads=2,ff=96,vocab=512,tied=true,window=128:q8_0",
    ],
)
def test_a_file_is_known_by_what_was_measured_of_its_shape(tmp_path: Path, text: str) -> None:
    wanted = parse(text)
    path = synthesize(tmp_path / "real.gguf", wanted.dimensions, wanted.quant)
    remember(outlook(wanted.dimensions, quant=wanted.quant), tmp_path)

    found = dimensions_of(read_model(path))

    assert found is not None
    assert known_estimate(found, wanted.quant, tmp_path) is not None


def test_a_file_of_an_architecture_nobody_can_make_has_no_dimensions(tmp_path: Path) -> None:
    import ggufs

    assert dimensions_of(read_model(ggufs.build(tmp_path, "mamba"))) is None
