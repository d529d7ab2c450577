"""What a load is thought to take, before a worker is started."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ggufs import tiny_llama

from kolo.errors import ModelInvalid, OutOfMemory
from kolo.manager.budget import DEVICE, HOST
from kolo.manager.gauge import MachineGauge
from kolo.manager.machine import gpu_present
from kolo.models.resolve import ModelSpec
from kolo.types import LoadParams
from kolo.units import Budget

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))
ROOMY = {HOST: 8 << 30}


def spec(path: Path, **params: Any) -> ModelSpec:
    return ModelSpec(id="m", path=path, params=LoadParams(**params), source="path")


def test_what_is_left_open_is_decided_before_the_load() -> None:
    need = MachineGauge(None).need(spec(GUIDE), ROOMY)
    assert need.params.ctx
    assert need.params.parallel
    assert need.pools[HOST] > GUIDE.stat().st_size


def test_a_sound_file_that_is_no_model_is_refused_without_a_worker(tmp_path: Path) -> None:
    adapter = tiny_llama(tmp_path / "a.gguf", extra={"general.type": "adapter"})
    with pytest.raises(ModelInvalid, match="adapter") as caught:
        MachineGauge(None).need(spec(adapter), ROOMY)
    assert caught.value.hint


def test_what_can_never_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(OutOfMemory, match="GB"):
        MachineGauge(Budget(1 << 20, None)).need(
            spec(GUIDE, ctx=1 << 20, parallel=64), {HOST: 1 << 20}
        )


def test_gpu_layers_asked_of_a_machine_without_a_gpu_count_as_host_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gauge = MachineGauge(None)
    monkeypatch.setattr("kolo.manager.gauge.gpu_present", lambda: False)
    without = gauge.need(spec(GUIDE, gpu_layers=100), ROOMY)
    monkeypatch.setattr("kolo.manager.gauge.gpu_present", lambda: True)
    monkeypatch.setattr("kolo.manager.gauge.gpu_built", lambda: False)
    built_without = gauge.need(spec(GUIDE, gpu_layers=100), ROOMY)
    monkeypatch.setattr("kolo.manager.gauge.gpu_built", lambda: True)
    offloaded = gauge.need(spec(GUIDE, gpu_layers=100), ROOMY)
    assert without.pools[DEVICE] == built_without.pools[DEVICE] == 0
    assert offloaded.pools[DEVICE] > 0
    assert without.pools[HOST] > offloaded.pools[HOST]
    assert without.params.gpu_layers == 100


@pytest.mark.parametrize("node", ["nvidia0", "kfd", "dri/renderD128"])
def test_a_gpu_is_seen_by_its_device_node(tmp_path: Path, node: str) -> None:
    assert not gpu_present(tmp_path)
    (tmp_path / node).parent.mkdir(exist_ok=True)
    (tmp_path / node).touch()
    assert gpu_present(tmp_path)


def test_a_draft_model_is_counted_too() -> None:
    gauge = MachineGauge(None)
    alone = gauge.need(spec(GUIDE, ctx=512, parallel=2), ROOMY)
    paired = gauge.need(spec(GUIDE, ctx=512, parallel=2, draft_model=str(GUIDE)), ROOMY)
    assert paired.pools[HOST] > alone.pools[HOST] + GUIDE.stat().st_size
