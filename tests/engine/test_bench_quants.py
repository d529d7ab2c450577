"""llama.cpp as the judge of made models: its quantizer of the mixes, its loader of the tensors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import prompt, worker

from kolo.bench.blueprint import plan
from kolo.bench.dimensions import Dimensions
from kolo.bench.quants import BASE_TYPES, FILE_TYPE_NUMBERS
from kolo.bench.shapes import parse
from kolo.bench.synth import synthesize
from kolo.models.gguf import read_model
from kolo.types import LoadParams, Sampling

_QUANTIZE = """
import ctypes, json, sys
import llama_cpp
for source, target, number in json.loads(sys.argv[1]):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = number
    params.nthread = 1
    status = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    assert status == 0, target
"""

_SIZES = {"layers": 16, "embd": 256, "heads": 8, "ff": 256, "vocab": 300}
_FEW = {**_SIZES, "layers": 8}
MODELS = {
    "grouped": Dimensions(arch="llama", kv_heads=2, **_SIZES),
    "tied": Dimensions(arch="qwen2", tied=True, **_FEW),
    "fused": Dimensions(arch="phi3", **_FEW),
    "eight experts": Dimensions(arch="llama", experts=8, experts_used=2, **_FEW),
    "other experts": Dimensions(arch="qwen3moe", kv_heads=2, experts=3, experts_used=2, **_FEW),
    "rows no multiple of 256": Dimensions(
        arch="llama", layers=9, embd=288, heads=6, ff=416, vocab=300
    ),
}
IN_EVERY_MIX = ("grouped", "rows no multiple of 256")
MIXES = ("Q2_K", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_XS")
"""For the other models, where making each mix would take too long and show nothing new."""


@pytest.mark.parametrize("name", MODELS)
def test_every_mix_is_what_llama_cpp_quantizes_to(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    source = synthesize(tmp_path / "source.gguf", model, "F32")
    recipes = {*BASE_TYPES} - {"F32", "MXFP4"} if name in IN_EVERY_MIX else {*MIXES}
    if model.experts:
        recipes.add("MXFP4")
    orders = {
        recipe: (str(source), str(tmp_path / f"{recipe}.gguf"), FILE_TYPE_NUMBERS[recipe])
        for recipe in recipes
    }
    done = subprocess.run(
        [sys.executable, "-c", _QUANTIZE, json.dumps(list(orders.values()))],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for recipe, (_, path, _) in orders.items():
        judged = {tensor.name: tensor.type for tensor in read_model(Path(path)).tensors}
        assert {tensor.name: tensor.type for tensor in plan(model, recipe)} == judged, recipe


_TINY = "layers=2,embd=64,heads=2,ff=96,vocab=1200,ctx_train=512"


@pytest.mark.parametrize(
    "text",
    [
        f"arch=llama,{_TINY},rope_factors=true:q8_0",
        f"arch=llama,{_TINY},experts=8,experts_used=2:q4_0",
        f"arch=qwen2,{_TINY},kv_heads=1:q5_1",
        f"arch=qwen3,{_TINY},head_dim=64,tied=true:f16",
        f"arch=qwen3moe,{_TINY},experts=4,experts_used=2,expert_ff=32:q4_k_m",
        f"arch=gemma2,{_TINY},tied=true,window=128:iq4_nl",
        f"arch=gemma3,{_TINY},tied=true,window=128:q5_0",
        f"arch=phi3,{_TINY},rope_factors=true,rope_dim=24:bf16",
        f"arch=granite,{_TINY},tied=true:q4_1",
        f"arch=smollm3,{_TINY},tied=true:q4_0",
        f"arch=gpt-oss,{_TINY},experts=4,experts_used=2,window=128:mxfp4",
    ],
)
def test_llama_cpp_loads_every_architecture_and_writes_text_with_it(
    text: str, tmp_path: Path
) -> None:
    wanted = parse(text)
    path = synthesize(tmp_path / "made.gguf", wanted.dimensions, wanted.quant, name="made")

    with worker(str(path), LoadParams(ctx=256, parallel=2, threads=1, warmup=False)) as started:
        greedy = Sampling(temperature=0, ignore_eos=True)
        answer = started.ask(prompt("hello there", sampling=greedy, max_tokens=24))
        again = started.ask(prompt("hello there", sampling=greedy, max_tokens=24))

    assert started.info.n_params == wanted.dimensions.n_params
    assert started.info.chat_template
    assert answer.generated.usage.completion_tokens == 24
    assert answer.text()
    assert answer.text() == again.text()
    assert len(set(answer.text())) > 3, "activations that are not finite give one token for ever"
