"""Two engines of one server busy at once, against one of them alone with all cores.

    python bench/two_engines.py --model mid.gguf [--users 8] [--duration 20] [--rounds 5]

The second engine is the same file under another name. In each round the first is loaded alone,
then both at once by two clients that start together; the sum of their output tokens per second
over that of the one alone.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sides

from kolo.bench.result import Run

LIMIT = 0.9


def main() -> None:
    parser = sides.parser(__doc__)
    parser.set_defaults(threads=None)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--duration", type=int, default=20, help="seconds of a round")
    args = parser.parse_args()
    load = [
        "-c", args.users, "--rounds", 1, "-p", 64, "--output-tokens", 64,
        "--duration", f"{args.duration}s", "-n", 100_000,
    ]  # fmt: skip
    alone: list[Run] = []
    together: list[list[Run]] = []
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as folder:
        second = Path(folder) / f"{args.model.stem}-second.gguf"
        second.symlink_to(args.model.resolve())
        names = [args.model.stem, second.stem]
        with (
            sides.kolo_server([args.model], args, args.users, 512) as one,
            sides.kolo_server([args.model, second], args, args.users, 512) as two,
            ThreadPoolExecutor(2) as clients,
        ):
            for index in range(args.rounds):
                seed = ["--seed", index]
                alone.append(sides.bench([one], *load, *seed))
                both = [
                    clients.submit(sides.bench, [two], *load, *seed, models=[name])
                    for name in names
                ]
                together.append([run.result() for run in both])
    report = sides.report(__doc__, f"Two engines at once: {args.model.stem}")
    report.runs["alone"] = sides.merged(alone)
    rates = [sides.value(sides.row(run, sides.KOLO), "tok_s") for run in alone]
    sums = [
        sum(sides.value(sides.row(run, sides.KOLO), "tok_s") for run in pair) for pair in together
    ]
    parts = [
        [sides.value(sides.row(run, sides.KOLO), "tok_s") for run in pair] for pair in together
    ]
    report.table(
        ["round", "one alone tok/s", "two at once tok/s", "of them"],
        [
            [i + 1, a, s, " + ".join(f"{p:.1f}" for p in ps)]
            for i, (a, s, ps) in enumerate(zip(rates, sums, parts, strict=True))
        ],
    )
    report.at_least("both over one alone", sides.median(sums) / sides.median(rates), LIMIT)
    report.write(args.name or "two_engines")


if __name__ == "__main__":
    main()
