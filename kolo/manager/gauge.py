"""What engines need, what they hold, and what there is for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import psutil
from msgspec.structs import replace

from kolo.errors import ModelInvalid
from kolo.manager.budget import DEVICE, HOST, Pools
from kolo.manager.gpus import GpuMemory, ReadGpus, gpu_built, lay_out, reported, visible
from kolo.manager.machine import Machine, available, gpu_present
from kolo.manager.memory import Estimate, check_fit, default_ctx, default_parallel, what_would_fit
from kolo.manager.memory import estimate as estimate_of
from kolo.models.gguf import read_model
from kolo.models.header import Header
from kolo.models.resolve import ModelSpec, find_file
from kolo.types import LoadParams
from kolo.units import Budget


def _no_advice(free_bytes: int) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Need:
    """What a load takes, and with which parameters: those left open are decided by then."""

    params: LoadParams
    pools: Pools
    estimate: Estimate | None = None
    """Of the host's part, in detail."""
    advice: Callable[[int], str] = field(default=_no_advice, compare=False)
    """What would fit in so many bytes of host memory, in words."""


class Gauge(Protocol):
    async def refresh(self) -> None:
        """Read anew what takes a while to read; the others go by the last time."""
        ...

    def budget(self, pids: Iterable[int]) -> Pools:
        """What all engines may hold together, those of ``pids`` included."""
        ...

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        """Before a load, where ``room`` is the most there could be for it.

        Raises ModelInvalid, or OutOfMemory for a model that could never fit.
        """
        ...

    def held(self, pid: int, need: Pools, report: Mapping[str, int]) -> Pools:
        """What a loaded worker holds now, in the pools of ``need``; ``report`` is what it says
        that it has allocated, by device."""
        ...

    def learn(self, spec: ModelSpec, need: Need, held: Pools) -> None:
        """What a load has come to: the next like it needs no less."""
        ...


class MachineGauge:
    """Estimates from the file's header, measures workers, asks the system what is free.

    ``read_gpus`` tells of the memory of GPUs. Without it that is counted, but has no budget: a
    load that fails for want of it evicts what is idle and is tried again.
    """

    def __init__(self, budget: Budget | None, read_gpus: ReadGpus | None = None) -> None:
        self._budget = budget
        self._read_gpus = read_gpus if read_gpus is not None and gpu_built() else None
        self._gpus: Sequence[GpuMemory] = ()
        self._reports: dict[int, dict[str, int]] = {}
        self._learnt: dict[tuple[Path, bytes], Pools] = {}

    async def refresh(self) -> None:
        if self._read_gpus is not None:
            self._gpus = visible(await self._read_gpus())

    def budget(self, pids: Iterable[int]) -> Pools:
        pids = list(pids)
        machine = available()
        if self._budget is not None:
            pools = {HOST: self._budget.of(machine.total_bytes)}
        else:
            pools = {HOST: machine.available_bytes + sum(_resident(pid).private for pid in pids)}
        for gpu in self._gpus:
            ours = sum(self._on_gpu(gpu, pid) for pid in pids)
            pools[gpu.id] = gpu.free_bytes + ours
        return pools

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        header = read_model(spec.path)
        if refusal := header.refusal():
            raise ModelInvalid(
                f"{spec.path} is not a model that Kolo can run: {refusal}",
                hint="Load a GGUF that generates text, embeds or ranks.",
                param="model",
            )
        room_bytes = max(room.get(HOST, 0), 0)
        params = replace(spec.params, parallel=spec.params.parallel or default_parallel(header))
        params = replace(params, ctx=params.ctx or self._ctx(header, params, room_bytes))
        on_gpus: Pools = {}
        if self._gpus:
            params, on_gpus = lay_out(header, params, self._gpus, room)
        estimate = check_fit(header, charged(params), room_bytes, self._limit())
        drafts = _draft(params)
        pools = {HOST: estimate.total_bytes + (drafts.total_bytes if drafts else 0)}
        if self._gpus:
            pools |= on_gpus
        else:
            pools[DEVICE] = estimate.device_bytes + (drafts.device_bytes if drafts else 0)
        for pool, amount in self._learnt.get(_key(spec, params), {}).items():
            pools[pool] = max(pools.get(pool, 0), amount)
        return Need(
            params,
            pools,
            estimate,
            lambda free_bytes: what_would_fit(header, charged(params), estimate, free_bytes),
        )

    def held(self, pid: int, need: Pools, report: Mapping[str, int]) -> Pools:
        self._reports[pid] = reported(report, self._gpus)
        on_gpus = {gpu.id: self._on_gpu(gpu, pid) or need.get(gpu.id, 0) for gpu in self._gpus}
        return {**need, **on_gpus, HOST: _resident(pid).total}

    def learn(self, spec: ModelSpec, need: Need, held: Pools) -> None:
        # Mapped pages of weights that were repacked are nobody's: see ``Estimate.repack_bytes``.
        unread = need.estimate.repack_bytes if need.estimate is not None else 0
        learnt = {gpu.id: held.get(gpu.id, 0) for gpu in self._gpus}
        self._learnt[_key(spec, need.params)] = learnt | {HOST: held.get(HOST, 0) - unread}

    def _on_gpu(self, gpu: GpuMemory, pid: int) -> int:
        if pid in gpu.by_pid:
            return gpu.by_pid[pid]
        return self._reports.get(pid, {}).get(gpu.id, 0)

    def _ctx(self, header: Header, params: LoadParams, room_bytes: int) -> int:
        return default_ctx(header, charged(params), room_bytes)

    def _limit(self) -> str:
        machine: Machine = available()
        return machine.limit if self._budget is None else "the budget of manager.memory_budget"


class NoGauge:
    """For workers without weights: they need nothing worth counting."""

    async def refresh(self) -> None:
        pass

    def budget(self, pids: Iterable[int]) -> Pools:
        return {}

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        return Need(spec.params, {})

    def held(self, pid: int, need: Pools, report: Mapping[str, int]) -> Pools:
        return need

    def learn(self, spec: ModelSpec, need: Need, held: Pools) -> None:
        pass


def _key(spec: ModelSpec, params: LoadParams) -> tuple[Path, bytes]:
    return spec.path, msgspec.msgpack.encode(params)


def _draft(params: LoadParams) -> Estimate | None:
    """What the smaller model that guesses takes beside the large one."""
    if params.draft_model is None or params.speculation == "off":
        return None
    header = read_model(find_file(Path(params.draft_model)))
    return estimate_of(header, charged(replace(params, draft_model=None, lora=[])))


def charged(params: LoadParams) -> LoadParams:
    """As an estimate is to take them: clients ask for GPU layers by habit, and without a GPU, or
    a llama.cpp that knows of GPUs, they stay on the host."""
    return params if gpu_present() and gpu_built() else replace(params, gpu_layers=0)


@dataclass(frozen=True, slots=True)
class _Resident:
    """Host memory of a process in bytes. ``private`` leaves out mapped files, which the system
    counts as available to others."""

    total: int
    private: int


def _resident(pid: int) -> _Resident:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return _Resident(0, 0)
    return _Resident(memory.rss, max(memory.rss - memory.shared, 0))
