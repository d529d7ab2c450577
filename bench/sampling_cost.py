"""What sampling costs: OpenAI's default parameters, and top_p alone, against greedy.

    python bench/sampling_cost.py --model mid.gguf [--users 8] [--tokens 128] [--rounds 5]

ITL of the same load on Kolo, the three kinds of requests taking turns. ``--model`` has a large
vocabulary (152k), where an unbounded sampler chain would take longer than the model.
"""

from __future__ import annotations

import json
from pathlib import Path

import sides

from kolo.bench.result import Run

GREEDY = "greedy"
KINDS = {
    GREEDY: {"temperature": 0},
    "temperature 1": {"temperature": 1},
    "temperature 1, top_p 0.95": {"temperature": 1, "top_p": 0.95},
}
LIMIT = 1.05


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    runs: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    with sides.kolo_server([args.model], args, args.users, args.tokens + 256) as server:
        for index in range(args.rounds):
            for kind, body in KINDS.items():
                run = sides.bench(
                    [server], "-c", args.users, "-n", args.users, "--rounds", 1, "-p", 64,
                    "--output-tokens", args.tokens, "--seed", index, "--body", json.dumps(body),
                )  # fmt: skip
                runs[kind].append(run)
    report = sides.report(__doc__, f"Sampling: {args.model.stem}")
    report.runs = {kind: sides.merged(of_kind) for kind, of_kind in runs.items()}
    found = {kind: sides.row(run, sides.KOLO) for kind, run in report.runs.items()}
    report.table(
        ["requests", "ITL p50 ms", "ITL p95 ms", "tok/s"],
        [
            [
                kind,
                sides.value(row, "itl"),
                sides.value(row, "itl", "p95"),
                sides.value(row, "tok_s"),
            ]
            for kind, row in found.items()
        ],
    )
    greedy = sides.value(found.pop(GREEDY), "itl")
    for kind, row in found.items():
        report.at_most(f"step time over greedy: {kind}", sides.value(row, "itl") / greedy, LIMIT)
    report.write(args.name or "sampling_cost")


if __name__ == "__main__":
    main()
