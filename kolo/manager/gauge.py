"""What engines need, what they hold, and what there is for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from msgspec.structs import replace

from kolo.errors import ModelInvalid
from kolo.manager.budget import DEVICE, HOST, Pools
from kolo.manager.machine import Machine, available, gpu_present
from kolo.manager.memory import Estimate, check_fit, default_ctx, default_parallel
from kolo.manager.memory import estimate as estimate_of
from kolo.models.gguf import read_model
from kolo.models.resolve import ModelSpec, find_file
from kolo.types import LoadParams
from kolo.units import Budget


@dataclass(frozen=True, slots=True)
class Need:
    """What a load takes, and with which parameters: those left open are decided by then."""

    params: LoadParams
    pools: Pools


class Gauge(Protocol):
    def budget(self, pids: Iterable[int]) -> Pools:
        """What all engines may hold together, those of ``pids`` included."""
        ...

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        """Before a load, where ``room`` is the most there could be for it.

        Raises ModelInvalid, or OutOfMemory for a model that could never fit.
        """
        ...

    def held(self, pid: int, need: Pools) -> Pools:
        """What a loaded worker holds now, in the pools of ``need``."""
        ...


class MachineGauge:
    """Estimates from the file's header, measures workers, asks the system what is free.

    Memory of GPUs is counted but has no budget: a load that fails for want of it evicts what
    is idle and is tried again.
    """

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget

    def budget(self, pids: Iterable[int]) -> Pools:
        machine = available()
        if self._budget is not None:
            return {HOST: self._budget.of(machine.total_bytes)}
        return {HOST: machine.available_bytes + sum(_resident(pid).private for pid in pids)}

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
        params = replace(params, ctx=params.ctx or default_ctx(header, params, room_bytes))
        estimate = check_fit(header, charged(params), room_bytes, self._limit())
        drafts = _draft(params)
        host_bytes = estimate.total_bytes + (drafts.total_bytes if drafts else 0)
        device_bytes = estimate.device_bytes + (drafts.device_bytes if drafts else 0)
        return Need(params, {HOST: host_bytes, DEVICE: device_bytes})

    def held(self, pid: int, need: Pools) -> Pools:
        return {**need, HOST: _resident(pid).total}

    def _limit(self) -> str:
        machine: Machine = available()
        return machine.limit if self._budget is None else "the budget of manager.memory_budget"


class NoGauge:
    """For workers without weights: they need nothing worth counting."""

    def budget(self, pids: Iterable[int]) -> Pools:
        return {}

    def need(self, spec: ModelSpec, room: Pools) -> Need:
        return Need(spec.params, {})

    def held(self, pid: int, need: Pools) -> Pools:
        return need


def _draft(params: LoadParams) -> Estimate | None:
    """What the smaller model that guesses takes beside the large one."""
    if params.draft_model is None or params.speculation == "off":
        return None
    header = read_model(find_file(Path(params.draft_model)))
    return estimate_of(header, charged(replace(params, draft_model=None, lora=[])))


def charged(params: LoadParams) -> LoadParams:
    """As an estimate is to take them: clients ask for GPU layers by habit, and without a GPU
    llama.cpp keeps them on the host."""
    return params if gpu_present() else replace(params, gpu_layers=0)


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
