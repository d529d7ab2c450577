"""What processes and disks say, and what is left of them when they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kolo.monitor.system import (
    SHORTEST_S,
    HostMonitor,
    ProcessMonitor,
    host_of,
    read_disk,
    read_swap,
)


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_the_load_of_a_process_is_that_since_it_was_last_read() -> None:
    clock = Clock()
    monitor = ProcessMonitor(clock=clock)
    first = monitor.read(os.getpid())
    assert first is not None
    assert first.cpu_percent is None
    assert first.rss_bytes
    spent = os.times()
    before_s = spent.user + spent.system
    while (now := os.times()).user + now.system - before_s < 0.25:
        sum(range(10_000))
    clock.now += SHORTEST_S
    second = monitor.read(os.getpid())
    assert second is not None
    assert second.cpu_percent is not None
    assert second.cpu_percent >= 100 * 0.2 / SHORTEST_S
    clock.now += SHORTEST_S / 2
    third = monitor.read(os.getpid())
    assert third is not None
    assert third.cpu_percent == second.cpu_percent  # too soon to tell anew


def test_a_process_that_is_gone_is_none_and_forgotten() -> None:
    monitor = ProcessMonitor()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert monitor.read(child.pid) is not None
    child.communicate(b"\n")
    assert monitor.read(child.pid) is None
    monitor.keep([os.getpid()])
    assert monitor.read(child.pid) is None


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    disk = read_disk(folder)
    assert disk.path == str(folder)
    assert disk.total_bytes == read_disk(tmp_path).total_bytes
    assert disk.free_bytes is not None


def test_the_host_has_a_name_cores_and_memory(tmp_path: Path) -> None:
    host = host_of(HostMonitor().read(), "box", read_disk(tmp_path), read_swap())
    assert (host.name, host.cores) == ("box", len(os.sched_getaffinity(0)))
    assert host.swap_used_bytes is not None
    assert host.memory_total_bytes
    assert host.memory_available_bytes
    assert host.memory_available_bytes <= host.memory_total_bytes
