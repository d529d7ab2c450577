"""What ``kolo top`` costs the machine it runs on.

    python bench/top_cost.py [--engines 10] [--requests 100] [--seconds 60]

A monitor socket with so many made-up engines and requests tells a snapshot a second, every number
of it changing; ``kolo top`` shows it on a terminal of 120 by 40. Its processor time after the first
ten seconds, as a share of one core; and that of a whole ``kolo top --once``, from start to end.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import resource
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import psutil
import sides
from msgspec.structs import replace

from kolo.monitor.eventlog import EventLog
from kolo.monitor.publish import Publisher
from kolo.snapshot import Event, Snapshot
from kolo.top.demo.world import World

WARM_S = 10.0
TOP_LIMIT_PERCENT, ONCE_LIMIT_MS = 2.0, 300.0


class Crowd:
    """A made-up server with as many requests as are asked for."""

    def __init__(self, engines: int, requests: int) -> None:
        self._world = World(engines=engines)
        self._n_requests = requests
        self.log = EventLog()
        for _ in range(30):
            self._next()

    async def take(self) -> Snapshot:
        return self._next()

    def _next(self) -> Snapshot:
        for told in self._world.run(1.0):
            if isinstance(told, Event):
                self.log.add(told.kind, told.text, engine=told.engine, level=told.level)
            elif isinstance(told, Snapshot):
                snapshot = told
        there = snapshot.requests
        more = [
            replace(there[at % len(there)], id=10_000 + at)
            for at in range(self._n_requests - len(there))
        ]
        return replace(snapshot, requests=[*there, *more][: self._n_requests])


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--engines", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        socket = Path(home) / "monitor.sock"
        crowd = Crowd(args.engines, args.requests)
        publisher = Publisher(socket, crowd.log, crowd.take, lambda: crowd._world.hello().server)
        there = threading.Event()
        threading.Thread(target=lambda: asyncio.run(publisher.run(there.set)), daemon=True).start()
        there.wait()
        env = {**os.environ, "KOLO_HOME": home, "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "kolo", "top", "--socket", str(socket)]
        share = on_screen(command, env, args.seconds)
        once_ms = [once(command, env) for _ in range(args.rounds)]
    report = sides.report(__doc__, f"kolo top: {args.engines} engines, {args.requests} requests")
    report.table(
        ["", "found"],
        [["percent of a core, at one second", 100 * share],
         ["kolo top --once, CPU ms, median", sides.median(once_ms)]],
    )  # fmt: skip
    report.at_most("percent of a core", 100 * share, TOP_LIMIT_PERCENT)
    report.at_most("CPU ms of kolo top --once", sides.median(once_ms), ONCE_LIMIT_MS)
    report.write(args.name or "top_cost")


def on_screen(command: list[str], env: dict[str, str], seconds: float) -> float:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        threading.Thread(target=_drain, args=(ours,), daemon=True).start()
        time.sleep(WARM_S)
        watched = psutil.Process(process.pid)
        before = watched.cpu_times()
        time.sleep(seconds)
        after = watched.cpu_times()
        process.terminate()
    return (after.user + after.system - before.user - before.system) / seconds


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 1 << 16):
            pass
    except OSError:
        return


def once(command: list[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--once"], env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


if __name__ == "__main__":
    main()
