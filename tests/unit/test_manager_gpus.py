"""Memory of GPUs in the budget, over readings as NVML gave them for two cards."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from kolo.manager.budget import DEVICE, HOST
from kolo.manager.gauge import MachineGauge
from kolo.manager.gpus import CONTEXT_BYTES, GpuMemory, lay_out, on_gpus, reported, visible
from kolo.manager.memory import estimate
from kolo.models.gguf import read_model
from kolo.models.resolve import ModelSpec
from kolo.types import LoadParams

GIB, MIB = 1 << 30, 1 << 20
GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))
HEADER = read_model(GUIDE)
FIRST, SECOND = "nvidia:0", "nvidia:1"
OURS = os.getpid()


def card(id: str, used: int = GIB, **more: Any) -> GpuMemory:
    return GpuMemory(id=id, total_bytes=24 * GIB, used_bytes=used, **more)


CARDS = [card(FIRST), card(SECOND, 3 * GIB)]
ROOM = {HOST: 8 * GIB, FIRST: 23 * GIB, SECOND: 21 * GIB}


@pytest.fixture(autouse=True)
def a_build_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kolo.manager.gauge.gpu_built", lambda: True)
    monkeypatch.setattr("kolo.manager.gauge.gpu_present", lambda: True)


def spec(**params: Any) -> ModelSpec:
    return ModelSpec(id="m", path=GUIDE, params=LoadParams(**params), source="path")


async def gauge(cards: Sequence[GpuMemory]) -> MachineGauge:
    async def read() -> Sequence[GpuMemory]:
        return cards

    made = MachineGauge(None, read)
    await made.refresh()
    return made


async def test_a_gpu_has_for_us_what_is_free_and_what_our_workers_hold() -> None:
    cards = [card(FIRST, 10 * GIB, by_pid={OURS: 6 * GIB, 1: 4 * GIB}), card(SECOND)]
    budget = (await gauge(cards)).budget([OURS])
    assert budget[FIRST] == 20 * GIB
    assert budget[SECOND] == 23 * GIB


async def test_a_worker_is_measured_by_the_driver() -> None:
    cards = [card(FIRST, by_pid={OURS: 6 * GIB}), card(SECOND)]
    held = (await gauge(cards)).held(OURS, {HOST: 1, FIRST: 2 * GIB}, {})
    assert held[FIRST] == 6 * GIB
    assert held[SECOND] == 0
    assert held[HOST] > MIB


async def test_where_the_driver_does_not_tell_the_workers_report_counts() -> None:
    made = await gauge([card(FIRST, 5 * GIB), card(SECOND)])
    report = {"CUDA0": 3 * GIB, "CPU": GIB, "CUDA_Host": MIB}
    held = made.held(OURS, {HOST: 1, FIRST: 2 * GIB}, report)
    assert held[FIRST] == 3 * GIB + CONTEXT_BYTES
    assert made.budget([OURS])[FIRST] == 19 * GIB + held[FIRST]


async def test_what_was_held_before_is_needed_by_the_next_load() -> None:
    made = await gauge([card(FIRST, by_pid={OURS: 6 * GIB})])
    first = made.need(spec(gpu_layers=-1), ROOM)
    assert first.pools[FIRST] < 2 * GIB
    made.learn(spec(gpu_layers=-1), first, made.held(OURS, first.pools, {}))
    again = made.need(spec(gpu_layers=-1), ROOM)
    assert again.pools[FIRST] == 6 * GIB
    assert made.need(spec(gpu_layers=-1, parallel=1), ROOM).pools[FIRST] < 2 * GIB


async def test_layers_left_open_go_to_gpus_as_far_as_they_have_room() -> None:
    made = await gauge([card(FIRST)])
    everything = made.need(spec(), ROOM)
    assert everything.params.gpu_layers == HEADER.n_layer + 1
    assert DEVICE not in everything.pools
    nothing = made.need(spec(), {**ROOM, FIRST: 100 * MIB})
    assert nothing.params.gpu_layers == 0
    assert on_gpus(nothing.pools) == 0
    assert nothing.pools[HOST] > everything.pools[HOST]


def test_some_layers_when_not_all_have_room() -> None:
    params = LoadParams(ctx=8192, parallel=32)
    whole = estimate(HEADER, LoadParams(ctx=8192, parallel=32, gpu_layers=-1))
    overhead = whole.compute_bytes + CONTEXT_BYTES
    room = {FIRST: overhead + whole.device_bytes // 2}
    chosen, pools = lay_out(HEADER, params, [card(FIRST)], room)
    assert chosen.gpu_layers is not None
    assert 0 < chosen.gpu_layers < HEADER.n_layer + 1
    assert overhead < pools[FIRST] <= room[FIRST]


def test_layers_asked_for_are_charged_whether_they_fit_or_not() -> None:
    chosen, pools = lay_out(HEADER, LoadParams(gpu_layers=99), [card(FIRST)], {FIRST: 0})
    assert chosen.gpu_layers == 99
    assert pools[FIRST] > CONTEXT_BYTES


def test_two_gpus_share_by_what_is_free_or_as_asked() -> None:
    def split(**params: Any) -> list[int]:
        pools = lay_out(HEADER, LoadParams(gpu_layers=-1, **params), CARDS, ROOM)[1]
        overhead = estimate(HEADER, LoadParams(gpu_layers=-1)).compute_bytes + CONTEXT_BYTES
        return [max(pools.get(id, 0) - overhead, 0) for id in (FIRST, SECOND)]

    first, second = split()
    assert first / second == pytest.approx(23 / 21, rel=0.01)
    first, second = split(tensor_split=[3.0, 1.0])
    assert first / second == pytest.approx(3, rel=0.01)
    assert split(split_mode="none", main_gpu=1)[0] == 0
    assert split(split_mode="none", main_gpu=1)[1] > 0
    assert split(devices=["CUDA1"])[0] == 0


def test_gpus_count_as_the_process_sees_them() -> None:
    def ids(value: str | None) -> list[str]:
        env = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
        return [gpu.id for gpu in visible(CARDS, env)]

    assert ids(None) == [FIRST, SECOND]
    assert ids("1") == [SECOND]
    assert ids("1,0") == [SECOND, FIRST]
    assert ids("GPU-8932f937") == [FIRST, SECOND]


def test_devices_of_a_report_are_found_by_their_number() -> None:
    report = {"CUDA1": GIB, "CPU_Mapped": GIB, "CPU": GIB, "CUDA7": GIB}
    assert reported(report, CARDS) == {SECOND: GIB + CONTEXT_BYTES}
