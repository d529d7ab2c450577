"""The tokenizer of guide: byte-level BPE with GPT-2's splitting, small and complete.

All 256 bytes are in the vocabulary, so any UTF-8 text can be written in it. The splitting is
GPT-2's because both the `tokenizers` library and llama.cpp know it under one name.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 2048
# Never part of a user's text: llama.cpp makes these only where special tokens are asked for.
CONTROL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>",
    "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
]  # fmt: skip
# Whole tokens, but ordinary text: a program must see them in the answer.
USER_DEFINED = [
    "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>",
]  # fmt: skip
END_OF_TEXT, TURN_START, TURN_END, PAD, _, _, FIM_MIDDLE = range(len(CONTROL))


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from these texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=CONTROL + USER_DEFINED,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
