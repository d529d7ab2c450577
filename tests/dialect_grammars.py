"""What a grammar lets through, tried with a vocabulary of bytes."""

from __future__ import annotations

import random

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from kolo.engine.dialects import Dialect
from kolo.types import Chat

N_BYTES = 256
EOS = 256
MAX_STEPS = 500


class ByteVocabulary:
    """A token for each byte, one for the end, and one for each of ``specials``."""

    def __init__(self, specials: list[str]) -> None:
        self.bos_token_id = None
        self.eos_token_id = EOS
        plain = [bytes([byte]) for byte in range(N_BYTES)]
        self.tokens = [*plain, b"<eos>", *(text.encode() for text in specials)]
        self.special_token_ids = list(range(EOS, len(self.tokens)))
        self.ids = {text: EOS + 1 + at for at, text in enumerate(specials)}
        self.tokenizer = LLTokenizer(TokenizerWrapper(self))

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)

    def special(self, text: str) -> int | None:
        return self.ids.get(text)

    def encode(self, text: str) -> list[int]:
        tokens: list[int] = []
        while text:
            found = next((one for one in self.ids if text.startswith(one)), None)
            tokens += [self.ids[found]] if found else list(text[0].encode())
            text = text[len(found or text[0]) :]
        return tokens

    def decode(self, tokens: list[int]) -> str:
        return b"".join(self.tokens[token] for token in tokens).decode()


SPELLED_OUT = ByteVocabulary([])


def vocabulary(dialect: Dialect, *, specials: bool) -> ByteVocabulary:
    """Bytes alone, or with those of the dialect's markers that can be single tokens."""
    if not specials:
        return SPELLED_OUT
    tokens = [marker for marker in dialect.markers if marker[0] in "<[" and marker[-1] in ">]"]
    single = [one for one in tokens if one.count("<") + one.count("[") == 1 and " " not in one]
    return ByteVocabulary(sorted(single, key=len, reverse=True))


def grammar_of(dialect: Dialect, request: Chat, vocab: ByteVocabulary = SPELLED_OUT) -> str:
    grammar = dialect.call_grammar(request, special=vocab.special)
    assert grammar is not None
    return grammar


def accepts(grammar: str, text: str, vocab: ByteVocabulary = SPELLED_OUT) -> bool:
    matcher = LLMatcher(vocab.tokenizer, grammar)
    assert not matcher.is_error(), matcher.get_error()
    tokens = vocab.encode(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def walk(
    grammar: str, vocab: ByteVocabulary, rng: random.Random, markers: frozenset[str]
) -> str | None:
    """A text the grammar forces, drawn at random; None if it would not end.

    Now and then one of ``markers`` is tried as a whole: chance alone does not spell them.
    """
    matcher = LLMatcher(vocab.tokenizer, grammar)
    assert not matcher.is_error(), matcher.get_error()
    whole = [vocab.encode(marker) for marker in sorted(markers)]
    tokens: list[int] = []
    while len(tokens) < MAX_STEPS:
        if matcher.is_accepting() and (matcher.is_stopped() or rng.random() < 0.3):
            return vocab.decode(tokens)
        marker = rng.choice(whole) if rng.random() < 0.2 else []
        if marker and matcher.validate_tokens(marker) == len(marker):
            matcher.consume_tokens(marker)
            tokens += marker
            continue
        tokens.append(_drawn(matcher, vocab, rng))
        assert matcher.consume_token(tokens[-1])
    return None


def _drawn(matcher: LLMatcher, vocab: ByteVocabulary, rng: random.Random) -> int:
    """One of the tokens allowed, most often one that leads to an end, or is readable."""
    mask = matcher.compute_bitmask()
    tokens = [token for token in range(len(vocab.tokens)) if token != EOS]
    allowed = [token for token in tokens if mask[token >> 3] >> (token & 7) & 1]
    ending = [token for token in allowed if token > EOS or chr(token) in "\"}],<:'/\n"]
    plain = [token for token in allowed if token > EOS or 32 <= token < 127 or token == 10]
    return rng.choice(ending if ending and rng.random() < 0.6 else plain or allowed)
