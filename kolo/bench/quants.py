"""Which type each tensor of a quantized file has: llama.cpp's own mixes.

``Q4_K_M`` and the like are recipes: most matrices in one type, the ones that suffer most in a
finer one. The recipes are those of ``llama_tensor_get_type_impl`` (``llama-quant.cpp``) of the
pinned version, without an importance matrix.
"""

from __future__ import annotations

from kolo.bench.dimensions import Dimensions, Tensor
from kolo.models.ggml import BLOCKS, FILE_TYPES

BASE_TYPES = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q4_0": "Q4_0",
    "Q4_1": "Q4_1",
    "Q5_0": "Q5_0",
    "Q5_1": "Q5_1",
    "Q8_0": "Q8_0",
    "Q2_K": "Q2_K",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "Q6_K": "Q6_K",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "MXFP4": "MXFP4",
}
"""Recipe: the type of most matrices."""

FILE_TYPE_NUMBERS = {name: number for number, name in FILE_TYPES.items() if name in BASE_TYPES}

_UNQUANTIZED = ("F32", "F16", "BF16")
_FALLBACKS = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "IQ4_XS": "IQ4_NL",
}
"""Types of blocks of 256, and what rows that are no multiple of it get."""


def tensor_type(model: Dimensions, recipe: str, tensor: Tensor) -> str:
    """The type of ``tensor`` in a file of ``model`` quantized by ``recipe`` (``Q4_K_M``)."""
    if tensor.role not in ("matrix", "embedding") or len(tensor.shape) < 2:
        return "F32"
    base = BASE_TYPES[recipe]
    if base in _UNQUANTIZED:
        return base
    return _that_fits(_chosen(model, recipe, tensor), tensor.shape[0])


def _chosen(model: Dimensions, recipe: str, tensor: Tensor) -> str:
    base = BASE_TYPES[recipe]
    name = tensor.name
    if name == "output.weight" or (name == "token_embd.weight" and model.tied):
        return _output_type(recipe, base, tensor.shape[0])
    if recipe == "MXFP4":
        return "MXFP4" if len(tensor.shape) == 3 and tensor.shape[2] > 1 else "Q8_0"
    if name == "token_embd.weight":
        return base
    layer = int(name.split(".")[1])
    if "attn_v." in name or "attn_qkv." in name:
        return _value_type(model, recipe, layer)
    if "attn_k." in name and model.experts == 8:
        return "Q8_0"
    if "ffn_down" in name:
        return _down_type(model, recipe, layer)
    if "attn_output." in name:
        return _attention_output_type(model, recipe)
    return base


def _output_type(recipe: str, base: str, row: int) -> str:
    if recipe == "MXFP4" or base == "Q8_0" or row % BLOCKS[base][0]:
        return "Q8_0"
    return "Q6_K"


def _value_type(model: Dimensions, recipe: str, layer: int) -> str:
    if model.experts == 8:
        return "Q8_0"
    shared = model.heads // model.n_head_kv
    chosen = BASE_TYPES[recipe]
    match recipe:
        case "Q2_K":
            chosen = "Q4_K" if shared >= 4 else "Q3_K"
        case "Q3_K_M":
            chosen = "Q5_K" if layer < 2 else "Q4_K"
        case "Q3_K_L":
            chosen = "Q5_K"
        case "IQ4_NL" | "IQ4_XS" if shared >= 4:
            chosen = "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, model.layers):
            chosen = "Q6_K"
        case "Q4_K_S" if layer < 4:
            chosen = "Q5_K"
    if model.layers == 80 and model.arch in ("llama", "qwen2") and chosen in ("Q3_K", "Q4_K"):
        return "Q5_K"  # llama.cpp takes these for 70B, where V is an eighth of Q
    return chosen


def _down_type(model: Dimensions, recipe: str, layer: int) -> str:
    first = layer < model.layers // 8
    match recipe:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < model.layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, model.layers):
            return "Q6_K"
        case "Q4_K_S" | "IQ4_NL" | "IQ4_XS" if first:
            return "Q5_K"
    return BASE_TYPES[recipe]


def _attention_output_type(model: Dimensions, recipe: str) -> str:
    if model.experts == 8:
        finer = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "IQ4_XS", "Q4_K_S", "Q4_K_M")
        return "Q5_K" if recipe in finer else BASE_TYPES[recipe]
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(recipe, BASE_TYPES[recipe])


def _more_bits(layer: int, n_layers: int) -> bool:
    """The first and last eighth, and every third between."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


def _that_fits(chosen: str, row: int) -> str:
    """``chosen``, or what llama.cpp falls back to when a row is not whole blocks of it."""
    if row % BLOCKS[chosen][0] == 0:
        return chosen
    smaller = _FALLBACKS.get(chosen, chosen)
    return smaller if row % BLOCKS[smaller][0] == 0 else "F16"
