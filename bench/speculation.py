"""What guessing ahead brings and costs: ``speculation`` auto against off, and a draft model.

    python bench/speculation.py --model mid.gguf [--rounds 5] [--tokens 128]

Workloads on MODEL, greedy unless said: ``repeating`` (random weights at temperature 0 soon write in
circles), ``drawn`` (temperature 1: little repeats), ``sharp`` (temperature 0.3),
``json`` (a schema), ``four`` (four drawn streams at once); and on ``guide``: ``chat``.

Two more models are made. One copies, as a trained model does that is asked to correct a text: as
large as a 0.5B one, it writes its prompt again, of which every 16th token is another; ``copying``
and ``four copying``. And a pair for the draft: 24 layers, of which only the first four do anything,
and those four alone, so that the small one is always right. The engines take turns; medians over
rounds.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sides
from msgspec.structs import replace

from kolo.bench.dimensions import Dimensions
from kolo.bench.synth import synthesize
from kolo.config import load_settings
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.models.gguf import read_header
from kolo.models.header import Header
from kolo.types import Chat, Constraint, Generate, Generated, Message, Prompt, Sampling

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
GREEDY = Sampling(temperature=0, ignore_eos=True)
LIST = {"type": "array", "items": {"type": "integer"}, "minItems": 20, "maxItems": 30}
QUESTIONS = ("What is Kolo?", "How do I start the server?", "What is TTFT?", "Who are you?")
RECIPE = "Q4_0"
LOAD = {"parallel": 8, "ctx": 1024}
GREEDY_ONES = ("repeating", "chat", "copying", "four copying")
DEEP = Dimensions(
    arch="qwen2", layers=24, embd=896, heads=14, kv_heads=2, ff=4864, vocab=32000, tied=True
)
CYCLE_TOKENS = 200
OTHER_EVERY = 16

Work = Callable[[int], list[Generate]]


async def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    found: list[Found] = []
    async with Manager(load_settings({})) as manager:
        with tempfile.TemporaryDirectory() as folder:
            copying, cycle = make_copying(Path(folder))
            large, small = make_pair(Path(folder))
            off, auto = {"speculation": "off"}, {"speculation": "auto"}
            draft = {"draft_model": str(small)}
            random = on_random(args.tokens)
            paired = {name: random[name] for name in ("repeating", "sharp")}
            for name, path, with_guesses, works in (
                (args.model.stem, args.model, auto, random),
                ("guide", Path(GUIDE), auto, {"chat": chats}),
                ("copying", copying, auto, on_copying(cycle, args.tokens)),
                ("24 layers + 4", large, draft, paired),
            ):
                plain = await manager.load(str(path), id="plain", overrides={**LOAD, **off})
                ahead = await manager.load(str(path), id="auto", overrides={**LOAD, **with_guesses})
                for title, work in works.items():
                    found.append(await compare(name, title, plain, ahead, work, args.rounds))
                    print(found[-1], flush=True)
                await manager.forget("plain")
                await manager.forget("auto")
    report = sides.report(__doc__, "Guessing ahead")
    report.table(
        ["model", "workload", "off, ms a token", "auto", "speed", "guessed", "right", "same text"],
        [one.cells() for one in found],
    )
    for one in found:
        what = f"{one.model}, {one.workload}: auto over off"
        report.at_least(what, one.speed, 1.3 if one.workload == "copying" else 0.97)
    greedy = [one for one in found if one.workload in GREEDY_ONES]
    report.at_least("greedy texts that are the same", sum(one.same for one in greedy), len(greedy))
    report.write(args.name or "speculation")


@dataclass(frozen=True, slots=True)
class Found:
    """Of one workload; times are medians, of one token."""

    model: str
    workload: str
    plain_ms: float
    ahead_ms: float
    guessed: int
    right: int
    same: bool

    @property
    def speed(self) -> float:
        return self.plain_ms / self.ahead_ms

    def cells(self) -> list[object]:
        same = "yes" if self.same else "no"
        times = [self.plain_ms, self.ahead_ms, self.speed]
        return [self.model, self.workload, *times, self.guessed, self.right, same]


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


def on_copying(cycle: list[int], n_tokens: int) -> dict[str, Work]:
    def one(seed: int) -> Generate:
        draw = random.Random(seed)
        start = draw.randrange(CYCLE_TOKENS)
        prompt = cycle[start:] + cycle[:start]
        for at in range(OTHER_EVERY, len(prompt) - 3, OTHER_EVERY):
            prompt[at] = draw.randrange(1000, 30000)
        source = Prompt(tokens=prompt)
        return Generate(input=source, sampling=GREEDY, max_tokens=n_tokens, cache_prompt=False)

    return {
        "copying": lambda round: [one(round)],
        "four copying": lambda round: [one(10 * round + i) for i in range(4)],
    }


def chats(round: int) -> list[Generate]:
    asked = [Message(role="user", content=QUESTIONS[round % len(QUESTIONS)])]
    return [Generate(input=Chat(messages=asked), sampling=Sampling(temperature=0))]


def words(seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"{draw.choice('abcdefgh')}{draw.randrange(10)}" for _ in range(40))


async def compare(
    model: str, name: str, off: Engine, auto: Engine, work: Work, rounds: int
) -> Found:
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
    plain_ms, ahead_ms = (sides.median(costs[side]) for side in ("off", "auto"))
    return Found(model, name, plain_ms, ahead_ms, guessed, right, same)


async def answer(engine: Engine, op: Generate) -> tuple[str, Generated]:
    async with engine.submit(op) as stream:
        text = "".join([delta.text async for delta in stream])
        assert stream.result is not None
        return text, stream.result


def make_copying(folder: Path) -> tuple[Path, list[int]]:
    """A model that goes round in a circle of tokens, and the circle.

    No layer adds anything to what passes through, so that what comes out is the token that went in;
    and the rows of its head are those of its embedding, each at the place of the token that follows
    in the circle.
    """
    shape = replace(DEEP, vocab=151936, tied=False)
    path = synthesize(folder / "copying.gguf", shape, RECIPE)
    header = read_header(path)
    silence(path, header, first=0)
    cycle = random.Random(0).sample(range(1000, 30000), CYCLE_TOKENS)
    follows = {token: cycle[(at + 1) % CYCLE_TOKENS] for at, token in enumerate(cycle)}
    tensors = {tensor.name: tensor for tensor in header.tensors}
    embedding, head = tensors["token_embd.weight"], tensors["output.weight"]
    assert (embedding.type, head.type) == ("Q4_0", "Q8_0")
    with path.open("r+b") as file:
        file.seek(header.data_offset + embedding.offset)
        rows = as_q8_0(np.frombuffer(file.read(embedding.n_bytes), np.uint8))
        rows = rows.reshape(shape.vocab, -1)
        moved = rows.copy()
        for token, after in follows.items():
            moved[after] = rows[token]
        file.seek(header.data_offset + head.offset)
        file.write(moved.tobytes())
    return path, cycle


def as_q8_0(q4_0: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The same numbers: ggml's blocks of 32, a scale of 16 bits and 4 or 8 bits each."""
    blocks = q4_0.reshape(-1, 18)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return np.concatenate([blocks[:, :2], (nibbles.astype(np.int8) - 8).view(np.uint8)], axis=1)


