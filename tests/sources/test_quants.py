"""From file names to models, and which of them is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.errors import KoloError
from kolo.models.sources.quants import Listed, choose, groups, projector, quant_of


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Llama-3.2-1B-Instruct-Q8_0.gguf", "Q8_0"),
        ("Meta-Llama-3-8B.IQ3_XXS.gguf", "IQ3_XXS"),
        ("model-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("model.fp16.gguf", "F16"),
        ("model-bf16-00001-of-00002.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("bitnet-TQ2_0.gguf", "TQ2_0"),
        ("ggml-model-i2_s.gguf", ""),
        ("Q4_K_M/model-Q6_K.gguf", "Q6_K"),
        ("model.gguf", ""),
        ("QwQ-32B.gguf", ""),
    ],
)
def test_the_quant_is_read_from_the_name(name: str, quant: str) -> None:
    assert quant_of(name) == quant


def test_a_folder_can_tell_the_quant() -> None:
    (found,) = groups([Listed("Q5_K_M/model-00001-of-00001.gguf", 5)])
    assert found.quant == "Q5_K_M"


def test_parts_are_one_model_in_order_and_others_are_none() -> None:
    names = [
        "m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q4_0.gguf",
        "mmproj-m-F16.gguf", "m.imatrix.gguf", "README.md", "m.safetensors",
    ]  # fmt: skip
    found = {group.quant: group for group in groups([Listed(name, 1) for name in names])}
    assert set(found) == {"Q8_0", "Q4_0"}
    assert [file.path for file in found["Q8_0"].files] == names[1::-1]
    assert found["Q8_0"].size_bytes == 2


@pytest.mark.parametrize(
    ("there", "default", "taken"),
    [
        (["Q8_0", "Q4_K_M"], "Q4_K_M", "Q4_K_M"),
        (["Q8_0", "Q4_K_S", "Q2_K"], "Q4_K_M", "Q4_K_S"),
        (["Q8_0", "F16"], "Q4_K_M", "Q8_0"),
        (["IQ1_S", "Q6_K"], "Q4_K_M", "Q6_K"),
        (["UD-Q4_K_XL", "Q8_0"], "Q4_K_M", "UD-Q4_K_XL"),
        (["Q8_0", "Q4_K_M"], "q8_0", "Q8_0"),
        (["F16"], "Q4_K_M", "F16"),
    ],
)
def test_the_default_or_the_nearest_is_taken(there: list[str], default: str, taken: str) -> None:
    found = groups([Listed(f"m-{quant}.gguf", n) for n, quant in enumerate(there)])
    group, why = choose(found, "", default, "some/repo")
    assert group.quant == taken
    assert bool(why) == (len(there) > 1)


def test_the_projector_of_its_own_folder_goes_first() -> None:
    files = [
        Listed("small/m-Q4_0.gguf"), Listed("small/mmproj-F16.gguf"),
        Listed("small/mmproj-BF16.gguf"), Listed("mmproj-F16.gguf"), Listed("big/m-Q8_0.gguf"),
    ]  # fmt: skip
    by_quant = {group.quant: group for group in groups(files)}
    assert projector(files, by_quant["Q4_0"]) == Listed("small/mmproj-F16.gguf")
    assert projector(files, by_quant["Q8_0"]) == Listed("mmproj-F16.gguf")
    assert projector(files[:1], by_quant["Q4_0"]) is None


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=10))
def test_no_names_break_the_choice(names: list[str], wanted: str) -> None:
    found = groups([Listed(f"{name}.gguf", 1) for name in names])
    try:
        group, _ = choose(found, wanted, "Q4_K_M", "some/repo")
    except KoloError:
        return
    assert group in found
