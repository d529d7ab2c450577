"""Will it fit: what a model will take, from its header alone, before a worker is started.

llama.cpp touches its KV cache at creation, so that a context too large to fit but small enough
to be promised ends in the kernel killing somebody. Hence the estimate errs upwards; ``notes``
say where it knows it does. Formulas follow llama.cpp's allocations in the pinned version and
were held against what it reports (see ``compute_bytes``).
"""

from __future__ import annotations

import platform
import re

from msgspec import Struct
from msgspec.structs import replace

from kolo.errors import OutOfMemory
from kolo.manager.machine import Machine, available, physical_cores
from kolo.models.ggml import BLOCKS, ENCODERS, RECURRENT, REPACKED
from kolo.models.header import Header
from kolo.types import KVType, LoadParams

__all__ = [
    "Estimate",
    "Machine",
    "available",
    "check_fit",
    "default_ctx",
    "default_parallel",
    "estimate",
    "human",
    "physical_cores",
    "what_would_fit",
]

MAX_DEFAULT_CTX = 8192
"""Tokens for each request that nobody asked more for."""
MAX_DEFAULT_CTX_ALONE = 32768
"""The same when one request has the context for itself."""
_UNKNOWN_CTX_TRAIN = 4096
_CTX_STEP = 256  # llama_context pads n_ctx_seq to this
_BATCH, _UBATCH, _MIN_OUTPUTS = 2048, 512, 32  # what the engine asks for unless told
_MAX_POOLED_BATCH = 8192  # the engine's, for embedding and rank contexts
_MAX_POOLED_SEQUENCES = 64
_PROCESS_BYTES = 96 << 20
_PROCESS_BYTES_PER_TOKEN = 320
_WIDE_MARGIN = 1.06
_FFN_NAME = re.compile(r"blk\.(\d+)\.ffn_(gate|up|gate_up)(_exps|_shexp)?\.weight")


class Estimate(Struct, frozen=True, kw_only=True):
    """Host memory of one loaded model, by what takes it.

    The prefix store is not in it: it grows with use, up to ``cache_store_bytes``. Nor are the
    contexts made on the first request for embeddings of a model that generates.
    """

    weights_bytes: int
    repack_bytes: int
    """Of the weights, what is copied into the order that the CPU's kernels like. Not part of
    the total: the originals are then pages of a mapped file that nobody reads and the kernel
    drops when it needs them. Until then they show in the worker's resident size."""
    kv_bytes: int
    """KV cache and recurrent states."""
    compute_bytes: int
    """Activations, masks and logits."""
    process_bytes: int
    """The worker itself and its vocabulary."""
    device_bytes: int
    """What goes to GPUs, by ``gpu_layers``; not part of the total."""
    total_bytes: int
    n_ctx: int
    """Tokens for each request, as llama.cpp pads them."""
    parallel: int
    notes: tuple[str, ...] = ()


def estimate(header: Header, params: LoadParams) -> Estimate:
    """What loading ``header``'s model so will take.

    ``ctx`` and ``parallel`` left out are taken as ``default_parallel`` and the most
    ``default_ctx`` would give. Without ``gpu_layers`` nothing is thought to be on a GPU.
    """
    shape = _Shape(header, params)
    weights_bytes = sum(tensor.n_bytes for tensor in header.tensors)
    share = _device_share(header, params)
    kv_bytes = shape.kv_bytes()
    repack_bytes = _repack_bytes(header, params, platform.machine())
    device_bytes = int(weights_bytes * share) + (int(kv_bytes * share) if params.kv_offload else 0)
    host = {
        "weights_bytes": weights_bytes - int(weights_bytes * share),
        "kv_bytes": kv_bytes - (int(kv_bytes * share) if params.kv_offload else 0),
        "compute_bytes": shape.compute_bytes(),
        "process_bytes": _PROCESS_BYTES + _PROCESS_BYTES_PER_TOKEN * header.n_vocab,
    }
    return Estimate(
        **host,
        repack_bytes=repack_bytes - int(repack_bytes * share),
        device_bytes=device_bytes,
        total_bytes=sum(host.values()),
        n_ctx=shape.n_ctx,
        parallel=shape.parallel,
        notes=shape.notes(),
    )


