"""What a model needs by its header, what a process holds, what the budget leaves."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from ggufs import build

from kolo.errors import OutOfMemory
from kolo.manager import gauge
from kolo.manager.budget import DEVICE, HOST
from kolo.manager.gauge import MachineGauge
from kolo.manager.machine import Machine
from kolo.models.resolve import ModelSpec
from kolo.types import LoadParams
from kolo.units import Budget

GIB = 1 << 30
NOBODY = 2**30
"""No process has this id."""


def spec(folder: Path, **params: int) -> ModelSpec:
    path = build(folder, "llama")
    return ModelSpec(id="x", path=path, params=LoadParams(**params), source="path")  # type: ignore[arg-type]


def test_parameters_left_open_are_decided_before_the_load(tmp_path: Path) -> None:
    need = MachineGauge(None).need(spec(tmp_path), {HOST: GIB})
    assert (need.params.parallel, need.params.ctx) == (4, 1024)
    assert need.pools[HOST] > build(tmp_path, "llama").stat().st_size
    assert need.pools[DEVICE] == 0


def test_parameters_that_were_given_are_left_alone(tmp_path: Path) -> None:
    need = MachineGauge(None).need(spec(tmp_path, ctx=512, parallel=2), {HOST: GIB})
    assert (need.params.parallel, need.params.ctx) == (2, 512)


def test_a_model_over_everything_there_could_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"needs .* of memory"):
        MachineGauge(None).need(spec(tmp_path), {HOST: 1 << 20})


def test_a_budget_of_the_settings_goes_before_what_is_free() -> None:
    total = psutil.virtual_memory().total
    assert MachineGauge(Budget(n_bytes=GIB)).budget([os.getpid()]) == {HOST: GIB}
    assert MachineGauge(Budget(share=0.01)).budget([])[HOST] <= total // 100


def test_memory_of_our_own_workers_counts_as_available_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauge, "available", lambda: Machine(8 * GIB, 2 * GIB, "this machine"))
    ballast = b"x" * (64 << 20)
    assert MachineGauge(None).budget([NOBODY]) == {HOST: 2 * GIB}
    assert MachineGauge(None).budget([os.getpid()])[HOST] > 2 * GIB + len(ballast) // 2


def test_a_loaded_worker_holds_what_it_uses_not_what_was_estimated() -> None:
    held = MachineGauge(None).held(os.getpid(), {HOST: 77 * GIB, DEVICE: 5, "engines": 1})
    assert 0 < held[HOST] < 77 * GIB
    assert (held[DEVICE], held["engines"]) == (5, 1)


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert MachineGauge(None).held(NOBODY, {HOST: 5})[HOST] == 0
