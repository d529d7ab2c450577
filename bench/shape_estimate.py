"""Whether a model with random weights is as fast as the real one of its shape.

    python bench/shape_estimate.py [--model guide.gguf] [--users 1,4,8] [--rounds 7]

The shape of ``--model`` is read from its file and made anew with random weights, in the type of
each tensor of the original (``kolo bench --shape``'s writer). Both are loaded at once and take
turns: prompts read, and answers grown at several widths, in the engine. As a third, a copy drawn
with another seed says how much two files differ that must not. The random one must be within
``--tolerance`` of the real one.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path

import sides

from kolo.bench.known_outlooks import dimensions_of
from kolo.bench.probe import loaded, question, title
from kolo.bench.result import EngineCell
from kolo.bench.synth import synthesize
from kolo.config import load_settings
from kolo.manager.engine import Engine
from kolo.models.gguf import read_model

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))
REAL, RANDOM, OTHER = "real weights", "random weights", "another seed"


def main() -> None:
    parser = sides.parser(__doc__)
    parser.set_defaults(rounds=7)
    parser.add_argument("--model", type=Path, default=GUIDE)
    parser.add_argument("--users", default="1,4,8")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--tolerance", type=float, default=0.05)
    args = parser.parse_args()
    header = read_model(args.model)
    dimensions = dimensions_of(header)
    if dimensions is None:
        raise SystemExit(f"{args.model}: its shape cannot be made")
    widths = [int(width) for width in args.users.split(",")]
    cells = [EngineCell(target="", kind="prefill", prompt_tokens=args.prompt)]
    cells += [
        EngineCell(target="", kind="decode", width=width, depth=128, output_tokens=args.tokens)
        for width in widths
    ]
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as folder:
        models = {REAL: args.model}
        for seed, name in enumerate((RANDOM, OTHER), 1):
            path = Path(folder) / f"seed{seed}.gguf"
            models[name] = synthesize(path, dimensions, header.quant, seed=seed)
        made = {t.name: t.type for t in read_model(models[RANDOM]).tensors}
        differing = [t.name for t in header.tensors if made.get(t.name) != t.type]
        rates = asyncio.run(measure(models, cells, args.rounds, max(widths), args.prompt + 256))
    report = sides.report(__doc__, f"Random weights for real ones: {args.model.stem}")
    if differing:
        report.notes.append(f"of another type in the original: {', '.join(differing[:8])}")
    rows: list[list[object]] = []
    for index, cell in enumerate(cells):
        real, random, other = (sides.median(rates[name][index]) for name in (REAL, RANDOM, OTHER))
        rows.append([title(cell), real, random, other, random / real, other / random])
        report.at_most(f"{title(cell)}: difference", abs(random / real - 1), args.tolerance)
    columns = ["tok/s", REAL, RANDOM, OTHER, "random / real", "other seed / random"]
    report.table(columns, rows)
    report.write(args.name or f"shape_estimate_{args.model.stem}")


async def measure(
    models: dict[str, Path], cells: list[EngineCell], rounds: int, parallel: int, ctx: int
) -> dict[str, list[list[float]]]:
    """Tokens per second by model, cell and round."""
    found: dict[str, list[list[float]]] = {name: [[] for _ in cells] for name in models}
    settings = load_settings({})
    async with AsyncExitStack() as held:
        engines: dict[str, Engine] = {}
        for name, path in models.items():
            context = loaded(settings, str(path), ctx=ctx, parallel=parallel)
            engines[name] = await held.enter_async_context(context)
        for index in range(rounds + 1):
            for at, cell in enumerate(cells):
                names = list(engines) if index % 2 else list(engines)[::-1]
                for name in names:
                    measured = await engines[name].call(question(cell, seed=index))
                    rate = measured.n_tokens * 1000 / sum(measured.step_ms)
                    if index:  # the first warms up
                        found[name][at].append(rate)
    return found


if __name__ == "__main__":
    main()