def default_parallel(header: Header) -> int:
    """Requests at a time: 4 for a model that generates; one that embeds has no slots."""
    return 4 if header.kind == "generate" else 1


def default_ctx(header: Header, params: LoadParams, available_bytes: int) -> int:
    """Tokens for each request when nobody said.

    The context the model was trained for, but at most 8192 (32768 if ``parallel`` is 1), and
    at most as many as leave half of the memory beside the weights free; at least 256.
    """
    most = _most_ctx(header, params)
    if header.kind != "generate":
        return most
    # Above any usual ubatch, memory grows by the same step from here to any context.
    some, more = (
        estimate(header, replace(params, ctx=_BATCH + extra)).total_bytes
        for extra in (0, _CTX_STEP)
    )
    if some == more:
        return most
    steps = _BATCH // _CTX_STEP
    without_ctx = some - steps * (more - some)
    fitting = (available_bytes - without_ctx) // 2 // (more - some) * _CTX_STEP
    return min(most, max(_CTX_STEP, fitting))


def check_fit(
    header: Header, params: LoadParams, available_bytes: int, limit: str = "this machine"
) -> Estimate:
    """The estimate, if it fits in ``available_bytes``.

    Raises OutOfMemory with every number, and as hint those changes that would make it fit.
    """
    need = estimate(header, params)
    if need.total_bytes <= available_bytes:
        return need
    parts = [
        f"weights {human(need.weights_bytes)}",
        f"KV cache {human(need.kv_bytes)} ({need.parallel} x {need.n_ctx} tokens)",
        f"computing {human(need.compute_bytes + need.process_bytes)}",
    ]
    raise OutOfMemory(
        f"{header.path.name} needs {human(need.total_bytes)} of memory ({', '.join(parts)}), "
        f"{human(available_bytes)} are free on {limit}: "
        f"{human(need.total_bytes - available_bytes)} too few",
        hint=what_would_fit(header, params, need, available_bytes),
    )


def human(n_bytes: int) -> str:
    """``1.5 GB``, ``320 MB``; as large as ``kolo show`` and ``kolo ps`` say."""
    if n_bytes >= 10**9:
        return f"{n_bytes / 10**9:.1f} GB"
    return f"{-(-n_bytes // 10**6)} MB"


def what_would_fit(header: Header, params: LoadParams, need: Estimate, free_bytes: int) -> str:
    """Those changes that would make it fit in ``free_bytes``, in words."""

    def fits(**changes: object) -> bool:
        changed = replace(params, parallel=need.parallel, ctx=need.n_ctx)
        return estimate(header, replace(changed, **changes)).total_bytes <= free_bytes

    ways = []
    for ctx in (need.n_ctx >> shift for shift in range(1, 8)):
        if ctx >= _CTX_STEP and fits(ctx=ctx):
            ways.append(f"ctx {ctx}")
            break
    for parallel in (need.parallel >> shift for shift in range(1, 9)):
        if parallel and fits(parallel=parallel):
            ways.append(f"parallel {parallel}")
            break
    if (
        params.kv_type_k is None
        and params.flash_attn != "off"
        and fits(kv_type_k="q8_0", kv_type_v="q8_0")
    ):
        ways.append("kv_type_k and kv_type_v q8_0")
    if ways:
        return f"It would fit with {', or '.join(ways)}."
    if fits(ctx=_CTX_STEP, parallel=1):
        return "It would fit with ctx and parallel both smaller."
    return "Take a smaller quant or model, unload another, or move layers to a GPU (gpu_layers)."


def _most_ctx(header: Header, params: LoadParams) -> int:
    trained = header.n_ctx_train or _UNKNOWN_CTX_TRAIN
    if header.kind != "generate":
        return min(trained, _MAX_POOLED_BATCH)
    alone = (params.parallel or default_parallel(header)) == 1
    return min(trained, MAX_DEFAULT_CTX_ALONE if alone else MAX_DEFAULT_CTX)


