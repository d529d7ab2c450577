"""What the header of a model file says of the model, in llama.cpp's terms."""

from __future__ import annotations

import reprlib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from kolo.errors import ModelInvalid
from kolo.models.cursor import LazyArray, open_cursor
from kolo.models.ggml import ENCODERS, FILE_TYPES, NOT_MODELS

Kind = Literal["generate", "embedding", "rerank"]

_MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
_POOLING_RANK = 4  # LLAMA_POOLING_TYPE_RANK


class TensorInfo(Struct, frozen=True):
    """One row of the tensor table. ``shape`` in ggml's order (fastest first), ``offset`` in the
    data section, ``type`` a name of ``TENSOR_TYPES``."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    n_elements: int
    n_bytes: int


class Split(Struct, frozen=True):
    """Which part of a split model a file is; ``no`` counts from 0."""

    no: int
    count: int


class Header(Struct, frozen=True, kw_only=True):
    """All that is known of a model without loading it.

    A property whose key the file lacks is 0 or empty; a key of the wrong type is ModelInvalid.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    """Arrays over 64 KiB are ``LazyArray``, shorter ones lists. Text that is not UTF-8 carries
    U+FFFD."""
    tensors: list[TensorInfo]
    data_offset: int
    file_bytes: int
    """Of all shards, when ``read_model`` joined them."""
    alignment: int
    split: Split | None = None

    def array(self, key: str) -> list[Any]:
        """The items of the array ``key``, read from the file if it was left there; [] if none."""
        value = self.metadata.get(key, [])
        if isinstance(value, list):
            return value
        if not isinstance(value, LazyArray):
            raise self._wrong(key, "an array", value)
        with open_cursor(self.path) as cursor:
            return cursor.items(value, key)

    def text(self, key: str) -> str:
        value = self.metadata.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(key, "text", value)
        return value

    def integer(self, key: str) -> int:
        """The value of ``key``, with ``{arch}`` in it replaced by the architecture."""
        key = key.replace("{arch}", self.architecture)
        value = self.metadata.get(key, 0)
        if type(value) is not int or value < 0:
            raise self._wrong(key, "an integer from 0", value)
        return value

    def per_layer(self, key: str) -> list[int]:
        """A value for each layer, whether the file gives one for all or an array; [] if neither."""
        key = key.replace("{arch}", self.architecture)
        value = self.metadata.get(key)
        if value is None:
            return []
        values = value if isinstance(value, list) else [value] * self.n_layer
        if any(type(item) is not int or item < 0 for item in values):
            raise self._wrong(key, "an integer from 0, or one for each layer", value)
        if len(values) < self.n_layer:
            raise self._wrong(key, f"{self.n_layer} items", f"{len(values)}")
        return values[: self.n_layer]

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    @property
    def name(self) -> str:
        return self.text("general.name")

    @property
    def size_label(self) -> str:
        return self.text("general.size_label")

    @property
    def n_layer(self) -> int:
        n_layer = self.integer("{arch}.block_count")
        if not 0 <= n_layer <= _MAX_LAYERS:
            raise self._wrong(f"{self.architecture}.block_count", f"0 to {_MAX_LAYERS}", n_layer)
        return n_layer

    @property
    def n_embd(self) -> int:
        return self.integer("{arch}.embedding_length")

    @property
    def n_ctx_train(self) -> int:
        return self.integer("{arch}.context_length")

    @property
    def n_head(self) -> list[int]:
        """Query heads of each layer."""
        return self.per_layer("{arch}.attention.head_count") or [0] * self.n_layer

    @property
    def n_head_kv(self) -> list[int]:
        """Key and value heads of each layer; 0 where a layer has no attention."""
        return self.per_layer("{arch}.attention.head_count_kv") or self.n_head

    @property
    def head_k(self) -> int:
        """Elements of one key head."""
        return self.integer("{arch}.attention.key_length") or self._head_dim()

    @property
    def head_v(self) -> int:
        """Elements of one value head."""
        return self.integer("{arch}.attention.value_length") or self._head_dim()

    @property
    def sliding_window(self) -> int:
        """Tokens a windowed layer looks back; 0 without windows."""
        return self.integer("{arch}.attention.sliding_window")

    @property
    def n_vocab(self) -> int:
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        if isinstance(tokens, LazyArray):
            return tokens.length
        return len(tokens) if isinstance(tokens, list) else self.integer("{arch}.vocab_size")

    @property
    def n_params(self) -> int:
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def quant(self) -> str:
        """The file type (``Q4_K_M``), or the commonest tensor type where the file names none."""
        named = FILE_TYPES.get(self.integer("general.file_type"))
        if named and "general.file_type" in self.metadata:
            return named
        bytes_by_type: Counter[str] = Counter()
        for tensor in self.tensors:
            bytes_by_type[tensor.type] += tensor.n_bytes
        return bytes_by_type.most_common(1)[0][0] if bytes_by_type else ""

    @property
    def chat_templates(self) -> dict[str, str]:
        """Jinja sources by name; the unnamed one is ``default``."""
        prefix = "tokenizer.chat_template"
        named = {
            key.removeprefix(f"{prefix}."): self.text(key)
            for key in self.metadata
            if key.startswith(f"{prefix}.")
        }
        default = self.text(prefix)
        return {"default": default, **named} if default else named

    @property
    def kind(self) -> Kind:
        """What the model is for.

        By its pooling (llama.h ``llama_pooling_type``: 4 is rank), else by whether its attention
        looks only back.
        """
        pooling = self.integer("{arch}.pooling_type")
        if pooling == _POOLING_RANK:
            return "rerank"
        causal = self.metadata.get(f"{self.architecture}.attention.causal", True)
        encoder = self.architecture in ENCODERS or not causal
        return "embedding" if pooling > 0 or encoder else "generate"

    def refusal(self) -> str:
        """Why this file cannot be loaded as a model, though it is sound; empty if it can."""
        by_type = NOT_MODELS.get(self.text("general.type"))
        if reason := by_type or NOT_MODELS.get(self.architecture):
            return reason
        if not self.architecture:
            return "the file names no architecture (general.architecture)"
        if not self.tensors and self.split is None:
            return "a vocabulary without weights"
        return ""

    def _head_dim(self) -> int:
        n_head = max(self.n_head, default=0)
        return self.n_embd // n_head if n_head > 0 else 0

    def _wrong(self, key: str, expected: str, found: object) -> ModelInvalid:
        return ModelInvalid(f"{self.path}: {key} must be {expected}, found {reprlib.repr(found)}")
