"""Kolo and llama-server over HTTP, and llama-batched-bench, at several widths.

    python bench/compare_servers.py --llama DIR --model mid.gguf [--widths 1,4,6,8,12,16,32] \\
        [--slots 32] [--prompt 64] [--tokens 64] [--rounds 5] [--limits mid|small|none] [--mixed]

Output tokens per second, TTFT and ITL, every request with a prompt that no cache has seen,
greedy, of exactly ``--tokens`` tokens. The servers have the same file, threads, slots and
context; they take turns in every round, and batched-bench follows them at the same width, its
rate being output tokens over the time for prompts and answers together, as over HTTP.

All users begin together, and so all their answers end together. With ``--mixed`` lengths differ,
as in the workload of that name, and each user sends four requests: slots become free one by one.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import sides

from kolo.bench.result import Run

WIDTHS = "1,4,6,8,12,16,32"
RATE_LIMITS = {
    "mid": {1: 1.0, 4: 1.0, 8: 1.0, 32: 1.0, 6: 1.2, 12: 1.2, 16: 1.4},
    "small": {1: 1.15, 8: 1.15, 32: 1.15},
    "none": {},
}
"""Of Kolo's output tokens per second over llama-server's."""
BATCHED_LIMITS = {"mid": 0.95}
LATENCY_LIMIT = 1.0
FEWEST = 8
"""Requests of a round, so that three rounds are enough for a p95."""
LATENCIES = (("ttft", "p50"), ("ttft", "p95"), ("itl", "p95"))


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--widths", default=WIDTHS)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--ctx", type=int, default=512, help="tokens for each slot")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--limits", choices=list(RATE_LIMITS), default="none")
    parser.add_argument("--mixed", action="store_true", help="answers that end one by one")
    args = parser.parse_args()
    widths = [int(width) for width in args.widths.split(",")]
    runs: list[Run] = []
    batched: dict[int, list[float]] = defaultdict(list)
    with sides.both(args.model, args, args.slots, args.ctx) as servers:
        for index in range(args.rounds):
            for width in widths:
                runs.append(one_round(servers, args, width, index))
                if not args.mixed:
                    batched[width].append(batched_bench(args, width))
    report = sides.report(__doc__, f"Throughput and latency: {args.model.stem}")
    report.runs["http"] = sides.merged(runs)
    tabulate(report, widths, batched)
    check(report, widths, batched, args.limits)
    mixed = "_mixed" if args.mixed else ""
    report.write(args.name or f"compare_servers_{args.model.stem}{mixed}")


def one_round(
    servers: Sequence[sides.Server], args: argparse.Namespace, width: int, index: int
) -> Run:
    turn = list(servers) if index % 2 == 0 else list(servers)[::-1]
    load = ["-w", "mixed", "-n", 4 * width] if args.mixed else ["-n", max(2 * width, FEWEST)]
    run = sides.bench(
        turn, "-c", width, *load, "--rounds", 1, "-p", args.prompt,
        "--output-tokens", args.tokens, "--seed", index * 1000 + width,
    )  # fmt: skip
    run.targets.sort(key=lambda target: target.name != sides.LLAMA)
    return run


def batched_bench(args: argparse.Namespace, width: int) -> float:
    """Output tokens per second, prompts included in the time."""
    command = [str(sides.binary(args, "llama-batched-bench")), "-m", str(args.model)]
    command += ["-c", str(width * args.ctx), "-npp", str(args.prompt), "-ntg", str(args.tokens)]
    command += ["-npl", str(width), "-t", str(args.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] == str(args.prompt) and cells[2] == str(width):
            return width * args.tokens / float(cells[8])
    raise SystemExit(f"llama-batched-bench printed no row:\n{done.stdout}")


def tabulate(report: sides.Report, widths: Sequence[int], batched: dict[int, list[float]]) -> None:
    run = report.runs["http"]
    rows: list[list[object]] = []
    for width in widths:
        base = sides.value(sides.row(run, sides.LLAMA, width), "tok_s")
        for name in (sides.LLAMA, sides.KOLO):
            found = sides.row(run, name, width)
            rate = sides.value(found, "tok_s")
            latencies = [sides.value(found, *latency) for latency in LATENCIES]
            rows.append([width, name, rate, rate / base, *latencies])
        if batched[width]:
            rate = sides.median(batched[width])
            rows.append([width, "batched-bench", rate, rate / base, "", "", ""])
    titles = [f"{metric.upper()} {stat} ms" for metric, stat in LATENCIES]
    report.table(["users", "server", "tok/s", "ratio", *titles], rows)


def check(
    report: sides.Report, widths: Sequence[int], batched: dict[int, list[float]], limits: str
) -> None:
    run = report.runs["http"]
    for width in widths:
        llama, kolo = sides.row(run, sides.LLAMA, width), sides.row(run, sides.KOLO, width)
        rate = sides.value(kolo, "tok_s")
        if limit := RATE_LIMITS[limits].get(width):
            ratio = rate / sides.value(llama, "tok_s")
            report.at_least(f"tok/s over llama-server's, {width} users", ratio, limit)
        if batched[width] and (limit := BATCHED_LIMITS.get(limits)):
            ratio = rate / sides.median(batched[width])
            report.at_least(f"tok/s over batched-bench's, {width} wide", ratio, limit)
        if limits == "none":
            continue
        for metric, stat in LATENCIES:
            ratio = sides.value(kolo, metric, stat) / sides.value(llama, metric, stat)
            what = f"{metric.upper()} {stat} over llama-server's, {width} users"
            report.at_most(what, ratio, LATENCY_LIMIT)


if __name__ == "__main__":
    main()
