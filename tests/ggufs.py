"""Small real GGUF files with random weights, for tests that need llama.cpp to load something.

``build(folder, name)`` writes one of ``MODELS`` once and returns its path; the functions below
it take every dimension. All use the ``gguf`` package, so they share no code with our own reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Ids 0, 1 and 2 of the byte-level vocabulary; the bytes 0..255 follow as ids 3..258."""

INFILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

WORDS = ("the", "hello", "world", "answer", "user", "assistant", "system")
"""Words the merges of the byte-level vocabulary build up to one token, bare and after a space."""


def build(folder: Path, name: str) -> Path:
    """The file of model ``name`` in ``folder``, written on the first call.

    Safe for several test processes that share ``folder``: written aside, then renamed.
    """
    path = folder / f"{name}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{name}.{os.getpid()}.part"
        MODELS[name](unfinished)
        unfinished.rename(path)
    return path


def tiny_llama(
    path: Path,
    *,
    vocab: int | None = None,
    layers: int = 2,
    n_embd: int = 64,
    n_head: int = 2,
    n_head_kv: int | None = None,
    n_ff: int = 128,
    n_ctx: int = 1024,
    seed: int = 0,
    template: str | None = CHATML,
    infill: bool = False,
    quant: str = "F32",
    extra: Mapping[str, Any] | None = None,
    split_tensors: int = 0,
) -> Path:
    """A Llama that generates, with a byte-level BPE vocabulary (see ``byte_vocabulary``).

    Its greedy text is printable ASCII without sense and without end.

    ``vocab`` pads the vocabulary to that many tokens; ``infill`` adds fill-in-the-middle tokens;
    ``quant`` (F32, F16, Q4_0, Q8_0) is the type of the matrices; ``extra`` adds metadata;
    ``split_tensors`` splits the file into shards of that many tensors, and the path returned is
    then the first shard's.
    """
    head_kv = n_head_kv or n_head
    head_dim = n_embd // n_head
    writer = GGUFWriter(path, "llama", split_max_tensors=split_tensors)
    writer.add_type("model")
    writer.add_name("Tiny Llama")
    writer.add_file_type(_FILE_TYPES[quant])
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_head_count_kv(head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(10000.0)
    n_vocab = byte_vocabulary(writer, vocab, infill)
    if template is not None:
        writer.add_chat_template(template)
    _add_metadata(writer, extra)

    weights = _Weights(writer, seed, quant)
    weights.matrix("token_embd.weight", n_vocab, n_embd, scale=1.0)
    weights.ones("output_norm.weight", n_embd)
    weights.matrix("output.weight", n_vocab, n_embd, rows_used=_PRINTABLE)
    for i in range(layers):
        block = f"blk.{i}"
        weights.ones(f"{block}.attn_norm.weight", n_embd)
        weights.matrix(f"{block}.attn_q.weight", n_head * head_dim, n_embd)
        weights.matrix(f"{block}.attn_k.weight", head_kv * head_dim, n_embd)
        weights.matrix(f"{block}.attn_v.weight", head_kv * head_dim, n_embd)
        weights.matrix(f"{block}.attn_output.weight", n_embd, n_head * head_dim)
        weights.ones(f"{block}.ffn_norm.weight", n_embd)
        weights.matrix(f"{block}.ffn_gate.weight", n_ff, n_embd)
        weights.matrix(f"{block}.ffn_up.weight", n_ff, n_embd)
        weights.matrix(f"{block}.ffn_down.weight", n_embd, n_ff)
    return _finish(writer, path)


def tiny_mamba(
    path: Path, *, layers: int = 2, n_embd: int = 64, seed: int = 0, template: str | None = CHATML
) -> Path:
    """A Mamba: recurrent state instead of a KV cache, the vocabulary of ``tiny_llama``."""
    d_inner, d_conv, d_state, dt_rank = 2 * n_embd, 4, 16, 4
    writer = GGUFWriter(path, "mamba")
    writer.add_type("model")
    writer.add_name("Tiny Mamba")
    writer.add_file_type(_FILE_TYPES["F32"])
    writer.add_context_length(1024)
    writer.add_embedding_length(n_embd)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(layers)
    writer.add_ssm_conv_kernel(d_conv)
    writer.add_ssm_inner_size(d_inner)
    writer.add_ssm_state_size(d_state)
    writer.add_ssm_time_step_rank(dt_rank)
    writer.add_layer_norm_rms_eps(1e-5)
    n_vocab = byte_vocabulary(writer)
    if template is not None:
        writer.add_chat_template(template)

    weights = _Weights(writer, seed, "F32")
    weights.matrix("token_embd.weight", n_vocab, n_embd, scale=1.0)
    weights.ones("output_norm.weight", n_embd)
    weights.matrix("output.weight", n_vocab, n_embd, rows_used=_PRINTABLE)
    for i in range(layers):
        block = f"blk.{i}"
        weights.ones(f"{block}.attn_norm.weight", n_embd)
        weights.matrix(f"{block}.ssm_in.weight", 2 * d_inner, n_embd)
        weights.matrix(f"{block}.ssm_conv1d.weight", d_inner, d_conv)
        weights.zeros(f"{block}.ssm_conv1d.bias", d_inner)
        weights.matrix(f"{block}.ssm_x.weight", dt_rank + 2 * d_state, d_inner)
        weights.matrix(f"{block}.ssm_dt.weight", d_inner, dt_rank)
        weights.zeros(f"{block}.ssm_dt.bias", d_inner)
        weights.array(f"{block}.ssm_a", -np.tile(np.arange(1, d_state + 1), (d_inner, 1)))
        weights.ones(f"{block}.ssm_d", d_inner)
        weights.matrix(f"{block}.ssm_out.weight", n_embd, d_inner)
    return _finish(writer, path)


def tiny_bert(
    path: Path,
    *,
    pooling: str = "mean",
    layers: int = 2,
    n_embd: int = 64,
    n_head: int = 2,
    n_ff: int = 128,
    n_ctx: int = 512,
    seed: int = 0,
) -> Path:
    """A BERT that embeds (``pooling`` mean, cls or last) or scores (rank), WordPiece vocabulary."""
    writer = GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name("Tiny BERT")
    writer.add_file_type(_FILE_TYPES["F32"])
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(n_ff)
    writer.add_head_count(n_head)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[pooling.upper()])
    n_vocab = _wordpiece_vocabulary(writer)

    weights = _Weights(writer, seed, "F32")
    weights.matrix("token_embd.weight", n_vocab, n_embd, scale=1.0)
    weights.matrix("token_types.weight", 2, n_embd)
    weights.matrix("position_embd.weight", n_ctx, n_embd)
    weights.norm("token_embd_norm", n_embd)
    for i in range(layers):
        block = f"blk.{i}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.linear(f"{block}.{name}", n_embd, n_embd)
        weights.norm(f"{block}.attn_output_norm", n_embd)
        weights.linear(f"{block}.ffn_up", n_ff, n_embd)
        weights.linear(f"{block}.ffn_down", n_embd, n_ff)
        weights.norm(f"{block}.layer_output_norm", n_embd)
    if pooling == "rank":
        weights.linear("cls", n_embd, n_embd)
        weights.linear("cls.output", 1, n_embd)
    return _finish(writer, path)


