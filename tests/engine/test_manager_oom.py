"""A load that finds no memory, although it fitted by the numbers; and how good the numbers are."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ggufs import build, tiny_llama
from impostor import pretend
from managing import House, house, spec
from recorder import Recorder

from kolo.config import Settings
from kolo.errors import LoadFailed, OutOfMemory
from kolo.manager import process
from kolo.manager.budget import HOST
from kolo.manager.gauge import MachineGauge
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.models.resolve import ModelSpec
from kolo.types import LoadParams

MIB, GIB = 1 << 20, 1 << 30
SETTINGS = Settings(engine=LoadParams(ctx=512, parallel=2, threads=1, warmup=False))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    before = set(psutil.Process().children())
    sink = Recorder()
    limits = replace(Limits.from_settings(SETTINGS), log_folder=tmp_path)
    async with Manager(SETTINGS, sink=sink, limits=limits) as manager:
        yield House(manager, sink)
    assert set(psutil.Process().children()) <= before


def limit_address_space(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    """Every worker started from now on has no more, as under ``ulimit -v``."""
    plain = process.worker_command

    def command(fd: int) -> list[str]:
        code = (
            "import os, resource, sys; "
            f"resource.setrlimit(resource.RLIMIT_AS, ({n_bytes}, {n_bytes})); "
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        return [sys.executable, "-c", code, *plain(fd)]

    monkeypatch.setattr(process, "worker_command", command)


# llama.cpp and the system ------------------------------------------------------------------


async def test_a_kv_cache_that_cannot_be_allocated_is_out_of_memory_and_told_with_the_numbers(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_address_space(monkeypatch, 3 * GIB)
    async with home.manager.lease("guide"):
        pass
    with pytest.raises(OutOfMemory) as caught:
        await home.manager.load("guide", id="large", overrides={"ctx": 500_000, "parallel": 4})
    assert "there is not enough memory" in caught.value.message
    assert "it was thought to need" in caught.value.message
    assert "free" in caught.value.message
    assert "ctx" in caught.value.hint
    assert ("unloaded", "guide", "evicted for 'large'") in home.sink.of("unloaded")
    assert home.status("large").memory_bytes == 0
    async with home.manager.lease("guide"):
        assert home.status("guide").state == "loaded"


@pytest.mark.parametrize("mib", [60, 100])
async def test_a_worker_without_room_to_start_is_out_of_memory(
    home: House, monkeypatch: pytest.MonkeyPatch, mib: int
) -> None:
    limit_address_space(monkeypatch, mib * MIB)
    with pytest.raises(OutOfMemory):
        async with home.manager.lease("guide"):
            pass


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "print('terminate called after: std::bad_alloc', file=sys.stderr, flush=True); os.abort()",
        "print('mmap: Cannot allocate memory', file=sys.stderr, flush=True); os._exit(1)",
    ],
    ids=["killed", "bad_alloc", "mmap"],
)
async def test_a_worker_that_dies_for_want_of_memory_has_the_idle_ones_evicted_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    pretend(
        monkeypatch,
        f"""
load = next(frames)
if load.path == "n":
    {end}
ready(); next(frames)
""",
    )
    fitting = spec("i1")
    dying = ModelSpec(id="n1", path=Path("n"), params=fitting.params, source="config")
    async with house(tmp_path, gib=9, specs=[fitting, dying]) as home:
        async with home.manager.lease("i1"):
            pass
        with pytest.raises(OutOfMemory, match=r"1\.1 GB of host memory \(9\.7 GB free\)"):
            async with home.manager.lease("n1"):
                pass
        assert home.sink.of("unloaded") == [("unloaded", "i1", "evicted for 'n1'")]


async def test_a_worker_that_crashes_for_another_reason_is_no_reason_to_evict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(
        monkeypatch,
        """
load = next(frames)
if load.path == "n":
    os.kill(os.getpid(), signal.SIGSEGV)
ready(); next(frames)
""",
    )
    fitting = spec("i1")
    dying = ModelSpec(id="n1", path=Path("n"), params=fitting.params, source="config")
    async with house(tmp_path, gib=9, specs=[fitting, dying]) as home:
        async with home.manager.lease("i1"):
            pass
        with pytest.raises(LoadFailed, match="SIGSEGV"):
            async with home.manager.lease("n1"):
                pass
        assert home.states()["i1"] == "loaded"


# How good the numbers are --------------------------------------------------------------------


def shape(folder: Path, name: str) -> str:
    """The builtin model, one of a real size and layout, or of another kind altogether."""
    if name == "guide":
        return name
    if name == "broad":
        return str(
            tiny_llama(
                folder / "broad.gguf",
                vocab=32_000, layers=8, n_embd=512, n_head=8, n_head_kv=4, n_ff=1024, n_ctx=8192,
            )
        )  # fmt: skip
    return str(build(folder, name))


@pytest.mark.parametrize("ctx", [512, 8192])
@pytest.mark.parametrize("name", ["guide", "broad", "llama", "mamba"])
async def test_an_estimate_agrees_with_what_is_measured_after_the_load(
    home: House, tmp_path: Path, name: str, ctx: int
) -> None:
    """Within 64 MiB or a seventh: of what is small, most is the process, which differs by
    machine."""
    reference = shape(tmp_path, name)
    overrides = {"ctx": ctx, "parallel": 4, "warmup": True}
    engine = await home.manager.load(reference, overrides=overrides)
    thought = MachineGauge(None).need(engine.spec, {HOST: 8 * GIB}).pools[HOST]
    assert home.status(engine.id).memory_bytes == pytest.approx(thought, abs=64 * MIB, rel=0.15)


async def test_what_a_load_came_to_is_what_the_next_one_needs(home: House) -> None:
    engine = await home.manager.load("guide", overrides={"ctx": 2048})
    assert engine.info.buffers
    assert sum(engine.info.buffers.values()) > engine.info.kv_bytes > 0
    outlook = await home.manager.foresee("guide")
    measured = home.status("guide").memory_bytes
    assert outlook.need[HOST] <= measured + 64 * MIB
    assert outlook.held == []
    other = await home.manager.foresee("guide", id="other")
    assert [one.id for one in other.held] == ["guide"]
    assert other.held[0].pools[HOST] == measured
