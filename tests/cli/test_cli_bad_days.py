"""What may happen to a server that runs: workers, memory, disks and clocks. Each time: what the
one gets, that another's stream goes on meanwhile, and that the server is healthy afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo, gone, workers_of
from witness import GUIDE, Stream, ask, engines, get, healthy, two_engines, until

GIB = 1 << 30
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def refusal(server: Server, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HTTPError) as caught:
        server.post(path, body).close()
    with caught.value as error:
        told: dict[str, Any] = json.load(error)["error"]
        return error.code, told


# Workers -------------------------------------------------------------------------------------


def three_streams_end(env: dict[str, str], number: signal.Signals) -> None:
    """A signal to the worker of ``guide`` while three stream from it and one from ``other``."""
    two_engines(env)
    with Server(env) as server, Stream(server) as witness, ExitStack() as streams:
        three = [streams.enter_context(Stream(server, "guide")) for _ in range(3)]
        before = engines(server)["guide"]["pid"]
        os.kill(before, number)
        assert [stream.ended_with() for stream in three] == ["engine_crashed"] * 3
        assert all(number.name in json.loads(stream.last)["error"]["message"] for stream in three)
        witness.went_on()
        healthy(server)
        assert gone(before)
        server.until(f"engine 'guide' crashed: the worker was killed by signal {number:d}")
        witness.went_on()


def test_a_worker_that_is_killed_ends_its_own_streams_alone(env: dict[str, str]) -> None:
    three_streams_end(env, signal.SIGKILL)


def test_a_worker_that_aborts_ends_its_own_streams_alone(env: dict[str, str]) -> None:
    """As where an assertion of llama.cpp fails."""
    three_streams_end(env, signal.SIGABRT)


def test_a_worker_that_hangs_is_ended_with_its_own_streams_alone(env: dict[str, str]) -> None:
    two_engines(env, '[manager]\nhang_timeout = "20s"')
    with Server(env) as server, Stream(server) as witness, Stream(server, "guide") as stream:
        before = engines(server)["guide"]["pid"]
        os.kill(before, signal.SIGSTOP)
        ask(server, "other")
        witness.went_on()
        assert engines(server)["guide"]["state"] == "loaded", "lists do not wait for it"
        assert stream.ended_with() == "engine_crashed"
        assert "hung" in json.loads(stream.last)["error"]["message"]
        healthy(server)
        assert gone(before)
        witness.went_on()


def test_a_worker_that_never_finishes_loading_is_given_up(env: dict[str, str]) -> None:
    two_engines(env)
    told: list[Any] = []

    def asking(server: Server) -> None:
        told.append(refusal(server, "/v1/completions", model="guide", prompt="a"))

    with Server(env) as server, Stream(server) as witness:
        others = workers_of(server.pid)
        two_engines(env, '[manager]\nload_timeout = "8s"')
        server.post("/models?reload=1", {}).close()
        waiting = [Thread(target=asking, args=(server,)) for _ in range(3)]
        for thread in waiting:
            thread.start()
        until(lambda: len(workers_of(server.pid)) > len(others))
        (worker,) = set(workers_of(server.pid)) - set(others)
        os.kill(worker, signal.SIGSTOP)
        assert engines(server)["guide"]["state"] == "loading"
        ask(server, "other")
        for thread in waiting:
            thread.join(PATIENCE_S)
        assert [error["code"] for _, error in told] == ["model_load_failed"] * 3
        assert all("no progress" in error["message"] for _, error in told)
        until(lambda: gone(worker))
        witness.went_on()
        two_engines(env)
        server.post("/models?reload=1", {}).close()
        healthy(server)


def test_a_load_that_finds_no_memory_leaves_a_busy_engine_alone(env: dict[str, str]) -> None:
    two_engines(env)
    with Server(env) as server, Stream(server) as witness:
        limit = psutil.Process(server.pid).memory_info().vms + 3 * GIB
        psutil.Process(server.pid).rlimit(resource.RLIMIT_AS, (limit, limit))
        pid = engines(server)["other"]["pid"]
        body = {"engine_id": "large", "model_path": GUIDE, "n_ctx": 1_000_000, "n_parallel": 2}
        status, error = refusal(server, "/engines", **body)
        assert (status, error["code"]) == (422, "model_loading_failed")
        assert "memory" in error["message"]
        witness.went_on()
        assert engines(server)["other"]["pid"] == pid
        assert "large" not in engines(server), "an engine that was never there leaves no trace"
        healthy(server)


# Disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; only root may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 (a loop that ends with it)
    return path


def cached(server: Server) -> None:
    """``guide`` has something to save, and does nothing."""
    body = {"model": "guide", "prompt": "What is a KV cache? " * 100, "max_tokens": 1}
    server.post("/v1/completions", body).close()
    until(lambda: engines(server)["guide"]["in_flight"] == 0)


def test_a_disk_that_is_full_while_saving_costs_what_was_saved_and_nothing_else(
    env: dict[str, str], tmp_path: Path
) -> None:
    """The first pieces are written, then one is refused, as on a disk that fills up."""
    two_engines(env)
    with Server(env) as server, Stream(server) as witness:
        cached(server)
        worker = psutil.Process(engines(server)["guide"]["pid"])
        worker.rlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10))
        server.post("/models/unload", {"model": "guide"}).close()
        assert os.strerror(errno.EFBIG) in server.until("not saved: 1: ")
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
        witness.went_on()
        healthy(server)


def test_a_disk_without_room_is_not_filled_to_the_brim_by_saving(
    env: dict[str, str], small_disk: Path
) -> None:
    env["XDG_CACHE_HOME"] = str(small_disk)
    two_engines(env)
    with Server(env) as server, Stream(server) as witness:
        cached(server)
        server.post("/models/unload", {"model": "guide"}).close()
        server.until("not saved: 1: there was no room")
        assert [path for path in small_disk.rglob("*") if path.is_file()] == []
        witness.went_on()
        healthy(server)


def test_a_disk_that_fills_up_refuses_what_is_to_last_and_serves_on(
    env: dict[str, str], small_disk: Path, kolo: Kolo
) -> None:
    env["XDG_STATE_HOME"] = str(small_disk)
    two_engines(env)
    new = {"model_path": GUIDE, "load_immediately": False}
    with Server(env) as server, Stream(server) as witness:
        server.post("/engines", {"engine_id": "before", **new}).close()
        ballast = fill(small_disk)
        status, error = refusal(server, "/engines", engine_id="meanwhile", **new)
        assert (status, error["code"]) == (507, "disk_full"), error
        assert set(engines(server)) == {"guide", "other", "before"}
        witness.went_on()
        ask(server, "guide")
        ballast.unlink()
        server.post("/engines", {"engine_id": "after", **new}).close()
        witness.went_on()
        healthy(server)
        assert server.stop() == 0
    with Server(env) as server:
        assert set(engines(server)) == {"guide", "other", "before", "after"}
    assert not list(small_disk.rglob("*.tmp*"))
    assert kolo("audit", "verify").returncode == 0


# Clocks --------------------------------------------------------------------------------------


def test_a_clock_that_jumps_hurries_and_holds_up_nothing(
    env: dict[str, str], tmp_path: Path, kolo: Kolo
) -> None:
    """The wall's, as after a wrong start or a leap of NTP; deadlines go by the other one."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    two_engines(env)
    faking = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Server(env | faking) as server, Stream(server) as witness:
        began_s = psutil.Process(server.pid).create_time()
        workers = workers_of(server.pid)
        for jump in ("+400d", "-400d", "+0"):
            clock.write_text(f"{jump}\n")
            until(lambda: jumped(server, began_s) == jump)  # noqa: B023 (asked at once)
            witness.went_on()
            ask(server, "guide")
            assert set(workers) <= set(workers_of(server.pid)), "taken for idle or for hung"
            assert 0 < get(server, "/health")["server"]["uptime_s"] < 86_400
            get(server, "/v1/monitor/history?metric=ttft_ms")
            get(server, "/v1/metrics")
        healthy(server)
        server.post("/models/unload", {"model": "guide"}).close()
        assert server.process.poll() is None
    assert server.process.returncode == 0
    assert kolo("audit", "verify").returncode == 0


def jumped(server: Server, began_s: float) -> str:
    """By its own clock, in the form of libfaketime."""
    days = round((get(server, "/health")["timestamp"] / 1000 - began_s) / 86_400)
    return f"{days:+d}d" if days else "+0"


# Sockets -------------------------------------------------------------------------------------


def test_a_stale_socket_of_a_killed_server_is_replaced(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with Server(env, "--socket", str(path)) as server:
        server.process.kill()
        server.process.wait(PATIENCE_S)
    assert path.is_socket()
    with Server(env, "--socket", str(path)) as server:
        assert kolo("ps", "-q", "--url", f"unix:{path}").stdout.split() == ["guide"]
        healthy(server, "guide")
    assert not path.exists()
