"""A 2,000-token prompt that arrives while eight users are being answered.

    python bench/long_prompt.py --llama DIR --model mid.gguf [--users 8] [--long 2000] [--rounds 5]

The longest gap in any of the eight streams, median over rounds, and the long prompt's own TTFT,
both over llama-server's, with the same file, threads, slots and context.
"""

from __future__ import annotations

from pathlib import Path

import sides

from kolo.bench.result import Run


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--long", type=int, default=2000)
    args = parser.parse_args()
    with sides.both(args.model, args, args.users + 1, args.long + 512) as servers:
        run = sides.bench(
            servers, "-w", "interference", "--long-tokens", args.long, "-c", args.users,
            "-p", 32, "--rounds", args.rounds,
        )  # fmt: skip
    report = sides.report(__doc__, f"A long prompt among streams: {args.model.stem}")
    report.runs["interference"] = run
    rows: list[list[object]] = []
    gaps, firsts = {}, {}
    for name in (sides.LLAMA, sides.KOLO):
        stream = sides.row(run, name, group="stream")
        gaps[name] = longest_gap_ms(run, name)
        firsts[name] = sides.value(sides.row(run, name, group="long"), "ttft")
        rows.append([name, sides.value(stream, "gap"), gaps[name], firsts[name]])
    report.table(["server", "gap p50 ms", "longest gap ms", "TTFT of the prompt ms"], rows)
    report.at_most("longest gap over llama-server's", gaps[sides.KOLO] / gaps[sides.LLAMA], 0.35)
    report.at_most(
        "the prompt's TTFT over llama-server's", firsts[sides.KOLO] / firsts[sides.LLAMA], 1.2
    )
    report.write(args.name or "long_prompt")


def longest_gap_ms(run: Run, target: str) -> float:
    """Of each round the longest in any stream; the median of these."""
    return sides.median(
        [
            max(
                gap
                for sample in round.samples
                if sample.group == "stream"
                for gap in sample.gaps_ms
            )
            for cell in run.cells
            if cell.target == target
            for round in cell.rounds
        ]
    )


if __name__ == "__main__":
    main()
