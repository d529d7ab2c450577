"""The context that generates: batches, the KV cache, logits.

Misuse of this API aborts the process, so what it must never see is kept out here: batches over
n_batch, sequence ids over n_seq_max, partial copies between streams, logits of rows that did not
ask for them.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import numpy as np
import psutil

from kolo.engine.backend import NO_ROOM, OK, Chain, ChainSpec, Logits
from kolo.engine.llama import log
from kolo.engine.llama.bindings import build, llama_cpp
from kolo.engine.llama.chain import LlamaChain
from kolo.engine.llama.devices import devices
from kolo.engine.llama.model import LlamaModel, load_error
from kolo.errors import BadParameter, InternalError, LoadFailed, OutOfMemory
from kolo.types import LoadParams, ModelInfo

_KV_TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20,
    "bf16": 30,
}  # fmt: skip
_ROPE_SCALING = {"none": 0, "linear": 1, "yarn": 2, "longrope": 3}
_FLASH = {"auto": -1, "off": 0, "on": 1}
_MIN_OUTPUTS = 32
_MAX_CELLS = 2**31 - 1

# The binding's own function returns a typed pointer, whose conversion costs more than the call.
_get_logits = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(
    ("llama_get_logits", llama_cpp._lib)
)


class LlamaContext:
    """One llama.cpp context with ``n_slots`` sequences, owned by one thread."""

    def __init__(self, model: LlamaModel, params: LoadParams) -> None:
        self.model = model
        self.params = params
        self.vocab = model.vocab
        self.unified = params.kv_unified
        self.can_trim = not model.recurrent
        self._set_up_threads()
        self._context: int | None = self._make() if model.generates else None
        self.max_outputs = max(self.n_slots, _MIN_OUTPUTS)
        self._rows = _Rows(self.n_batch)
        self._adapters = self._attach_adapters()
        self.info = self._info()

    def _set_up_threads(self) -> None:
        cores = len(os.sched_getaffinity(0))
        physical = min(psutil.cpu_count(logical=False) or cores, cores)
        self.n_threads = self.params.threads or physical
        self.n_threads_batch = self.params.threads_batch or self.params.threads or physical
        self._threads_now = (0, 0)
        chosen = self.params.threads is not None or self.n_threads == 1
        self.thread_choices = (self.n_threads,) if chosen else (1, self.n_threads)

    def _make(self) -> int:
        params = self.params
        wanted = llama_cpp.llama_context_default_params()
        per_slot = params.ctx or min(self.model.n_ctx_train, 4096)
        n_slots = params.parallel or 4
        n_ctx = -(-per_slot // 256) * 256 * n_slots
        if n_ctx > _MAX_CELLS:
            raise OutOfMemory(
                f"{n_slots} x {per_slot} tokens of context are more than llama.cpp can count",
                hint="lower ctx or parallel",
                param="ctx",
            )
        wanted.n_seq_max = n_slots
        wanted.n_ctx = n_ctx
        wanted.n_batch = params.batch or 2048
        if wanted.n_batch < n_slots:
            raise BadParameter(
                f"batch is {wanted.n_batch}, and each of {n_slots} slots needs a row in it",
                hint="raise batch, or lower parallel",
                param="batch",
            )
        wanted.n_ubatch = min(params.ubatch or 512, wanted.n_batch)
        if wanted.n_ubatch < (params.ubatch or 0):
            raise BadParameter(
                f"ubatch is {params.ubatch}, more than batch, which is {wanted.n_batch}",
                hint="lower ubatch, or raise batch",
                param="ubatch",
            )
        wanted.n_outputs_max = max(n_slots, _MIN_OUTPUTS)
        wanted.n_threads = self.n_threads
        wanted.n_threads_batch = self.n_threads_batch
        wanted.kv_unified = params.kv_unified
        wanted.offload_kqv = params.kv_offload
        wanted.flash_attn_type = _FLASH[params.flash_attn]
        wanted.no_perf = True
        # A sliding-window cache that drops old cells could not be cut back to a prefix.
        wanted.swa_full = True
        if params.kv_type_k:
            wanted.type_k = _KV_TYPES[params.kv_type_k]
        if params.kv_type_v:
            wanted.type_v = _KV_TYPES[params.kv_type_v]
        if params.rope_scaling:
            wanted.rope_scaling_type = _ROPE_SCALING[params.rope_scaling]
        for name in (
            "rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor",
            "yarn_beta_fast", "yarn_beta_slow", "yarn_orig_ctx",
        ):  # fmt: skip
            if (value := getattr(params, name)) is not None:
                setattr(wanted, name, value)
        log.forget()
        context = llama_cpp.llama_init_from_model(self.model.handle, wanted)
        if context is None:
            raise load_error(f"llama.cpp could not make a context of {n_slots} x {per_slot} tokens")
        self._kv_bytes = log.kv_cache_bytes()
        self.n_slots = n_slots
        self.n_ctx = min(int(llama_cpp.llama_n_ctx_seq(context)), per_slot)
        self.n_batch = int(llama_cpp.llama_n_batch(context))
        self._memory = llama_cpp.llama_get_memory(context)
        return int(context)

    costs_vary = True

    @property
    def build(self) -> str:
        return build() if self._context is not None else ""

    # A model that only embeds has no such context; these let it still report its shape.
    n_slots = 1
    n_ctx = 0
    n_batch = 1
    _kv_bytes = 0

    def _attach_adapters(self) -> list[object]:
        if not self.params.lora or self._context is None:
            return []
        handles = []
        for lora in self.params.lora:
            log.forget()
            handle = llama_cpp.llama_adapter_lora_init(self.model.handle, os.fsencode(lora.path))
            if not handle:
                raise LoadFailed(
                    f"LoRA adapter {lora.path} cannot be used: {log.complaints()}",
                    hint="the adapter must be a GGUF made for this very model",
                    param="lora",
                )
            handles.append(handle)
        count = len(handles)
        adapters = (ctypes.POINTER(ctypes.c_void_p) * count)(
            *(ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p)) for handle in handles)
        )
        scales = (ctypes.c_float * count)(*(lora.scale for lora in self.params.lora))
        status = llama_cpp.llama_set_adapters_lora(self._context, adapters, count, scales)
        if status:
            raise LoadFailed(
                "llama.cpp refused the LoRA adapters", hint="load without lora", param="lora"
            )
        return [handles, adapters, scales]

    def _info(self) -> ModelInfo:
        model, vocab = self.model, self.vocab
        embeds = model.pooling not in (None, "rank", "none") or model.generates
        return ModelInfo(
            architecture=model.architecture,
            description=model.description,
            n_params=model.n_params,
            size_bytes=model.size_bytes,
            n_ctx=self.n_ctx if model.generates else model.n_ctx_train,
            n_ctx_train=model.n_ctx_train,
            parallel=self.n_slots,
            n_vocab=vocab.n_tokens,
            n_embd=model.n_embd,
            n_layer=model.n_layer,
            vocab_type=vocab.kind,
            ftype=model.ftype,
            bos_token=vocab.text(vocab.bos),
            eos_token=vocab.text(vocab.eos_token),
            chat_template=model.metadata.get("tokenizer.chat_template", ""),
            named_templates=model.named_templates(),
            can_chat=model.generates,
            can_embed=embeds,
            can_rerank=model.pooling == "rank",
            can_infill={"prefix", "suffix", "middle"} <= vocab.infill_tokens().keys(),
            pooling=self.params.pooling or model.pooling or "none",
            threads=self.n_threads,
            gpu_layers=model.gpu_layers,
            buffers=log.buffers(),
            kv_bytes=self._kv_bytes,
            devices=[device.name for device in devices()],
            system_info=(llama_cpp.llama_print_system_info() or b"").decode(),
            sampling=model.sampling(),
        )

    # Batches ------------------------------------------------------------------------------

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        slots: Sequence[int],
        wanted: Sequence[int],
    ) -> int:
        batch = self._rows.fill(tokens, positions, slots, wanted)
        status = int(llama_cpp.llama_decode(self._context, batch))
        if status == 0:
            return OK
        if status == 1:
            return NO_ROOM
        raise InternalError(
            f"llama_decode of {len(tokens)} rows returned {status}: {log.complaints()}"
        )

    def logits(self, n_rows: int) -> Logits:
        address = _get_logits(self._context)
        if not address:
            raise InternalError("llama.cpp has no logits for the last batch")
        raw = (ctypes.c_float * (n_rows * self.vocab.n_tokens)).from_address(address)
        return np.ctypeslib.as_array(raw).reshape(n_rows, self.vocab.n_tokens)

    def set_threads(self, n_threads: int) -> None:
        if self._threads_now != (n_threads, n_threads):
            # llama.cpp takes the second number for every batch wider than one row.
            llama_cpp.llama_set_n_threads(self._context, n_threads, n_threads)
            self._threads_now = (n_threads, n_threads)

    def chain(self, spec: ChainSpec) -> Chain:
        return LlamaChain(spec, self.vocab.handle, self.vocab.n_tokens)

    # The KV cache -------------------------------------------------------------------------

    def trim(self, slot: int, length: int) -> bool:
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, slot, length, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        if self.unified:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)
            return
        # Between streams only a whole sequence can be copied; a partial range aborts.
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        if self.can_trim:
            llama_cpp.llama_memory_seq_rm(self._memory, target, length, -1)

    def save(self, slot: int) -> bytearray:
        size = llama_cpp.llama_state_seq_get_size(self._context, slot)
        blob = bytearray(size)
        buffer = (ctypes.c_uint8 * size).from_buffer(blob)
        written = llama_cpp.llama_state_seq_get_data(self._context, buffer, size, slot)
        del buffer
        del blob[written:]
        return blob

    def restore(self, slot: int, blob: bytes | bytearray, n_tokens: int) -> bool:
        address = np.frombuffer(blob, dtype=np.uint8).ctypes.data
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        read = llama_cpp.llama_state_seq_set_data(self._context, pointer, len(blob), slot)
        last = int(llama_cpp.llama_memory_seq_pos_max(self._memory, slot))
        if read != len(blob) or last != n_tokens - 1:
            self.trim(slot, 0)
            return False
        return True

    def close(self) -> None:
        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None


class _Rows:
    """A ``llama_batch`` bound once to numpy arrays."""

    def __init__(self, n_batch: int) -> None:
        self._tokens = np.zeros(n_batch, dtype=np.int32)
        self._positions = np.zeros(n_batch, dtype=np.int32)
        self._slots = np.zeros(n_batch, dtype=np.int32)
        self._wanted = np.zeros(n_batch, dtype=np.int8)
        self._counts = np.ones(n_batch, dtype=np.int32)
        int_pointer = ctypes.POINTER(ctypes.c_int32)
        start = self._slots.ctypes.data
        self._slot_pointers = (int_pointer * n_batch)(
            *(ctypes.cast(start + 4 * row, int_pointer) for row in range(n_batch))
        )
        batch = llama_cpp.llama_batch()
        batch.token = ctypes.cast(self._tokens.ctypes.data, int_pointer)
        batch.embd = None
        batch.pos = ctypes.cast(self._positions.ctypes.data, int_pointer)
        batch.n_seq_id = ctypes.cast(self._counts.ctypes.data, int_pointer)
        batch.seq_id = self._slot_pointers
        batch.logits = ctypes.cast(self._wanted.ctypes.data, ctypes.POINTER(ctypes.c_int8))
        self._batch = batch

    def fill(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        slots: Sequence[int],
        wanted: Sequence[int],
    ) -> llama_cpp.llama_batch:
        count = len(tokens)
        if count > len(self._tokens):
            raise InternalError(f"a batch of {count} rows is over n_batch {len(self._tokens)}")
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._slots[:count] = slots
        self._wanted[:count] = wanted
        self._batch.n_tokens = count
        return self._batch
