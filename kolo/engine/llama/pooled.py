"""Embeddings and rank scores: contexts whose output is one vector per sequence.

Pooling is fixed when a context is made, so these are contexts of their own beside the one that
generates. A sequence has to fit one physical batch (n_ubatch), since llama.cpp pools within one;
only the last token of a causal model can be reached over several, which also keeps the buffer for
a large vocabulary small. Sequences share one pool of cells, so a batch takes as many as fit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from kolo.engine.llama import log
from kolo.engine.llama.bindings import llama_cpp
from kolo.engine.llama.model import LlamaModel, load_error
from kolo.errors import ContextLengthExceeded, InternalError, Unsupported
from kolo.types import LoadParams

_POOLINGS = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
_MAX_BATCH = 8192
_MAX_CAUSAL_UBATCH = 2048
_STEP_UBATCH = 512
_MAX_SEQUENCES = 64


class Pooled:
    """A context that turns token sequences into vectors of ``width`` floats."""

    def __init__(self, model: LlamaModel, params: LoadParams, *, rank: bool) -> None:
        pooling = "rank" if rank else params.pooling or model.pooling or "last"
        if rank and model.pooling != "rank":
            raise Unsupported(
                "this model has no rank head",
                hint="load a reranker (its GGUF says pooling_type = rank)",
                param="model",
            )
        if pooling == "none" or (pooling == "rank" and not rank):
            raise Unsupported(
                f"pooling {pooling!r} gives no embedding of a text",
                hint="load with pooling mean, cls or last",
                param="pooling",
            )
        n_ubatch = min(model.n_ctx_train, params.ctx or _MAX_BATCH, _MAX_BATCH)
        self.n_tokens = n_ubatch
        if model.causal and pooling == "last":
            n_ubatch = min(n_ubatch, _STEP_UBATCH)
        elif model.causal:
            self.n_tokens = n_ubatch = min(n_ubatch, _MAX_CAUSAL_UBATCH)
        self.width = int(
            llama_cpp.llama_model_n_cls_out(model.handle)
            if rank
            else llama_cpp.llama_model_n_embd_out(model.handle)
        )
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx = wanted.n_batch = self.n_tokens
        wanted.n_ubatch = n_ubatch
        wanted.n_seq_max = _MAX_SEQUENCES
        wanted.kv_unified = True
        wanted.embeddings = True
        wanted.pooling_type = _POOLINGS[pooling]
        wanted.no_perf = True
        if params.threads:
            wanted.n_threads = wanted.n_threads_batch = params.threads_batch or params.threads
        log.forget()
        self._context = llama_cpp.llama_init_from_model(model.handle, wanted)
        if self._context is None:
            raise load_error("llama.cpp could not make a context for embeddings")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(self.n_tokens, 0, 1)

    def vectors(self, inputs: Sequence[Sequence[int]], *, normalize: bool) -> list[list[float]]:
        """One vector for each input, unit length if ``normalize``.

        Raises ContextLengthExceeded when one is longer than a batch.
        """
        for index, tokens in enumerate(inputs):
            if len(tokens) > self.n_tokens:
                raise ContextLengthExceeded(
                    f"input {index} has {len(tokens)} tokens, the model takes {self.n_tokens}",
                    hint="split the text",
                    param="input",
                )
        found: list[list[float]] = []
        start = 0
        while start < len(inputs):
            group: list[Sequence[int]] = []
            room = self.n_tokens
            while start + len(group) < len(inputs) and len(group) < _MAX_SEQUENCES:
                tokens = inputs[start + len(group)]
                if len(tokens) > room:
                    break
                room -= len(tokens)
                group.append(tokens)
            found += self._run(group, normalize)
            start += len(group)
        return found

    def _run(self, group: list[Sequence[int]], normalize: bool) -> list[list[float]]:
        batch = self._batch
        row = 0
        for sequence, tokens in enumerate(group):
            for position, token in enumerate(tokens):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = 1
                row += 1
        batch.n_tokens = row
        if self._memory is not None:
            llama_cpp.llama_memory_clear(self._memory, False)
        status = llama_cpp.llama_decode(self._context, batch)
        if status:
            raise InternalError(f"llama_decode of {row} tokens for embeddings returned {status}")
        return [self._vector(sequence, normalize) for sequence in range(len(group))]

    def _vector(self, sequence: int, normalize: bool) -> list[float]:
        pointer = llama_cpp.llama_get_embeddings_seq(self._context, sequence)
        if not pointer:
            raise InternalError("llama.cpp gave no embedding for a sequence")
        address = ctypes.cast(pointer, ctypes.c_void_p).value or 0
        raw = (ctypes.c_float * self.width).from_address(address)
        vector = np.ctypeslib.as_array(raw).astype(np.float64)
        length = float(np.linalg.norm(vector))
        if normalize and length > 0:
            vector /= length
        result: list[float] = vector.tolist()
        return result

    def close(self) -> None:
        if self._context is not None:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            self._context = None