def silence(path: Path, header: Header, *, first: int) -> None:
    """Have all layers from ``first`` on add nothing to what passes through them."""
    with path.open("r+b") as file:
        for tensor in header.tensors:
            _, layer, *rest = tensor.name.split(".") if tensor.name.startswith("blk") else (0, -1)
            if int(layer) >= first and rest[0] in ("attn_output", "ffn_down"):
                file.seek(header.data_offset + tensor.offset)
                file.write(bytes(tensor.n_bytes))


def make_pair(folder: Path) -> tuple[Path, Path]:
    """A model whose later layers add nothing to what passes through, and its first layers."""
    large = synthesize(folder / "large.gguf", DEEP, RECIPE)
    small = synthesize(folder / "small.gguf", replace(DEEP, layers=4), RECIPE)
    from_large, to_small = read_header(large), read_header(small)
    silence(large, from_large, first=4)
    places = {tensor.name: from_large.data_offset + tensor.offset for tensor in from_large.tensors}
    with large.open("rb") as source, small.open("r+b") as target:
        for tensor in to_small.tensors:
            source.seek(places[tensor.name])
            target.seek(to_small.data_offset + tensor.offset)
            target.write(source.read(tensor.n_bytes))
    return large, small


if __name__ == "__main__":
    asyncio.run(main())
