"""Loading a GGUF file and reading what it says of itself."""

from __future__ import annotations

import contextlib
import ctypes
import os

from kolo.engine.backend import OnProgress
from kolo.engine.llama import log
from kolo.engine.llama.bindings import llama_cpp
from kolo.engine.llama.devices import chosen, devices, layers_that_fit
from kolo.engine.llama.vocab import LlamaVocab
from kolo.errors import BadParameter, KoloError, LoadFailed, OutOfMemory, Unsupported
from kolo.types import LoadParams, Sampling

_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
_POOLINGS = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
_KV_BYTES_GUESS = 4096
"""Per token and layer, an upper guess used only to share layers between GPU and CPU."""

_SAMPLING_KEYS = {
    "general.sampling.temp": ("temperature", float),
    "general.sampling.top_k": ("top_k", int),
    "general.sampling.top_p": ("top_p", float),
    "general.sampling.min_p": ("min_p", float),
    "general.sampling.xtc_probability": ("xtc_probability", float),
    "general.sampling.xtc_threshold": ("xtc_threshold", float),
    "general.sampling.penalty_last_n": ("repeat_last_n", int),
    "general.sampling.penalty_repeat": ("repeat_penalty", float),
    "general.sampling.mirostat": ("mirostat", int),
    "general.sampling.mirostat_tau": ("mirostat_tau", float),
    "general.sampling.mirostat_eta": ("mirostat_eta", float),
}


class LlamaModel:
    """A loaded model. ``metadata`` holds its keys as text, long arrays cut by llama.cpp."""

    def __init__(self, path: str, params: LoadParams, progress: OnProgress) -> None:
        log.capture()
        llama_cpp.llama_backend_init()
        self.path = path
        self.params = params
        self.gpu_layers = _gpu_layers(path, params)
        self.handle = self._load(progress)
        try:
            self._read()
        except KoloError:
            self.close()
            raise

    def _load(self, progress: OnProgress) -> int:
        wanted = llama_cpp.llama_model_default_params()
        params = self.params
        wanted.n_gpu_layers = self.gpu_layers
        wanted.load_mode = (1 if params.mmap else 0) + (2 if params.mlock else 0)
        wanted.check_tensors = params.check_tensors
        if params.split_mode is not None:
            wanted.split_mode = _SPLIT_MODES[params.split_mode]
        if params.main_gpu is not None and params.main_gpu >= 0:
            wanted.main_gpu = params.main_gpu
        keep: list[object] = []
        if params.tensor_split:
            shares = (ctypes.c_float * int(llama_cpp.llama_max_devices()))(*params.tensor_split)
            wanted.tensor_split = shares
            keep.append(shares)
        if params.devices is not None:
            handles = [device.handle for device in chosen(params.devices)]
            array = (ctypes.c_void_p * (len(handles) + 1))(*handles, None)
            wanted.devices = ctypes.cast(array, ctypes.c_void_p)
            keep.append(array)

        def report(fraction: float, _user: object) -> bool:
            progress("weights", float(fraction))
            return True

        callback = llama_cpp.llama_progress_callback(report)
        wanted.progress_callback = callback
        log.forget()
        handle = llama_cpp.llama_model_load_from_file(os.fsencode(self.path), wanted)
        if handle is None:
            raise load_error(f"llama.cpp could not load {self.path}")
        return int(handle)

    def _read(self) -> None:
        self.vocab = LlamaVocab(int(llama_cpp.llama_model_get_vocab(self.handle)))
        self.metadata = self._metadata()
        self.architecture = self.metadata.get("general.architecture", "")
        if llama_cpp.llama_model_has_encoder(self.handle):
            raise Unsupported(
                f"{self.architecture} is an encoder-decoder model",
                hint="load a decoder model (llama, qwen, mistral, ...) or an embedding model",
                param="model",
            )
        if llama_cpp.llama_model_is_diffusion(self.handle):
            raise Unsupported(
                f"{self.architecture} is a diffusion model, which cannot stream tokens",
                hint="load an autoregressive model",
                param="model",
            )
        pooling = self.metadata.get(f"{self.architecture}.pooling_type")
        self.pooling = _POOLINGS.get(int(pooling), "none") if pooling is not None else None
        self.causal = self.metadata.get(f"{self.architecture}.attention.causal", "true") == "true"
        self.generates = self.causal and self.pooling in (None, "none")
        self.recurrent = bool(
            llama_cpp.llama_model_is_recurrent(self.handle)
            or llama_cpp.llama_model_is_hybrid(self.handle)
        )
        self.n_ctx_train = int(llama_cpp.llama_model_n_ctx_train(self.handle))
        self.n_embd = int(llama_cpp.llama_model_n_embd(self.handle))
        self.n_layer = int(llama_cpp.llama_model_n_layer(self.handle))

    def _metadata(self) -> dict[str, str]:
        found = {}
        size = 1 << 18
        buffer = ctypes.create_string_buffer(size)
        for index in range(llama_cpp.llama_model_meta_count(self.handle)):
            llama_cpp.llama_model_meta_key_by_index(self.handle, index, buffer, size)
            key = buffer.value.decode("utf-8", "replace")
            needed = llama_cpp.llama_model_meta_val_str_by_index(self.handle, index, buffer, size)
            if needed >= size:
                size = needed + 1
                buffer = ctypes.create_string_buffer(size)
                llama_cpp.llama_model_meta_val_str_by_index(self.handle, index, buffer, size)
            found[key] = buffer.value.decode("utf-8", "replace")
        return found

    @property
    def size_bytes(self) -> int:
        return int(llama_cpp.llama_model_size(self.handle))

    @property
    def n_params(self) -> int:
        return int(llama_cpp.llama_model_n_params(self.handle))

    @property
    def description(self) -> str:
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.handle, buffer, 256)
        return buffer.value.decode("utf-8", "replace")

    @property
    def ftype(self) -> str:
        name = llama_cpp.llama_ftype_name(llama_cpp.llama_model_ftype(self.handle))
        return (name or b"").decode()

    def named_templates(self) -> dict[str, str]:
        prefix = "tokenizer.chat_template."
        return {
            key.removeprefix(prefix): value
            for key, value in self.metadata.items()
            if key.startswith(prefix)
        }

    def sampling(self) -> Sampling:
        """The sampling parameters the file recommends (``general.sampling.*``)."""
        found: dict[str, float] = {}
        for key, (name, convert) in _SAMPLING_KEYS.items():
            with contextlib.suppress(KeyError, ValueError):
                found[name] = convert(self.metadata[key])
        return Sampling(**found)  # type: ignore[arg-type]

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = 0


