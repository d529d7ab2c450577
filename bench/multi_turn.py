"""Eight users talking for ten turns, with half as many slots.

    python bench/multi_turn.py --llama DIR --model mid.gguf [--users 8] [--turns 10] [--slots 4] \\
        [--prompt 64] [--tokens 64] [--rounds 3]

Prompt tokens that were computed (prompt tokens less cached ones, as each server counts) and TTFT
p95, over llama-server's, with the same file, threads, slots and context.
"""

from __future__ import annotations

from pathlib import Path

import sides

from kolo.bench.result import Run


def main() -> None:
    parser = sides.parser(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    ctx = args.turns * (args.prompt + args.tokens + 32) + 256
    with sides.both(args.model, args, args.slots, ctx) as servers:
        run = sides.bench(
            servers, "-w", "chat", "--turns", args.turns, "-p", args.prompt, "-c", args.users,
            "-n", args.users, "--output-tokens", args.tokens, "--rounds", args.rounds,
        )  # fmt: skip
    report = sides.report(__doc__, f"Conversations: {args.model.stem}")
    report.runs["chat"] = run
    rows = []
    for name in (sides.LLAMA, sides.KOLO):
        found = sides.row(run, name)
        figures = [
            sides.value(found, *what)
            for what in (("ttft", "p50"), ("ttft", "p95"), ("tok_s", "p50"))
        ]
        rows.append([name, computed(run, name), *figures])
    report.table(["server", "tokens prefilled", "TTFT p50 ms", "TTFT p95 ms", "tok/s"], rows)
    report.at_most("tokens prefilled over llama-server's", rows[1][1] / rows[0][1], 1.0)
    report.at_most("TTFT p95 over llama-server's", rows[1][3] / rows[0][3], 1.0)
    report.write(args.name or "multi_turn")


def computed(run: Run, target: str) -> float:
    """Prompt tokens computed in a round, median over rounds."""
    return sides.median(
        [
            sum((s.prompt_tokens or 0) - (s.cached_tokens or 0) for s in round.samples)
            for cell in run.cells
            if cell.target == target
            for round in cell.rounds
        ]
    )


if __name__ == "__main__":
    main()