def tiny_reranker(path: Path, *, seed: int = 0) -> Path:
    """A cross-encoder: BERT with rank pooling and a classifier of one output."""
    return tiny_bert(path, pooling="rank", seed=seed)


MODELS: dict[str, Callable[[Path], Path]] = {
    "llama": tiny_llama,
    "mamba": tiny_mamba,
    "bert": tiny_bert,
    "reranker": tiny_reranker,
}


def byte_vocabulary(writer: GGUFWriter, size: int | None = None, infill: bool = False) -> int:
    """Add a byte-level BPE vocabulary, padded to ``size`` tokens; return its size.

    Every text is representable; ``infill`` adds the tokens of ``INFILL``. No beginning-of-text
    token is added; ``<|im_end|>`` ends a turn, ``<|endoftext|>`` pads.
    """
    tokens = [*SPECIALS, *_byte_letters()]
    merges: list[str] = []
    for word in WORDS:
        merged = word[0]
        for letter in word[1:]:
            merges.append(f"{merged} {letter}")
            merged += letter
            tokens.append(merged)
        merges.append(f"Ġ {word}")
        tokens.append(f"Ġ{word}")
    merges, tokens = list(dict.fromkeys(merges)), list(dict.fromkeys(tokens))
    types = [TokenType.CONTROL] * len(SPECIALS)
    types += [TokenType.NORMAL] * (len(tokens) - len(SPECIALS))
    if infill:
        tokens += INFILL
        types += [TokenType.CONTROL] * len(INFILL)
    if size is not None:
        missing = size - len(tokens)
        assert missing >= 0, f"vocab must be at least {len(tokens)}"
        tokens += [f"<|unused_{i}|>" for i in range(missing)]
        types += [TokenType.UNUSED] * missing
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_eot_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    return len(tokens)


