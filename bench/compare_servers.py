"""Two or more OpenAI-compatible servers side by side: throughput, TTFT, ITL over HTTP.

    python bench/compare_servers.py kolo=http://127.0.0.1:8080 llama=http://127.0.0.1:8081 \\
        --model guide --streams 1,8,32 [--prompt 64] [--tokens 64] [--rounds 5]

Servers take turns in every round, so that a machine whose speed drifts slows all of them alike.
Greedy, exactly ``--tokens`` tokens each (ignore_eos), a prompt that no cache has seen. TTFT is
the first content chunk after the request was sent; ITL the gap between chunks of one stream.
The table gives medians over rounds, and the ratio to the last server named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise

import httpx2


@dataclass
class Round:
    """One load on one server; milliseconds, and tokens per second of all streams together."""

    rate: float
    ttft: list[float] = field(default_factory=list)
    itl: list[float] = field(default_factory=list)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers", nargs="+", help="NAME=URL")
    parser.add_argument("--model", default="guide")
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--prompt", type=int, default=64, help="words of the prompt")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    servers = dict(server.split("=", 1) for server in args.servers)
    widths = [int(width) for width in args.streams.split(",")]
    found: dict[tuple[str, int], list[Round]] = {}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:
        for url in servers.values():
            await load(client, url, args, 1)
        for _ in range(args.rounds):
            for width in widths:
                for name, url in servers.items():
                    done = await load(client, url, args, width)
                    found.setdefault((name, width), []).append(done)
    report(found, list(servers), widths)


async def load(client: httpx2.AsyncClient, url: str, args: argparse.Namespace, n: int) -> Round:
    started = time.perf_counter()
    streams = await asyncio.gather(*(stream(client, url, args) for _ in range(n)))
    elapsed_s = time.perf_counter() - started
    done = Round(n * args.tokens / elapsed_s)
    for first, gaps in streams:
        done.ttft.append(first)
        done.itl += gaps
    return done


async def stream(
    client: httpx2.AsyncClient, url: str, args: argparse.Namespace
) -> tuple[float, list[float]]:
    """TTFT and gaps of one stream, in milliseconds."""
    words = " ".join(
        f"{random.choice('abcdefgh')}{random.randrange(10)}" for _ in range(args.prompt)
    )
    body = {
        "model": args.model,
        "prompt": words,
        "max_tokens": args.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    sent = time.perf_counter()
    times: list[float] = []
    async with client.stream("POST", f"{url}/v1/completions", json=body) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if line.startswith("data: {") and json.loads(line[6:])["choices"]:
                times.append(time.perf_counter())
    gaps = [(after - before) * 1000 for before, after in pairwise(times)]
    return (times[0] - sent) * 1000, gaps


def report(found: dict[tuple[str, int], list[Round]], names: list[str], widths: list[int]) -> None:
    columns = ("tok/s", "TTFT p50", "TTFT p95", "ITL p50", "ITL p95")
    print(f"| streams | server | {' | '.join(columns)} | tok/s ratio |")
    print(f"|---|---|{'---|' * (len(columns) + 1)}")
    for width in widths:
        base = statistics.median(done.rate for done in found[names[-1], width])
        for name in names:
            rows = [figures(done) for done in found[name, width]]
            medians = [statistics.median(column) for column in zip(*rows, strict=True)]
            cells = " | ".join(f"{value:.1f}" for value in medians)
            print(f"| {width} | {name} | {cells} | {medians[0] / base:.2f} |")


def figures(done: Round) -> tuple[float, ...]:
    return (
        done.rate,
        statistics.median(done.ttft),
        percentile(done.ttft, 95),
        statistics.median(done.itl),
        percentile(done.itl, 95),
    )


def percentile(values: list[float], rank: int) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-rank * len(ordered) // 100) - 1)]


if __name__ == "__main__":
    asyncio.run(main())
