"""GPUs as llama.cpp sees them, and how many layers of a model they can take."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from kolo.engine.llama.bindings import llama_cpp
from kolo.errors import BadParameter

# Exported by the library, not wrapped by the bindings. ``llama_cpp._ggml`` would map a second
# copy of ggml, with a registry of its own.
_lib = llama_cpp._lib
_dev_count = ctypes.CFUNCTYPE(ctypes.c_size_t)(("ggml_backend_dev_count", _lib))
_dev_get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(("ggml_backend_dev_get", _lib))
_dev_name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(("ggml_backend_dev_name", _lib))
_dev_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(("ggml_backend_dev_type", _lib))
_dev_memory = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)(("ggml_backend_dev_memory", _lib))

_GPU_TYPES = (1, 2)  # GGML_BACKEND_DEVICE_TYPE_GPU, _IGPU
_RESERVE_BYTES = 768 << 20
"""Left free on each GPU for compute buffers and the driver."""


@dataclass(frozen=True, slots=True)
class Device:
    handle: int
    name: str
    is_gpu: bool
    free_bytes: int
    total_bytes: int


def devices() -> list[Device]:
    found = []
    for index in range(_dev_count()):
        handle = _dev_get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        _dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
        name = _dev_name(handle).decode()
        found.append(Device(handle, name, _dev_type(handle) in _GPU_TYPES, free.value, total.value))
    return found


def chosen(names: list[str]) -> list[Device]:
    """The devices with these names; BadParameter lists what there is."""
    known = {device.name: device for device in devices()}
    for name in names:
        if name not in known:
            raise BadParameter(
                f"no device named {name!r}",
                hint=f"this build of llama.cpp sees: {', '.join(known)}",
                param="devices",
            )
    return [known[name] for name in names]


def layers_that_fit(n_layer: int, needed_bytes: int, gpus: list[Device]) -> int:
    """How many of ``n_layer`` + 1 (the output counts as one) fit; ``needed_bytes`` is for all."""
    free_bytes = sum(max(0, gpu.free_bytes - _RESERVE_BYTES) for gpu in gpus)
    if needed_bytes <= free_bytes:
        return n_layer + 1
    return int((n_layer + 1) * free_bytes / max(needed_bytes, 1))