def load_error(what: str) -> LoadFailed | OutOfMemory:
    """The error for a failed llama.cpp call, with what it logged."""
    why = log.complaints()
    message = f"{what}: {why}" if why else what
    if "alloc" in why or "out of memory" in why.lower():
        return OutOfMemory(
            message,
            hint="lower ctx or parallel, quantise the KV cache (kv_type_k = q8_0), or take a "
            "smaller quant",
        )
    return LoadFailed(message, hint="check the file with another program, or fetch it again")


def _gpu_layers(path: str, params: LoadParams) -> int:
    """As asked, else as many as fit into what the GPUs have free."""
    if params.gpu_layers is not None:
        if params.gpu_layers > 0 and not llama_cpp.llama_supports_gpu_offload():
            raise BadParameter(
                f"gpu_layers is {params.gpu_layers}, and this llama.cpp has no GPU to use",
                hint="Leave gpu_layers out; or build llama.cpp for the GPU, such as with "
                'CMAKE_ARGS="-DGGML_CUDA=on" (kolo doctor says more).',
                param="gpu_layers",
            )
        return params.gpu_layers
    gpus = [d for d in (chosen(params.devices) if params.devices else devices()) if d.is_gpu]
    if not gpus:
        return 0
    probe = llama_cpp.llama_model_default_params()
    probe.vocab_only = True
    handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), probe)
    if handle is None:
        raise load_error(f"llama.cpp could not load {path}")
    buffer = ctypes.create_string_buffer(64)
    llama_cpp.llama_model_meta_val_str(handle, b"general.architecture", buffer, 64)
    key = buffer.value + b".block_count"
    found = llama_cpp.llama_model_meta_val_str(handle, key, buffer, 64)
    n_layer = int(buffer.value) if found > 0 else 0
    llama_cpp.llama_model_free(handle)
    tokens = (params.ctx or 4096) * (params.parallel or 4)
    needed_bytes = os.path.getsize(path) + tokens * n_layer * _KV_BYTES_GUESS
    return layers_that_fit(n_layer, needed_bytes, gpus)
