"""A byte-level BPE vocabulary of any size that can spell every text.

Not a language's: syllables of two letters, and pairs of syllables. English comes out at about
two letters a token, every token but a few is text, and it has a chat template, so that a model
with it can be talked to by any server.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, product
from string import ascii_lowercase

from kolo.models.writer import Value

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_NORMAL, _CONTROL = 1, 3  # llama.h, llama_token_attr as the file counts them
_SPACE = "Ġ"  # how byte-level vocabularies write the byte of a space


def vocabulary(size: int) -> dict[str, Value]:
    """The metadata of a vocabulary of ``size`` tokens, of which 259 at least are needed."""
    pairs = list(islice(_merged(), size - len(_SPECIALS) - 256))
    tokens = [*_SPECIALS, *_byte_letters(), *("".join(pair) for pair in pairs)]
    assert len(tokens) == size == len(set(tokens))
    merges = [" ".join(pair) for pair in pairs] or [f"{_SPACE} {_SPACE}"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL] * len(_SPECIALS)
        + [_NORMAL] * (size - len(_SPECIALS)),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def _merged() -> Iterator[tuple[str, str]]:
    """Merges in the order of their rank: syllables, syllables after a space, then pairs."""
    syllables = ["".join(pair) for pair in product(ascii_lowercase, repeat=2)]
    yield from product(ascii_lowercase, repeat=2)
    yield from ((_SPACE, syllable) for syllable in syllables)
    spaced = [_SPACE + syllable for syllable in syllables]
    yield from chain(product(spaced, syllables), product(syllables, syllables))


def _byte_letters() -> list[str]:
    """The letter that stands for each byte: itself where it prints, else one from U+0100 on
    (GPT-2's ``bytes_to_unicode``)."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in shown else next(others)) for byte in range(256)]