def _byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte, in byte order (openai/gpt-2 encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in letters)
    letters |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def _wordpiece_vocabulary(writer: GGUFWriter) -> int:
    """Add a WordPiece vocabulary: every ASCII letter and sign, a few words; return its size.

    llama.cpp marks the start of a word with U+2581 where BERT marks its continuation with ``##``.
    """
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
    words = ["hello", "world", "paris", "capital", "france", "the", "of", "is"]
    tokens = [*specials, *(f"▁{text}" for text in letters + words), *letters]
    types = [TokenType.CONTROL] * len(specials)
    types += [TokenType.NORMAL] * (len(tokens) - len(specials))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))
    return len(tokens)


_PRINTABLE = slice(len(SPECIALS) + 0x20, len(SPECIALS) + 0x7F)
"""Ids of the printable ASCII bytes. All other tokens get a logit of 0, so that greedy text is
readable and never ends by itself."""

_FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


class _Weights:
    """Adds tensors in order, drawn from one seeded generator."""

    def __init__(self, writer: GGUFWriter, seed: int, quant: str) -> None:
        self._writer = writer
        self._random = np.random.default_rng(seed)
        self._quant = GGMLQuantizationType[quant]

    def matrix(
        self,
        name: str,
        rows: int,
        columns: int,
        scale: float | None = None,
        rows_used: slice = slice(None),
    ) -> None:
        """Normal numbers, scaled to keep the size of what they multiply; zero off ``rows_used``."""
        values = np.zeros((rows, columns))
        values[rows_used] = self._random.standard_normal((rows, columns))[rows_used]
        values *= scale or columns**-0.5
        data = gguf.quants.quantize(values.astype(np.float32), self._quant)
        self._writer.add_tensor(name, data, raw_dtype=self._quant)

    def linear(self, name: str, rows: int, columns: int) -> None:
        self.matrix(f"{name}.weight", rows, columns)
        self.zeros(f"{name}.bias", rows)

    def norm(self, name: str, size: int) -> None:
        self.ones(f"{name}.weight", size)
        self.zeros(f"{name}.bias", size)

    def ones(self, name: str, size: int) -> None:
        self.array(name, np.ones(size))

    def zeros(self, name: str, size: int) -> None:
        self.array(name, np.zeros(size))

    def array(self, name: str, values: np.ndarray[Any, Any]) -> None:
        self._writer.add_tensor(name, values.astype(np.float32))


def _add_metadata(writer: GGUFWriter, extra: Mapping[str, Any] | None) -> None:
    for key, value in (extra or {}).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, Sequence):
            writer.add_array(key, value)
        else:
            raise TypeError(f"{key}: no GGUF type for {type(value).__name__}")


def _finish(writer: GGUFWriter, path: Path) -> Path:
    first: Path = writer.format_shard_names(path)[0]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return first
