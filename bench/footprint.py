"""What a server takes that does nothing: memory, memory for each idle connection, time to ready.

    python bench/footprint.py [--connections 1000] [--rounds 5]

Each round starts ``kolo serve`` in a home of its own: the time until ``/health/ready`` answers,
asked every 5 ms; the resident memory of the server's own process without a model, and with
``guide`` loaded by a first request (its worker's memory is told beside it); then connections that
have had an answer each and stay open, and what the process has grown by for each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass

import psutil
import sides

MIB = 1 << 20
POLL_S = 0.005
ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
END = b'{"status":"ok"}'


@dataclass(frozen=True)
class Figures:
    ready_s: float
    ready_cpu_s: float
    bare_bytes: int
    loaded_bytes: int
    worker_bytes: int
    connection_bytes: float
    descriptors_left: int
    """Those open once all connections are gone, over those before."""


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard) if soft != hard else (soft, hard))
    one_round(args)  # reads what is to be read from the disk
    tell(args, [one_round(args) for _ in range(args.rounds)])


def one_round(args: argparse.Namespace) -> Figures:
    with started() as (url, process, ready_s):
        spent = process.cpu_times()
        bare = process.memory_info().rss
        body = {"model": "guide", "prompt": "a", "max_tokens": 2}
        request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as reply:
            reply.read()
        loaded = process.memory_info().rss
        worker = sum(child.memory_info().rss for child in process.children())
        descriptors = process.num_fds()
        before = process.memory_info().rss
        with ExitStack() as stack:
            for _ in range(args.connections):
                connect(url, stack)
            grown = process.memory_info().rss - before
        deadline_s = time.monotonic() + 10
        while process.num_fds() > descriptors and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return Figures(
            ready_s,
            spent.user + spent.system,
            bare,
            loaded,
            worker,
            grown / args.connections,
            process.num_fds() - descriptors,
        )


@contextmanager
def started() -> Iterator[tuple[str, psutil.Process, float]]:
    port = sides.free_port()
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        command = [sys.executable, "-m", "kolo", "serve", "--port", str(port), "--ctx", "2048"]
        began_s = time.monotonic()
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "KOLO_HOME": home},
        ) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_ready(process, f"{url}/health/ready")
                yield url, psutil.Process(process.pid), time.monotonic() - began_s
            finally:
                process.terminate()


def wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    sys.exit(f"kolo serve ended with {process.returncode}")


def connect(url: str, stack: ExitStack) -> None:
    """One more connection, which has had its answer and stays."""
    host, _, port = url.removeprefix("http://").partition(":")
    client = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
    client.sendall(ASK)
    said = b""
    while not said.endswith(END):
        data = client.recv(4096)
        if not data:
            sys.exit(f"the server closed a connection: {said!r}")
        said += data


def tell(args: argparse.Namespace, rounds: list[Figures]) -> None:
    report = sides.report(__doc__, "What a server takes that does nothing")
    values = list(zip(*(astuple(one) for one in rounds), strict=True))
    rows = [
        ("time from the command to ready, s", 1),
        ("of it processor time, s", 1),
        ("resident memory of the server's process, no model loaded, MiB", MIB),
        ("the same with guide loaded, MiB", MIB),
        ("of guide's worker, MiB", MIB),
        (f"for each of {args.connections} idle connections, KiB", 1024),
        ("descriptors more than before once they are gone", 1),
    ]
    report.table(
        ["", "median", "least", "most"],
        [
            [what, *(float(pick(found)) / unit for pick in (sides.median, min, max))]
            for (what, unit), found in zip(rows, values, strict=True)
        ],
    )
    report.notes.append(f"{len(rounds)} rounds, each with a new server")
    report.at_most("descriptors left open by idle connections", max(values[-1]), 0)
    report.write(args.name or "footprint")


if __name__ == "__main__":
    main()
