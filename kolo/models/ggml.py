"""Tables of llama.cpp: tensor types, file types, and architectures that need to be told apart.

Sources: ``ggml.h`` (``ggml_type``) and ``ggml.c`` (``type_traits``), ``llama.h``
(``llama_ftype``), ``llama-model.cpp`` (``create_memory``), ``llama-arch.cpp``.
"""

from __future__ import annotations

TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
"""Number in the file: name, elements in a block, bytes of a block."""

REMOVED_TENSOR_TYPES = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
"""Types that older llama.cpp wrote and no longer reads."""

BLOCKS = {name: (elements, n_bytes) for name, elements, n_bytes in TENSOR_TYPES.values()}
"""Name of a tensor type: elements in a block, bytes of a block."""

FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
"""``general.file_type`` to the name a file of that quantization carries."""

ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    }
)
"""Architectures that embed and cannot generate; their context has no memory."""

RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
"""Architectures with a state of fixed size for each sequence and no KV cache."""

REPACKED = {
    "x86_64": frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "MXFP4"}),
    "aarch64": frozenset(
        {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q1_0", "IQ4_NL", "MXFP4"},
    ),
}
"""Tensor types of which llama.cpp makes a second, rearranged copy for the CPU's kernels, by
machine (``ggml-cpu/repack.cpp``, all the kernels a machine of the kind may have)."""

_DIFFUSION = "a diffusion model, which does not generate token after token"
_ENCODER_DECODER = "an encoder-decoder model, which is not supported"
_DRAFT = "a draft for another model, not a model of its own"
_SPEECH = "a part of a speech synthesizer"

NOT_MODELS = {
    # general.type
    "adapter": "an adapter (LoRA), to be given beside the model it was made for (`lora`)",
    "imatrix": "an importance matrix, of use only while quantizing",
    "mmproj": "a projector for images or sound, which goes with a model but is none",
    # general.architecture
    "clip": "a projector for images or sound, which goes with a model but is none",
    "controlvector": "a control vector, which goes with a model but is none",
    "dflash": _DRAFT,
    "dream": _DIFFUSION,
    "eagle3": _DRAFT,
    "gemma4-assistant": _DRAFT,
    "llada": _DIFFUSION,
    "llada-moe": _DIFFUSION,
    "pockettts": _SPEECH,
    "qwen3tts": _SPEECH,
    "rnd1": _DIFFUSION,
    "t5": _ENCODER_DECODER,
    "t5encoder": _ENCODER_DECODER,
    "wavtokenizer-dec": _SPEECH,
}
"""Sound GGUF files that cannot be loaded to generate, embed or rank text: why."""
