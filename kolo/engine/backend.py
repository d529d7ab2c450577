"""What the worker's loop asks of the thing that computes: llama.cpp, or the fake.

Everything above this line of the engine is policy over plain data; everything below it is
translation. ``engine.llama`` and ``engine.fake`` are the two makers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kolo.types import LoadParams, ModelInfo

Logits = npt.NDArray[np.float32]
TokenIds = npt.NDArray[np.int32]

OK = 0
NO_ROOM = 1
"""``decode``: the batch does not fit the KV cache; nothing of it was applied."""


class Vocab(Protocol):
    """Text to tokens and back. Safe to use from any thread, also during a decode."""

    @property
    def n_tokens(self) -> int: ...

    @property
    def eog(self) -> frozenset[int]:
        """The tokens that end an answer."""
        ...

    @property
    def eog_tokens(self) -> Sequence[int]: ...

    @property
    def eos_token(self) -> int: ...

    @property
    def bos(self) -> int | None: ...

    @property
    def add_bos(self) -> bool: ...

    @property
    def vocab_ptr(self) -> int:
        """``llama_vocab *``, 0 without llama.cpp; with ``tokenize_fptr`` and ``token_bytes``
        what the grammar compiler needs."""
        ...

    @property
    def tokenize_fptr(self) -> int: ...

    def token_bytes(self) -> list[bytes]: ...

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]: ...

    def piece(self, token: int) -> bytes:
        """The bytes a token adds to the text; empty for control tokens."""
        ...

    def marker(self, token: int) -> str:
        """The text of a control token, such as ``<|im_end|>``; empty for any other."""
        ...

    def special(self, text: str) -> int | None:
        """The one control or user-defined token that is exactly ``text``, if there is one."""
        ...

    def pair(self, first: str, second: str) -> array[int]:
        """Two texts as a reranker reads them."""
        ...

    def text(self, token: int | None) -> str:
        """A token as written in prompts, control tokens included; empty for None."""
        ...

    def infill_tokens(self) -> dict[str, int]:
        """Those of prefix, suffix, middle, repo, file_sep that the model has."""
        ...


class KV(Protocol):
    """The device cache, by sequence. Every call leaves other sequences alone."""

    @property
    def n_slots(self) -> int: ...

    @property
    def n_ctx(self) -> int:
        """Tokens one sequence may hold."""
        ...

    @property
    def can_trim(self) -> bool:
        """False for recurrent models: a sequence is kept whole or not at all."""
        ...

    @property
    def unified(self) -> bool:
        """One pool of cells for all sequences: copies are free, room is shared."""
        ...

    def trim(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` tokens; False if the model cannot (nothing changed)."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Make ``target`` hold the first ``length`` tokens of ``source``."""
        ...

    def save(self, slot: int) -> bytearray: ...

    def restore(self, slot: int, blob: bytes | bytearray, n_tokens: int) -> bool:
        """False, with the slot left empty, when the blob is not that of ``n_tokens`` tokens or
        does not fit this context."""
        ...


class Chain(Protocol):
    """A sampler chain of one sequence, ending in a draw."""

    def pick(self, ids: TokenIds, logits: Logits) -> int:
        """Draw one of ``ids``. Both arrays are 1-D, same length, not empty."""
        ...

    def accept(self, token: int) -> None: ...

    def close(self) -> None: ...


class ChainSpec(Protocol):
    """The part of ``sampling.Plan`` that a backend builds a chain from."""

    @property
    def steps(self) -> tuple[tuple[str, tuple[float, ...]], ...]: ...

    @property
    def seed(self) -> int: ...

    @property
    def breakers(self) -> tuple[str, ...]: ...


class Backend(KV, Protocol):
    @property
    def info(self) -> ModelInfo: ...

    @property
    def build(self) -> str:
        """Which code computes the KV; empty when there is none to be saved."""
        ...

    @property
    def vocab(self) -> Vocab: ...

    @property
    def n_batch(self) -> int:
        """Rows one decode takes."""
        ...

    @property
    def max_outputs(self) -> int:
        """Rows of one decode that may ask for logits."""
        ...

    @property
    def costs_vary(self) -> bool:
        """Whether rows are cheaper at some widths than at others, so that timing them pays."""
        ...

    @property
    def thread_choices(self) -> tuple[int, ...]:
        """Thread counts worth trying for decode; one element when the user chose."""
        ...

    @property
    def n_threads_batch(self) -> int:
        """Threads for prefill, and for a decode of several tokens of a sequence."""
        ...

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        slots: Sequence[int],
        wanted: Sequence[int],
    ) -> int:
        """Run one batch of equally long columns; ``wanted`` is 1 where logits are needed.

        Returns OK or NO_ROOM; raises InternalError for anything else.
        """
        ...

    def logits(self, n_rows: int) -> Logits:
        """The wanted rows of the last decode, ``[n_rows, n_vocab]``, a view that may be
        written to and dies with the next decode."""
        ...

    def set_threads(self, n_threads: int) -> None: ...

    def chain(self, spec: ChainSpec) -> Chain: ...

    def embed(self, inputs: Sequence[array[int]], *, normalize: bool) -> list[list[float]]: ...

    def rank(self, inputs: Sequence[array[int]]) -> list[float]: ...

    def close(self) -> None: ...


OnProgress = Callable[[str, float], None]


class Loader(Protocol):
    """How a backend comes to be; raises LoadFailed, ModelInvalid or OutOfMemory."""

    def __call__(self, path: str, params: LoadParams, progress: OnProgress) -> Backend: ...
