"""Text to tokens and back, through llama.cpp's vocabulary. Safe from any thread."""

from __future__ import annotations

import ctypes
from array import array
from functools import cached_property

from kolo.engine.llama.bindings import llama_cpp

_TYPES = {0: "none", 1: "spm", 2: "bpe", 3: "wpm", 4: "ugm", 5: "rwkv", 6: "plamo2", 7: "test"}
_CONTROL = 1 << 3
_USER_DEFINED = 1 << 4
_UNKNOWN = 1 << 0


class LlamaVocab:
    """The vocabulary at ``handle``; lives as long as its model."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.n_tokens = int(llama_cpp.llama_vocab_n_tokens(handle))
        self.kind = _TYPES.get(llama_cpp.llama_vocab_type(handle), "unknown")
        bos = llama_cpp.llama_vocab_bos(handle)
        self.bos: int | None = bos if bos >= 0 else None
        self.add_bos = bool(llama_cpp.llama_vocab_get_add_bos(handle))
        is_eog = llama_cpp.llama_vocab_is_eog
        self.eog = frozenset(token for token in range(self.n_tokens) if is_eog(handle, token))
        eos = llama_cpp.llama_vocab_eos(handle)
        self.eos_token = eos if eos >= 0 else min(self.eog, default=0)
        self._pieces: dict[int, bytes] = {}
        self._buffer_size = 512

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]:
        data = text.encode("utf-8", "surrogatepass")
        size = len(data) + 16
        buffer = (ctypes.c_int32 * size)()
        count = llama_cpp.llama_tokenize(
            self.handle, data, len(data), buffer, size, add_special, parse_special
        )
        if count < 0:
            size = -count
            buffer = (ctypes.c_int32 * size)()
            count = llama_cpp.llama_tokenize(
                self.handle, data, len(data), buffer, size, add_special, parse_special
            )
        tokens = array("i")
        tokens.frombytes(memoryview(buffer).cast("B")[: count * 4])
        return tokens

    def piece(self, token: int) -> bytes:
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def marker(self, token: int) -> str:
        if self.piece(token):
            return ""
        return self._piece(token, special=True).decode("utf-8", "replace")

    def special(self, text: str) -> int | None:
        tokens = self.tokenize(text, add_special=False, parse_special=True)
        if len(tokens) != 1:
            return None
        attributes = llama_cpp.llama_vocab_get_attr(self.handle, tokens[0])
        return tokens[0] if attributes & (_CONTROL | _USER_DEFINED) else None

    def infill_tokens(self) -> dict[str, int]:
        found = {
            "prefix": llama_cpp.llama_vocab_fim_pre(self.handle),
            "suffix": llama_cpp.llama_vocab_fim_suf(self.handle),
            "middle": llama_cpp.llama_vocab_fim_mid(self.handle),
            "repo": llama_cpp.llama_vocab_fim_rep(self.handle),
            "file_sep": llama_cpp.llama_vocab_fim_sep(self.handle),
        }
        return {name: token for name, token in found.items() if token >= 0}

    def pair(self, first: str, second: str) -> array[int]:
        """Two texts as a reranker reads them: bos first eos sep second eos, of those markers
        that the vocabulary adds (llama-server's order)."""
        add_eos = llama_cpp.llama_vocab_get_add_eos(self.handle)
        eos = array("i", [self.eos_token] if add_eos else [])
        sep = llama_cpp.llama_vocab_sep(self.handle)
        add_sep = llama_cpp.llama_vocab_get_add_sep(self.handle) and sep >= 0
        tokens = array("i", [self.bos] if self.bos is not None and self.add_bos else [])
        tokens += self.tokenize(first, add_special=False, parse_special=False) + eos
        tokens += array("i", [sep] if add_sep else [])
        tokens += self.tokenize(second, add_special=False, parse_special=False) + eos
        return tokens

    def text(self, token: int | None) -> str:
        """A token as written in prompts, control tokens included."""
        if token is None or token < 0:
            return ""
        return self._piece(token, special=True).decode("utf-8", "replace")

    # What the grammar compiler needs ------------------------------------------------------

    @property
    def eog_tokens(self) -> list[int]:
        return sorted(self.eog)

    @property
    def vocab_ptr(self) -> int:
        return self.handle

    @cached_property
    def tokenize_fptr(self) -> int:
        return ctypes.cast(llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value or 0

    def token_bytes(self) -> list[bytes]:
        """Every token's bytes; special ones marked by a leading 0xff byte."""
        return [self._grammar_bytes(token) for token in range(self.n_tokens)]

    def _grammar_bytes(self, token: int) -> bytes:
        text = self._piece(token, special=True)
        attributes = llama_cpp.llama_vocab_get_attr(self.handle, token)
        tag_like = text.startswith(b"<") and text.endswith(b">")
        if attributes & (_CONTROL | _UNKNOWN) or (attributes & _USER_DEFINED and tag_like):
            return b"\xff" + text
        return text

    def _piece(self, token: int, *, special: bool) -> bytes:
        size = self._buffer_size
        buffer = ctypes.create_string_buffer(size)
        count = llama_cpp.llama_token_to_piece(self.handle, token, buffer, size, 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = llama_cpp.llama_token_to_piece(self.handle, token, buffer, -count, 0, special)
        return buffer.raw[:count]
