"""What the machine takes while a round runs, and what is written down of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from pathlib import Path

import pytest

from kolo.bench.host import Hindrances, file_sha256, read_host
from kolo.bench.result import Round
from kolo.bench.watch import Watch, server_pid, watched
from kolo.snapshot import Gpu


class Readings:
    """GPUs that take more from look to look, at times of their own."""

    def __init__(self, watts: list[float | None], used: list[int]) -> None:
        self._readings = iter(zip(watts, used, strict=True))
        self.now = 0.0

    def read(self) -> list[Gpu]:
        self.now += 2.0
        power_w, used = next(self._readings)
        one = Gpu(id="nvidia:0", vendor="nvidia", index=0, power_w=power_w, memory_used_bytes=used)
        return [one, Gpu(id="intel:0", vendor="intel", index=0)]


def test_energy_is_power_over_time() -> None:
    readings = Readings([100.0, 200.0, 100.0], [5, 9, 7])
    round = Round(index=0)
    watch = Watch(round, None, readings.read, clock=lambda: readings.now)
    for _ in range(3):
        watch.look()
    assert round.energy_j == pytest.approx(2 * 150 + 2 * 150)
    assert round.device_bytes == 9
    assert round.memory_bytes is None


def test_a_gpu_that_does_not_tell_its_power_costs_nothing_known() -> None:
    readings = Readings([None, None], [5, 5])
    round = Round(index=0)
    watch = Watch(round, None, readings.read, clock=lambda: readings.now)
    watch.look()
    watch.look()
    assert round.energy_j is None


async def test_memory_of_a_process_of_this_machine_is_seen() -> None:
    round = Round(index=0)
    async with watched(round, os.getpid(), None):
        await asyncio.sleep(0)
    assert round.memory_bytes is not None
    assert round.memory_bytes > 1 << 20
    assert round.client_cpu >= 0


async def test_a_process_that_is_gone_has_no_memory() -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    round = Round(index=0)
    async with watched(round, process.pid, None):
        pass
    assert round.memory_bytes is None


def test_the_process_behind_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert server_pid("127.0.0.1", port) == os.getpid()
        assert server_pid("example.org", port) is None
    assert server_pid("127.0.0.1", port) is None


def test_a_file_is_known_by_its_content_and_read_once(tmp_path: Path) -> None:
    file, cache = tmp_path / "m.gguf", tmp_path / "cache" / "sha256.json"
    file.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert file_sha256(file, cache) == (3, digest)
    assert digest in cache.read_text()
    cache.write_text(cache.read_text().replace(digest, "from the cache"))
    assert file_sha256(file, cache) == (3, "from the cache")
    file.write_bytes(b"four")
    assert file_sha256(file, cache) == (4, hashlib.sha256(b"four").hexdigest())
    cache.write_text("{")
    assert file_sha256(file, cache) == (4, hashlib.sha256(b"four").hexdigest())
    assert file_sha256(tmp_path / "none", cache) == (None, "")


def test_the_host_is_described() -> None:
    hindrances = Hindrances()
    host = read_host([])
    hindrances.add_to(host)
    assert host.cpu
    assert host.usable_cpus >= 1
    assert host.memory_bytes > 1 << 28
    assert host.load_before is None or 0 <= host.load_before <= 1
    assert host.throttled is None or host.throttled >= 0
    assert host.steal is None or 0 <= host.steal <= 1
