"""Answers that must satisfy a JSON Schema, against free text, at eight streams.

    python bench/json_cost.py --model mid.gguf [--users 8] [--tokens 128] [--rounds 5]

Output tokens per second of the same lengths over the same route, taking turns on one server.
"""

from __future__ import annotations

from pathlib import Path

import sides

LIMIT = 0.9


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    runs = []
    with sides.kolo_server([args.model], args, args.users, args.tokens + 512) as server:
        for index in range(args.rounds):
            run = sides.bench(
                [server], "-c", args.users, "-n", 2 * args.users, "--rounds", 1, "-p", 64,
                "-w", "fixed", "-w", "json", "--api", "chat", "--output-tokens", args.tokens,
                "--seed", index,
            )  # fmt: skip
            runs.append(run)
    report = sides.report(__doc__, f"Constrained answers: {args.model.stem}")
    run = report.runs["json"] = sides.merged(runs)
    free, bound = (sides.row(run, sides.KOLO, workload=kind) for kind in ("fixed", "json"))
    metrics = (("tok_s", "p50"), ("itl", "p50"), ("itl", "p95"), ("output_tokens", "p50"))
    report.table(
        ["answers", "tok/s", "ITL p50 ms", "ITL p95 ms", "tokens", "errors"],
        [
            [name, *(sides.value(row, *metric) for metric in metrics), str(row.errors or "")]
            for name, row in (("free", free), ("JSON", bound))
        ],
    )
    ratio = sides.value(bound, "tok_s") / sides.value(free, "tok_s")
    report.at_least("tok/s over free text's", ratio, LIMIT)
    report.write(args.name or "json_cost")


if __name__ == "__main__":
    main()
