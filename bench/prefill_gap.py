"""How long other streams wait while a long prompt is computed.

    python bench/prefill_gap.py [--model FILE] [--streams 4] [--prompt 2000] [--rounds 5]

Streams decode; a prompt of 2,000 tokens arrives. For each round: the usual gap between tokens of
a stream (median, before), the longest gap while the prompt is prefilled, and the prompt's own
TTFT beside what it is with nobody else there. Medians over rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from importlib.resources import files
from itertools import pairwise

from kolo.config import load_settings
from kolo.manager.engine import Engine
from kolo.manager.manager import Manager
from kolo.types import Generate, LoadParams, Prompt, Sampling, Tokenize, Tokenized

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")
WARM_TOKENS = 30
GREEDY = Sampling(temperature=0, ignore_eos=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=GUIDE)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=200)
    args = parser.parse_args()
    params = LoadParams(ctx=4096, parallel=args.streams + 1, prefill_budget_ms=args.budget)
    async with Manager(load_settings({})) as manager:
        engine = await manager.load(args.model, overrides=params)
        rows = [await one_round(engine, args) for _ in range(args.rounds)]
    usual, longest, ttft, alone = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"usual gap          {usual:9.1f} ms")
    print(f"longest gap        {longest:9.1f} ms   (2 x usual + {args.budget} ms budget = "
          f"{2 * usual + args.budget:.1f} ms)")  # fmt: skip
    print(f"TTFT of the prompt {ttft:9.1f} ms   ({ttft / alone:.2f} x {alone:.1f} ms alone)")


async def one_round(engine: Engine, args: argparse.Namespace) -> tuple[float, ...]:
    """Usual gap, longest gap, the prompt's TTFT among streams and alone."""
    words = " ".join(random.choice(["alpha", "beta", "gamma", "delta"]) for _ in range(args.prompt))
    tokenized = await engine.call(Tokenize(text=words))
    assert isinstance(tokenized, Tokenized)
    tokens = tokenized.tokens[: args.prompt]
    prompt = Generate(
        input=Prompt(tokens=tokens), sampling=GREEDY, max_tokens=1, cache_prompt=False
    )
    alone = await ttft(engine, prompt)
    arrivals: list[list[float]] = [[] for _ in range(args.streams)]
    warm = [asyncio.Event() for _ in arrivals]
    readers = [
        asyncio.create_task(read(engine, times, event))
        for times, event in zip(arrivals, warm, strict=True)
    ]
    for event in warm:
        await event.wait()
    started = time.perf_counter()
    among = await ttft(engine, prompt)
    ended = time.perf_counter()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    usual, longest = [], 0.0
    for times in arrivals:
        for before, after in pairwise(times):
            if after < started:
                usual.append((after - before) * 1000)
            elif before < ended:
                longest = max(longest, (after - before) * 1000)
    return statistics.median(usual), longest, among, alone


async def ttft(engine: Engine, op: Generate) -> float:
    started = time.perf_counter()
    async with engine.submit(op) as stream:
        async for _ in stream:
            return (time.perf_counter() - started) * 1000
    raise AssertionError("no token came")


async def read(engine: Engine, times: list[float], warm: asyncio.Event) -> None:
    op = Generate(input=Prompt(text=str(random.random())), sampling=GREEDY)
    async with engine.submit(op) as stream:
        async for _ in stream:
            times.append(time.perf_counter())
            if len(times) > WARM_TOKENS:
                warm.set()


if __name__ == "__main__":
    asyncio.run(main())