def _device_share(header: Header, params: LoadParams) -> float:
    """Of the layers and the output, the share on GPUs; a negative ``gpu_layers`` is all."""
    layers = header.n_layer + 1
    asked = params.gpu_layers or 0
    return 1.0 if asked < 0 else min(asked, layers) / layers


def _repack_bytes(header: Header, params: LoadParams, machine: str) -> int:
    """Bytes of matrices that are rearranged (``ggml_repack_get_optimal_repack_type``).

    Embedding tables are looked up, not multiplied, and stay as they are. Without mmap there are
    no originals left to speak of.
    """
    types = REPACKED.get(machine, frozenset())
    return params.mmap * sum(
        tensor.n_bytes
        for tensor in header.tensors
        if tensor.type in types
        and len(tensor.shape) > 1
        and tensor.shape[1] % 8 == 0
        and not tensor.name.startswith("token_embd")
    )


class _Shape:
    """The dimensions a model computes in under some load parameters."""

    def __init__(self, header: Header, params: LoadParams) -> None:
        self.header = header
        self.params = params
        self.generates = header.kind == "generate"
        self.parallel = params.parallel or default_parallel(header)
        asked = params.ctx or _most_ctx(header, params)
        if self.generates:
            self.n_ctx = -(-asked // _CTX_STEP) * _CTX_STEP
            self.cells = self.n_ctx * self.parallel
            self.ubatch = min(params.ubatch or _UBATCH, params.batch or _BATCH, self.cells)
            self.outputs = max(self.parallel, _MIN_OUTPUTS)
        else:
            self.n_ctx = min(asked, _most_ctx(header, params))
            self.cells = self.ubatch = self.outputs = self.n_ctx
        self.n_head_kv = header.n_head_kv
        self.head_k = max(header.head_k, header.integer("{arch}.attention.key_length_swa"))
        self.head_v = max(header.head_v, header.integer("{arch}.attention.value_length_swa"))
        self.latent = header.integer("{arch}.attention.key_length_mla") > 0

    def kv_bytes(self) -> int:
        """KV cache (``llama_kv_cache``) and recurrent states (``llama_memory_recurrent``).

        Each layer with attention holds, for each of ``cells`` tokens, a row of
        ``n_head_kv * head_k`` elements of the K type and one of ``n_head_kv * head_v`` of the
        V type; latent attention (MLA) holds no V. Recurrent layers hold one state for each
        sequence, in f32.
        """
        if self.header.architecture in ENCODERS:
            return 0
        attention, recurrent = self._layers()
        row_bytes = 0
        for i in attention:
            heads = self.n_head_kv[i]
            row_bytes += _row_bytes(heads * self.head_k, self.params.kv_type_k)
            if not self.latent:
                row_bytes += _row_bytes(heads * self.head_v, self.params.kv_type_v)
        sequences = self.parallel if self.generates else _MAX_POOLED_SEQUENCES
        return row_bytes * self.cells + 4 * self._state_floats() * len(recurrent) * sequences

    def compute_bytes(self) -> int:
        """The scheduler's buffer, which is as large as the widest phase of a step; and the logits.

        Fitted to what llama.cpp reports (``compute buffer size``), in floats for each row of
        the physical batch: in attention 3 of all query heads, 3 of n_embd and 1 of K and of V;
        in the feed-forward ``_ffn_floats``; in a recurrent layer 5 of its inner size and 3 of
        n_embd; at the output n_vocab and 2 n_embd for each row that asks for logits. The mask
        has a half float for each row and each cell a row may see; without flash attention it
        has a float, and attention one for each head besides. Held against 56 contexts of
        dense, MoE, BERT and Mamba models the sum was 1 to 22 % too high.
        """
        header, rows = self.header, self.ubatch
        n_embd = header.n_embd
        heads = max(header.n_head, default=0)
        flash = self.params.flash_attn != "off"
        seen = self.cells if self.params.kv_unified or not self.generates else self.n_ctx
        attention = 3 * (heads * self.head_k + n_embd)
        attention += max(self.n_head_kv, default=0) * (self.head_k + self.head_v)
        attention += 0 if flash else heads * seen
        recurrent = 5 * header.integer("{arch}.ssm.inner_size") + 3 * n_embd
        floats = rows * max(attention, self._ffn_floats(), recurrent)
        if header.architecture not in ENCODERS:
            floats = max(floats, self.outputs * (header.n_vocab + 2 * n_embd))
        mask_bytes = rows * seen * (2 if flash else 4) if heads else 0
        logits_bytes = 4 * header.n_vocab * self.outputs if self.generates else 0
        return int(4 * floats * _WIDE_MARGIN) + mask_bytes + logits_bytes

    def notes(self) -> tuple[str, ...]:
        attention, recurrent = self._layers()
        notes = []
        if self.header.sliding_window:
            notes.append("windowed layers are counted with the whole context")
        if set(attention) & set(recurrent):
            notes.append("which layers are recurrent is not known: all are counted twice")
        if recurrent and not self._state_floats():
            notes.append("the size of the recurrent state is not known and not counted")
        return tuple(notes)

    def _layers(self) -> tuple[list[int], list[int]]:
        """Layers with a KV cache and layers with a recurrent state (``load_arch_hparams``)."""
        header = self.header
        layers = list(range(header.n_layer))
        if header.architecture in RECURRENT:
            return [], layers
        if not header.integer("{arch}.ssm.inner_size") and all(self.n_head_kv):
            return layers, []
        every = header.integer("{arch}.full_attention_interval")
        if every:
            attention = [i for i in layers if (i + 1) % every == 0]
        elif all(self.n_head_kv):
            return layers, layers
        else:
            attention = [i for i in layers if self.n_head_kv[i]]
        return attention, [i for i in layers if i not in attention]

    def _state_floats(self) -> int:
        """Floats of one sequence in one recurrent layer (``n_embd_r`` plus ``n_embd_s``)."""
        integer = self.header.integer
        n_embd = self.header.n_embd
        if head_size := integer("{arch}.wkv.head_size"):
            return 2 * n_embd + n_embd * head_size
        if kept := integer("{arch}.shortconv.l_cache"):
            return n_embd * (kept - 1)
        convolved = max(integer("{arch}.ssm.conv_kernel"), 1) - 1
        heads = max(self.header.n_head, default=0)
        if head_dim := integer("{arch}.kda.head_dim"):
            return heads * head_dim * (3 * convolved + head_dim)
        inner, state = integer("{arch}.ssm.inner_size"), integer("{arch}.ssm.state_size")
        return convolved * (inner + 2 * integer("{arch}.ssm.group_count") * state) + state * inner

    def _ffn_floats(self) -> int:
        """Floats for each row in the widest feed-forward.

        4 of n_embd, 3 of its width (1 if it has no gate); with experts, as wide as all that one
        row uses, and n_embd for each of them besides.
        """
        used = max(self.header.per_layer("{arch}.expert_used_count"), default=0)
        widths: dict[str, int] = {}
        gated: set[str] = set()
        experts = False
        for tensor in self.header.tensors:
            match = _FFN_NAME.fullmatch(tensor.name)
            if match is None or len(tensor.shape) < 2:
                continue
            layer, part, kind = match.groups()
            times = used if kind == "_exps" else 1
            widths[layer] = widths.get(layer, 0) + tensor.shape[1] * times
            experts |= kind == "_exps"
            if part != "up":
                gated.add(layer)
        widest = max((n + n // 2 * (layer in gated) for layer, n in widths.items()), default=0)
        n_embd = self.header.n_embd
        return widest + (5 + used if experts else 4) * n_embd


def _row_bytes(elements: int, kv_type: KVType | None) -> int:
    block, block_bytes = BLOCKS[(kv_type or "f16").upper()]
    return -(-elements // block) * block_bytes
