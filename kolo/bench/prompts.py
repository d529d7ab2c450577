"""Prompts of a given length in a target's own tokens, none of which any cache has seen.

A prompt is a run of words that are one token each in the target's vocabulary, which its
``/tokenize`` tells (llama-server's form, and vLLM's). What a prompt costs beyond its words (BOS,
a chat template) is learned from the usage of a first request. Where nothing tells tokens, their
number for a word is learned from two such requests, and lengths are near, not exact.
"""

from __future__ import annotations

import os
import random
from typing import Any

import msgspec
from msgspec import Struct

_TEXT = """
the and of to in is was for on with as by at from that this are be or an have not but all can has
had were they their more one two when who will no if out so up about what which into than time
some other new first last many most such only also over after before where between through while
during under against three four people water year day way world work part number place right hand
old great small large long little own found used made come see know take good give very still
again same each both few life head house home school country city state group problem case point
company system program question night word money story fact month lot study book eye job business
side kind room area mother father idea body information back parent face level office door health
person art war history party result change morning reason research girl boy moment air teacher
force river stone light green blue red white black north south east west
"""
WORDS = tuple(_TEXT.split())
MIN_POOL = 16
NONCE_WORDS = 8
"""Drawn afresh for every prompt at its start: what they open no cache holds."""


class _Piece(Struct):
    id: int
    piece: Any = None


class _Pieces(Struct):
    tokens: list[_Piece]


class _VllmTokens(Struct):
    token_strs: list[str]


class Lengths(Struct, frozen=True, kw_only=True):
    """How many tokens a prompt of words has: ``per_word`` for each and ``overhead`` once."""

    pool: tuple[str, ...]
    per_word: float = 1.0
    overhead: int = 0
    exact: bool = False

    def words(self, n_tokens: int) -> int:
        """How many words make a prompt of ``n_tokens``; at least one."""
        return max(round((n_tokens - self.overhead) / self.per_word), 1)


class Prompter:
    """Makes prompts for one target. ``seed`` decides everything but what defeats the caches."""

    def __init__(self, lengths: Lengths, seed: int, *, cached: bool = False) -> None:
        self.lengths = lengths
        self.seed = seed
        self._cached = cached
        self._nonce = random.Random(0 if cached else os.urandom(16))

    def text(self, n_tokens: int, *, key: object = 0) -> str:
        """A prompt of ``n_tokens``, what the target adds included. ``key`` chooses its words;
        with ``cached`` the same key gives the same prompt."""
        return self.words(self.lengths.words(n_tokens), key=key)

    def words(self, n_words: int, *, key: object = 0) -> str:
        """As ``text``, by words, and without what the target adds."""
        rng = random.Random(f"{self.seed}/{key}")
        nonce = rng if self._cached else self._nonce
        n_first = min(NONCE_WORDS, n_words)
        chosen = nonce.choices(self.lengths.pool, k=n_first)
        chosen += rng.choices(self.lengths.pool, k=n_words - n_first)
        return " " + " ".join(chosen)


def tokenize_bodies(model: str) -> list[dict[str, Any]]:
    """What to ask ``/tokenize``, in the forms that servers know."""
    text = " " + " ".join(WORDS)
    return [
        {"content": text, "with_pieces": True, "model": model},
        {"prompt": text, "return_token_strs": True, "add_special_tokens": False, "model": model},
    ]


def pool_of(reply: bytes) -> tuple[str, ...]:
    """The words that are one token after a space, by an answer of ``/tokenize``; empty if it
    does not tell, or knows too few of them."""
    known = {f" {word}" for word in WORDS}
    found = {piece for piece in _pieces(reply) if piece in known}
    pool = tuple(dict.fromkeys(word for word in WORDS if f" {word}" in found))
    return pool if len(pool) >= MIN_POOL else ()


def _pieces(reply: bytes) -> list[str]:
    try:
        told = msgspec.json.decode(reply, type=_Pieces)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    else:
        return [_spaced(one.piece) for one in told.tokens if isinstance(one.piece, str)]
    try:
        return [_spaced(one) for one in msgspec.json.decode(reply, type=_VllmTokens).token_strs]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _spaced(piece: str) -> str:
    """A piece with the space that tokenizers write in ways of their own."""
    return piece.replace("▁", " ").replace("Ġ", " ")
