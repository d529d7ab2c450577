"""llama.cpp's sampler chains, fed with a bounded set of candidates."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from kolo.engine.backend import ChainSpec, Logits, TokenIds
from kolo.engine.llama.bindings import llama_cpp
from kolo.errors import InternalError

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class LlamaChain:
    """One chain, of one sequence. The chain owns its samplers and frees them."""

    def __init__(self, spec: ChainSpec, vocab: int, n_vocab: int) -> None:
        params = llama_cpp.llama_sampler_chain_default_params()
        params.no_perf = True
        self._handle = llama_cpp.llama_sampler_chain_init(params)
        for name, args in spec.steps:
            sampler = _make(name, args, spec, vocab, n_vocab)
            if not sampler:
                raise InternalError(f"llama.cpp could not make the sampler {name} {args}")
            llama_cpp.llama_sampler_chain_add(self._handle, sampler)
        if spec.steps[-1][0] in ("penalties", "dry"):
            llama_cpp.llama_sampler_chain_add(self._handle, llama_cpp.llama_sampler_init_greedy())
        self._data = np.zeros(64, dtype=_CANDIDATE)
        self._array = llama_cpp.llama_token_data_array()

    def pick(self, ids: TokenIds, logits: Logits) -> int:
        count = len(ids)
        if count > len(self._data):
            self._data = np.zeros(max(count, 2 * len(self._data)), dtype=_CANDIDATE)
        data = self._data[:count]
        data["id"] = ids
        data["logit"] = logits
        array = self._array
        array.data = ctypes.cast(data.ctypes.data, llama_cpp.llama_token_data_p)
        array.size = count
        array.selected = -1
        array.sorted = False
        llama_cpp.llama_sampler_apply(self._handle, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise InternalError("the sampler chain selected nothing")
        return int(array.data[array.selected].id)

    def accept(self, token: int) -> None:
        llama_cpp.llama_sampler_accept(self._handle, token)

    def close(self) -> None:
        if self._handle:
            llama_cpp.llama_sampler_free(self._handle)
            self._handle = None


def _make(name: str, args: tuple[float, ...], spec: ChainSpec, vocab: int, n_vocab: int) -> Any:
    """A ``llama_sampler *``, false when llama.cpp made none."""
    seed = spec.seed & 0xFFFFFFFF
    match name:
        case "top_k":
            return llama_cpp.llama_sampler_init_top_k(int(args[0]))
        case "top_p":
            return llama_cpp.llama_sampler_init_top_p(args[0], int(args[1]))
        case "min_p":
            return llama_cpp.llama_sampler_init_min_p(args[0], int(args[1]))
        case "typical_p":
            return llama_cpp.llama_sampler_init_typical(args[0], int(args[1]))
        case "top_n_sigma":
            return llama_cpp.llama_sampler_init_top_n_sigma(args[0])
        case "xtc":
            return llama_cpp.llama_sampler_init_xtc(args[0], args[1], int(args[2]), seed)
        case "temperature":
            return llama_cpp.llama_sampler_init_temp_ext(args[0], args[1], args[2])
        case "penalties":
            last_n, repeat, frequency, presence = args
            return llama_cpp.llama_sampler_init_penalties(
                n_vocab, int(last_n), repeat, frequency, presence
            )
        case "dry":
            encoded = [breaker.encode() for breaker in spec.breakers]
            breakers = (ctypes.c_char_p * len(encoded))(*encoded)
            return llama_cpp.llama_sampler_init_dry(
                vocab, args[0], args[1], int(args[2]), int(args[3]), breakers, len(encoded)
            )
        case "mirostat":
            return llama_cpp.llama_sampler_init_mirostat(n_vocab, seed, args[0], args[1], 100)
        case "mirostat_v2":
            return llama_cpp.llama_sampler_init_mirostat_v2(seed, args[0], args[1])
        case "dist":
            return llama_cpp.llama_sampler_init_dist(seed)
    raise InternalError(f"no such sampler: {name}")
