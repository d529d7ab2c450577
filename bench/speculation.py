"""What guessing ahead brings and costs: ``speculation`` auto against off, and a draft model.

    python bench/speculation.py --model mid.gguf [--rounds 5] [--tokens 128]

Workloads on MODEL, greedy unless said: ``repeating`` (random weights at temperature 0 soon write in
circles, as an answer that copies its prompt does), ``drawn`` (temperature 1: little repeats),
``sharp`` (temperature 0.3),
``json`` (a schema), ``four`` (four drawn streams at once); and on ``guide``: ``chat``. A last pair
of models is made for the draft: 24 layers, of which only the first four do anything, and those
four alone, so that the small one is always right. The engines take turns; medians over rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from msgspec.structs import replace

from kolo.bench.dimensions import Dimensions
from kolo.bench.synth import plan, synthesize
from kolo.config import load_settings
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.models.gguf import read_header
from kolo.types import Chat, Constraint, Generate, Generated, Message, Prompt, Sampling

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
GREEDY = Sampling(temperature=0, ignore_eos=True)
LIST = {"type": "array", "items": {"type": "integer"}, "minItems": 20, "maxItems": 30}
QUESTIONS = ("What is Kolo?", "How do I start the server?", "What is TTFT?", "Who are you?")
RECIPE = "Q4_0"

Work = Callable[[int], list[Generate]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    loads = {"parallel": 8, "ctx": 1024}
    print("| model | workload | off, ms a token | auto | speed | guessed | right | same text |")
    print("|---|---|---|---|---|---|---|---|")
    async with Manager(load_settings({})) as manager:
        for path, works in ((str(args.model), on_random(args.tokens)), (GUIDE, {"chat": chats})):
            off = await manager.load(path, id="off", overrides={**loads, "speculation": "off"})
            auto = await manager.load(path, id="auto", overrides=loads)
            for name, work in works.items():
                await compare(Path(path).stem, name, off, auto, work, args.rounds)
            await manager.forget("off")
            await manager.forget("auto")
        with tempfile.TemporaryDirectory() as folder:
            large, small = make_pair(Path(folder))
            alone = await manager.load(str(large), id="alone", overrides=loads)
            paired = await manager.load(
                str(large), id="paired", overrides={**loads, "draft_model": str(small)}
            )
            for name in ("repeating", "sharp"):
                work = on_random(args.tokens)[name]
                await compare("24 layers + 4", name, alone, paired, work, args.rounds)


def on_random(n_tokens: int) -> dict[str, Work]:
    def one(seed: int, sampling: Sampling, **more: object) -> Generate:
        source = Prompt(text=words(seed))
        return Generate(input=source, sampling=sampling, max_tokens=n_tokens, **more)

    def drawn(seed: int) -> Generate:
        return one(seed, replace(GREEDY, temperature=1.0, seed=seed))

    return {
        "repeating": lambda round: [one(round, GREEDY)],
        "drawn": lambda round: [drawn(round)],
        "sharp": lambda round: [one(round, replace(GREEDY, temperature=0.3, seed=round))],
        "json": lambda round: [
            replace(
                one(round, Sampling(temperature=1.0, seed=round)),
                constraint=Constraint(json_schema=LIST),
            )
        ],
        "four": lambda round: [drawn(10 * round + i) for i in range(4)],
    }


def chats(round: int) -> list[Generate]:
    asked = [Message(role="user", content=QUESTIONS[round % len(QUESTIONS)])]
    return [Generate(input=Chat(messages=asked), sampling=Sampling(temperature=0))]


def words(seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"{draw.choice('abcdefgh')}{draw.randrange(10)}" for _ in range(40))


async def compare(
    model: str, name: str, off: Engine, auto: Engine, work: Work, rounds: int
) -> None:
    costs: dict[str, list[float]] = {"off": [], "auto": []}
    guessed = right = 0
    same = True
    for round in range(rounds):
        said = {}
        for side, engine in (("off", off), ("auto", auto)):
            answers = await asyncio.gather(*(answer(engine, op) for op in work(round)))
            said[side] = [text for text, _ in answers]
            results = [result for _, result in answers]
            tokens = sum(result.usage.completion_tokens - 1 for result in results)
            spent_ms = sum(result.timings.decode_ms for result in results)
            costs[side].append(spent_ms / max(tokens, 1))
            guessed += sum(result.timings.draft_tokens for result in results)
            right += sum(result.timings.draft_accepted for result in results)
        same &= said["off"] == said["auto"]
    plain, ahead = (statistics.median(costs[side]) for side in ("off", "auto"))
    print(
        f"| {model} | {name} | {plain:.2f} | {ahead:.2f} | {plain / ahead:.2f} | {guessed} "
        f"| {right} | {'yes' if same else 'no'} |",
        flush=True,
    )


async def answer(engine: Engine, op: Generate) -> tuple[str, Generated]:
    async with engine.submit(op) as stream:
        text = "".join([delta.text async for delta in stream])
        assert stream.result is not None
        return text, stream.result


def make_pair(folder: Path) -> tuple[Path, Path]:
    """A model whose later layers add nothing to what passes through, and its first layers."""
    deep = Dimensions(
        arch="qwen2", layers=24, embd=896, heads=14, kv_heads=2, ff=4864, vocab=32000, tied=True
    )
    large = synthesize(folder / "large.gguf", deep, RECIPE)
    small = synthesize(folder / "small.gguf", replace(deep, layers=4), RECIPE)
    from_large, to_small = read_header(large), read_header(small)
    places = {tensor.name: from_large.data_offset + tensor.offset for tensor in from_large.tensors}
    with large.open("r+b") as source, small.open("r+b") as target:
        for tensor in to_small.tensors:
            source.seek(places[tensor.name])
            target.seek(to_small.data_offset + tensor.offset)
            target.write(source.read(tensor.n_bytes))
        for tensor in plan(deep, RECIPE):
            _, layer, *rest = tensor.name.split(".") if tensor.name.startswith("blk") else (0, 0)
            if int(layer) >= 4 and rest[0] in ("attn_output", "ffn_down"):
                source.seek(places[tensor.name])
                source.write(bytes(tensor.n_bytes))
    return large, small


if __name__ == "__main__":
    asyncio.run(main())
