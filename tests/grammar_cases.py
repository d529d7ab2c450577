"""What the tests of constraints share: a small vocabulary, a random model, Constraint makers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from kolo.engine.grammar import GrammarCompiler, Matcher
from kolo.types import Constraint

EOS, EOT, THINK, EMPTY = 256, 257, 258, 259
_WORDS = [b'": ', b'", ', b'{"', b'"}', b'"]', b"true", b"null", b"the ", b"ab", b"\xc3\xa9", b"12"]


class TinyVocab:
    """Every byte, some words, two tokens that end the answer, one control token, one empty."""

    eog_tokens = (EOS, EOT)
    eos_token = EOT
    vocab_ptr = 0
    tokenize_fptr = 0

    def token_bytes(self) -> list[bytes]:
        special = [b"\xff<|endoftext|>", b"\xff<|im_end|>", b"\xff<think>", b""]
        return [bytes([byte]) for byte in range(256)] + special + _WORDS


PIECES = TinyVocab().token_bytes()
COMPILER = GrammarCompiler(TinyVocab())


def schema(value: Any) -> Matcher:
    return COMPILER.compile(Constraint(json_schema=value))


def gbnf(text: str) -> Matcher:
    return COMPILER.compile(Constraint(grammar=text))


def feed(matcher: Matcher, text: str | bytes) -> bool:
    """Take ``text`` byte by byte as far as it is allowed; whether all of it was."""
    for byte in text.encode() if isinstance(text, str) else text:
        if not matcher.allows(byte):
            return False
        matcher.accept(byte)
    return True


def accepts(matcher: Matcher, text: str) -> bool:
    """Whether ``text`` is a whole answer; ``matcher`` stays as it is."""
    matcher = matcher.clone()
    return feed(matcher, text) and matcher.accepting


def sample(matcher: Matcher, seed: int, budget: int) -> tuple[bytes, bool]:
    """What a model without sense writes in at most ``budget`` tokens, and whether it is whole."""
    chance = random.Random(seed)
    text = b""
    while budget > 0 and not matcher.finished:
        allowed = [int(token) for token in matcher.mask().nonzero()[0]]
        token = matcher.steer(chance.choice(allowed), budget)
        matcher.accept(token)
        budget -= 1
        if token in TinyVocab.eog_tokens:
            break
        text += PIECES[token]
    return text, matcher.accepting


def answers(matcher: Matcher) -> Iterator[bytes]:
    """Every whole answer, byte by byte; for constraints that have few."""
    if matcher.accepting:
        yield b""
    for byte in range(256):
        if matcher.allows(byte):
            after = matcher.clone()
            after.accept(byte)
            yield from (bytes([byte]) + rest for rest in answers(after))
