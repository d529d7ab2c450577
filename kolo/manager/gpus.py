"""Memory of GPUs: what the driver says there is, and how a model would be laid over it.

Each GPU is a pool of the budget, named by its id (``nvidia:0``). Who holds how much comes from
the driver, by process; where it does not tell (containers, other vendors), from what the worker
says it has allocated.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from kolo.manager.budget import ENGINES, HOST, Pools
from kolo.manager.memory import estimate
from kolo.models.header import Header
from kolo.types import LoadParams

CONTEXT_BYTES = 512 << 20
"""What a process takes of each GPU it uses beside its buffers: the driver's context and kernels."""
_NUMBER = re.compile(r"(\d+)$")
_LIBRARY = re.compile(r"(lib)?ggml-(cuda|hip|musa|vulkan|metal|sycl|opencl|cann)\b")


class GpuMemory(Struct, frozen=True, kw_only=True):
    """One GPU, as its driver tells now."""

    id: str
    total_bytes: int
    used_bytes: int
    by_pid: dict[int, int] = {}
    """Bytes of each process that is told of."""

    @property
    def free_bytes(self) -> int:
        return max(self.total_bytes - self.used_bytes, 0)


ReadGpus = Callable[[], Awaitable[Sequence[GpuMemory]]]


def gpu_built() -> bool:
    """Whether the installed llama.cpp was built for any kind of GPU."""
    given = os.environ.get("LLAMA_CPP_LIB_PATH")
    spec = importlib.util.find_spec("llama_cpp")
    places = [Path(given)] if given else []
    places += [Path(place) / "lib" for place in (spec and spec.submodule_search_locations) or ()]
    return any(
        _LIBRARY.match(path.name) for place in places if place.is_dir() for path in place.iterdir()
    )


def visible(gpus: Sequence[GpuMemory], env: Mapping[str, str] = os.environ) -> list[GpuMemory]:
    """The GPUs in the order in which llama.cpp counts them: CUDA_VISIBLE_DEVICES, if it is a list
    of numbers, says which and how."""
    listed = env.get("CUDA_VISIBLE_DEVICES")
    if listed is None or not all(part.strip().isdecimal() for part in listed.split(",")):
        return list(gpus)
    wanted = [int(part) for part in listed.split(",")]
    return [gpus[at] for at in wanted if at < len(gpus)]


def on_gpus(pools: Pools) -> int:
    """Bytes in all pools that are GPUs."""
    return sum(amount for pool, amount in pools.items() if pool not in (HOST, ENGINES))


def lay_out(
    header: Header, params: LoadParams, gpus: Sequence[GpuMemory], room: Pools
) -> tuple[LoadParams, Pools]:
    """The parameters with the number of layers that go to GPUs, and what that takes of each.

    Left open, it is as many as fit in ``room``, which is what there could be at most.
    """
    used = _used(params, gpus)
    if not used:
        return replace(params, gpu_layers=0), {}
    shares = _shares(params, used, room)
    whole = estimate(header, replace(params, gpu_layers=-1))
    n_units = header.n_layer + 1
    overhead = whole.compute_bytes + CONTEXT_BYTES

    def need(units: int) -> Pools:
        if not units:
            return {}
        moved = whole.device_bytes * units // n_units
        return {gpu.id: int(moved * share) + overhead for gpu, share in shares if share}

    if params.gpu_layers is not None:
        asked = params.gpu_layers
        return params, need(n_units if asked < 0 else min(asked, n_units))
    units = n_units
    while any(amount > room.get(pool, 0) for pool, amount in need(units).items()):
        units -= 1
    return replace(params, gpu_layers=units), need(units)


def reported(report: Mapping[str, int], gpus: Sequence[GpuMemory]) -> dict[str, int]:
    """Bytes by GPU of what a worker has allocated on devices as llama.cpp names them
    (``CUDA0``)."""
    found: dict[str, int] = {}
    for device, amount in report.items():
        number = _NUMBER.search(device)
        if number is not None and not device.startswith("CPU") and int(number[1]) < len(gpus):
            id = gpus[int(number[1])].id
            found[id] = found.get(id, CONTEXT_BYTES) + amount
    return found


def _used(params: LoadParams, gpus: Sequence[GpuMemory]) -> list[GpuMemory]:
    """Those that the parameters choose."""
    if params.devices is not None:
        numbers = [_NUMBER.search(name) for name in params.devices]
        wanted = [int(number[1]) for number in numbers if number is not None]
        gpus = [gpus[at] for at in wanted if at < len(gpus)]
    if params.split_mode == "none":
        at = max(params.main_gpu or 0, 0)
        return list(gpus[at : at + 1])
    return list(gpus)


def _shares(
    params: LoadParams, gpus: Iterable[GpuMemory], room: Pools
) -> list[tuple[GpuMemory, float]]:
    """Of what is moved to GPUs, the part of each: as asked for, else by what is free there."""
    gpus = list(gpus)
    weights = [float(room.get(gpu.id, 0)) for gpu in gpus]
    if params.tensor_split:
        asked = [*params.tensor_split, *[0.0] * len(gpus)]
        weights = asked[: len(gpus)]
    whole = sum(weights)
    if whole <= 0:
        return [(gpu, 1 / len(gpus)) for gpu in gpus]
    return [(gpu, weight / whole) for gpu, weight in zip(gpus, weights, strict=True)]
