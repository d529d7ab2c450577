"""Sixteen users who share a 1,000-token prefix and arrive together.

    python bench/shared_prefix.py --llama DIR --model mid.gguf [--users 16] [--prefix 1000] \\
        [--prompt 32] [--tokens 64] [--rounds 5]

Each round has a prefix that no round before had. Output tokens per second and TTFT p95 over
llama-server's, with the same file, threads, slots and context.
"""

from __future__ import annotations

from pathlib import Path

import sides


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--prefix", type=int, default=1000)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    ctx = args.prefix + args.prompt + args.tokens + 256
    with sides.both(args.model, args, args.users, ctx) as servers:
        run = sides.bench(
            servers, "-w", "prefix", "--prefix-tokens", args.prefix, "-p", args.prompt,
            "--output-tokens", args.tokens, "-c", args.users, "-n", args.users,
            "--rounds", args.rounds,
        )  # fmt: skip
    report = sides.report(__doc__, f"A shared prefix: {args.model.stem}")
    report.runs["prefix"] = run
    rows = []
    for name in (sides.LLAMA, sides.KOLO):
        found = sides.row(run, name)
        rows.append(
            [
                name,
                *(
                    sides.value(found, *what)
                    for what in (("tok_s", "p50"), ("ttft", "p50"), ("ttft", "p95"))
                ),
            ]
        )
    report.table(["server", "tok/s", "TTFT p50 ms", "TTFT p95 ms"], rows)
    report.at_least("tok/s over llama-server's", rows[1][1] / rows[0][1], 4.0)
    report.at_most("TTFT p95 over llama-server's", rows[1][3] / rows[0][3], 1 / 3)
    report.write(args.name or "shared_prefix")


if __name__ == "__main__":
    main()
