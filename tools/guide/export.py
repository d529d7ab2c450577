"""Write the trained network as a GGUF file: weights in Q8_0, tokenizer and chat template inside.

    python tools/guide/export.py --run build/guide --to kolo/models/data/guide.gguf

The file appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import gguf
import torch
from gguf.quants import quantize
from model import Shape
from tokenizers import Tokenizer
from tokens import CONTROL, END_OF_TEXT, PAD, TURN_END, USER_DEFINED

HERE = Path(__file__).parent


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """The vocabulary, the merges and the tokens with a task."""
    stored = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    assert [number for _, number in vocabulary] == list(range(len(vocabulary)))
    kinds = dict.fromkeys(CONTROL, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(USER_DEFINED, gguf.TokenType.USER_DEFINED)

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token, _ in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in stored["merges"]])
    writer.add_bos_token_id(END_OF_TEXT)
    writer.add_eos_token_id(TURN_END)
    writer.add_eot_token_id(TURN_END)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)
    for key, token in (
        (gguf.Keys.Tokenizer.FIM_PRE_ID, "<|fim_prefix|>"),
        (gguf.Keys.Tokenizer.FIM_SUF_ID, "<|fim_suffix|>"),
        (gguf.Keys.Tokenizer.FIM_MID_ID, "<|fim_middle|>"),
    ):
        writer.add_uint32(key, tokenizer.token_to_id(token))
    writer.add_chat_template((HERE / "template.jinja").read_text(encoding="utf-8"))


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Everything llama.cpp must know to build the network."""
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def export(run: Path, target: Path) -> None:
    """Write the GGUF file of a training run."""
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    weights = torch.load(run / "weights.pt", weights_only=True)
    shape = Shape(vocab=tokenizer.get_vocab_size())
    count = sum(tensor.numel() for tensor in weights.values())

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    writer = gguf.GGUFWriter(part, "llama")
    writer.add_type("model")
    writer.add_name("Kolo guide")
    writer.add_author("The Kolo engineers")
    writer.add_description("The small model that ships with Kolo. It answers questions about Kolo.")
    writer.add_license("apache-2.0")
    writer.add_size_label(f"{count / 1e6:.1f}M")
    writer.add_languages(["en"])
    writer.add_sampling_temp(0.3)
    add_shape(writer, shape)
    add_tokenizer(writer, tokenizer)
    for name, tensor in weights.items():
        values = tensor.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            packed = quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    print(f"{target}: {count} weights, {target.stat().st_size} bytes")


def main() -> None:
    """Read the options and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("build/guide"))
    parser.add_argument("--to", type=Path, default=Path("kolo/models/data/guide.gguf"))
    options = parser.parse_args()
    export(options.run, options.to)


if __name__ == "__main__":
    main()
