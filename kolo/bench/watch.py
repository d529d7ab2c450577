"""What the servers and the machine take while a round runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psutil

from kolo.bench.result import Round
from kolo.snapshot import Gpu

INTERVAL_S = 0.5
REFRESH_LOOKS = 10
"""After so many looks the server's processes are listed anew."""

ReadGpus = Callable[[], list[Gpu]]


@asynccontextmanager
async def watched(round: Round, pid: int | None, gpus: ReadGpus | None) -> AsyncIterator[None]:
    """Fill in the round's memory, energy and own processor time until the block is left.

    ``gpus`` is asked in a thread: a driver may take its time, and the loop has tokens to read.
    """
    watch = Watch(round, pid, gpus)
    watching = asyncio.create_task(watch.run())
    cpu_s, began_s = time.process_time(), time.monotonic()
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        watch.look()
        passed_s = time.monotonic() - began_s
        if passed_s > 0:
            round.client_cpu = float(f"{(time.process_time() - cpu_s) / passed_s:.3f}")


def server_pid(host: str, port: int) -> int | None:
    """The process of this machine that listens there, as far as this user may know."""
    if host not in ("127.0.0.1", "::1", "localhost"):
        return None
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            at = getattr(connection.laddr, "port", None)  # an empty tuple has none
            if connection.status == psutil.CONN_LISTEN and at == port:
                return connection.pid
    return None


class Watch:
    """Looks at processes and GPUs, and writes what it sees into a round."""

    def __init__(
        self,
        round: Round,
        pid: int | None,
        gpus: ReadGpus | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._round = round
        self._pid = pid
        self._gpus = gpus
        self._clock = clock
        self._processes: list[psutil.Process] = []
        self._looks = 0
        self._power: tuple[float, float] | None = None
        """When power was last read, and what it was in watts."""

    async def run(self) -> None:
        while True:
            if self._gpus is None:
                self.look()
            else:
                await asyncio.to_thread(self.look)
            await asyncio.sleep(INTERVAL_S)

    def look(self) -> None:
        if self._pid is not None:
            self._round.memory_bytes = _higher(self._round.memory_bytes, self._resident_bytes())
        if self._gpus is not None:
            self._look_at_gpus(self._gpus())

    def _look_at_gpus(self, gpus: list[Gpu]) -> None:
        used = [gpu.memory_used_bytes for gpu in gpus if gpu.memory_used_bytes is not None]
        self._round.device_bytes = _higher(self._round.device_bytes, sum(used) if used else None)
        power = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
        if not power:
            return
        now, watts = self._clock(), sum(power)
        if self._power is not None:
            then, before = self._power
            spent_j = (now - then) * (watts + before) / 2
            self._round.energy_j = (self._round.energy_j or 0.0) + spent_j
        self._power = (now, watts)

    def _resident_bytes(self) -> int | None:
        """Of the server and its descendants; what they share is counted in each."""
        if self._looks % REFRESH_LOOKS == 0:
            with suppress(psutil.Error):
                server = psutil.Process(self._pid)
                self._processes = [server, *server.children(recursive=True)]
        self._looks += 1
        total = 0
        for process in self._processes:
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total or None


def _higher(one: int | None, other: int | None) -> int | None:
    found = [value for value in (one, other) if value is not None]
    return max(found) if found else None
