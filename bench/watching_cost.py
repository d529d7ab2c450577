"""What being watched costs: twenty clients of the monitor socket, one of which never reads.

    python bench/watching_cost.py [--model small.gguf] [--clients 20] [--users 8] [--rounds 15]

Pairs of runs of the same load, with the clients there and without, the order changing from pair to
pair: output tokens per second with them over without, and the processor time that the server's own
process (not the workers) took for each output token. The clients are one further process of this
machine, which takes of it what elsewhere would be another machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import psutil
import sides

LIMIT_PERCENT = 0.5
REQUESTS_EACH = 60


def main() -> None:
    parser = sides.parser(__doc__)
    parser.set_defaults(rounds=15)
    guide = Path(str(files("kolo.models") / "data" / "guide.gguf"))
    parser.add_argument("--model", type=Path, default=guide)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--watch", help="be the clients of this socket: the script calls itself so")
    args = parser.parse_args()
    if args.watch is not None:
        asyncio.run(watch(args.watch, args.clients))
        return
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as folder:
        socket = f"{folder}/monitor.sock"
        args.kolo_env = {"KOLO_MONITOR_SOCKET": socket}
        with sides.kolo_server([args.model], args, args.users, 512) as server:
            one_run(server, args)  # warms what is cached on the way
            pairs = [one_pair(server, args, socket, index) for index in range(args.rounds)]
    tell(args, pairs)


Figures = tuple[float, float]
"""Output tokens per second; microseconds of the server's process for each token."""


def one_pair(
    server: sides.Server, args: argparse.Namespace, socket: str, index: int
) -> tuple[Figures, Figures]:
    """Without clients, and with them."""
    if index % 2:
        with clients(socket, args.clients):
            watched = one_run(server, args)
        return one_run(server, args), watched
    alone = one_run(server, args)
    with clients(socket, args.clients):
        return alone, one_run(server, args)


def one_run(server: sides.Server, args: argparse.Namespace) -> Figures:
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    n_requests = args.users * REQUESTS_EACH
    run = sides.bench(
        [server], "-c", args.users, "-n", n_requests, "-p", 32, "--output-tokens", 64,
        "--rounds", 1,
    )  # fmt: skip
    after = process.cpu_times()
    spent_s = after.user + after.system - before.user - before.system
    rate = sides.value(sides.row(run, server.name), "tok_s")
    return rate, spent_s / (n_requests * 64) * 1e6


@contextmanager
def clients(socket: str, n: int) -> Iterator[None]:
    command = [sys.executable, __file__, "--watch", socket, "--clients", str(n)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


async def watch(socket: str, n: int) -> None:
    """``n`` clients at one snapshot a second; the first asks for them and never reads."""
    opened = [await asyncio.open_unix_connection(socket) for _ in range(n)]
    for reader, _ in opened[1:]:
        await reader.readline()
    opened[0][0]._transport.pause_reading()  # type: ignore[attr-defined]
    print("watching", flush=True)

    async def read(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 16):
            pass

    await asyncio.gather(*(read(reader) for reader, _ in opened[1:]))


def tell(args: argparse.Namespace, pairs: list[tuple[Figures, Figures]]) -> None:
    ratios = [watched[0] / alone[0] for alone, watched in pairs]
    extra_us = [watched[1] - alone[1] for alone, watched in pairs]
    alone_rate = sides.median([alone[0] for alone, _ in pairs])
    low, high = interval(ratios)
    report = sides.report(__doc__, f"Being watched by {args.clients}: {args.model.stem}")
    report.table(
        ["", "tok/s", "server's own µs per token"],
        [
            [name, sides.median([pair[at][0] for pair in pairs]),
             sides.median([pair[at][1] for pair in pairs])]
            for at, name in enumerate(("nobody watches", f"{args.clients} watch"))
        ],
    )  # fmt: skip
    report.notes.append(
        f"tok/s watched over unwatched, median of {len(pairs)} pairs: {sides.median(ratios):.4f}, "
        f"95 % interval of the median {low:.4f} to {high:.4f}"
    )
    share = sides.median(extra_us) * 1e-6 * alone_rate / len(os.sched_getaffinity(0))
    report.at_most(
        "percent of throughput lost, from the pairs",
        100 * (1 - sides.median(ratios)),
        LIMIT_PERCENT,
    )
    report.at_most("percent of the machine that publishing takes", 100 * share, LIMIT_PERCENT)
    report.write(args.name or "watching_cost")


def interval(values: list[float]) -> tuple[float, float]:
    """Of the median, by 2,000 resamples."""
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[1949]


if __name__ == "__main__":
    main()
