"""One request of one key beside thirty of another: how much longer does its first token take?

    python bench/fair_share.py [--model guide] [--crowd 30] [--rounds 5]

A server of its own, two keys. ``alone``: the single request by itself, its prompt new each time.
``beside``: the same while the other key has its requests at the server, each with a prompt and a
long answer. The aim is at most 1.5 times alone, plus one chunk of prefill (what the engine may be
busy with when it comes): the largest gap between two tokens of an answer is taken for that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2

from kolo.config import Settings
from kolo.keys import Keyring, add_key, new_key
from kolo.manager.limits import Limits
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server.access.gate import Access
from kolo.server.app import create_app
from kolo.server.options import Options
from kolo.server.run import Stop, serve
from kolo.types import LoadParams

RESULTS = Path(__file__).parent / "results"
AIM = 1.5
WORDS = ("river", "stone", "cloud", "ember", "glass", "field", "winter", "copper", "signal")


def prompt(n_words: int, seed: int) -> str:
    return " ".join(WORDS[(seed * 7 + at * (seed % 9 + 1)) % len(WORDS)] for at in range(n_words))


def body(args: argparse.Namespace, seed: int, max_tokens: int) -> dict[str, Any]:
    text = f"{seed}: {prompt(args.prompt_words, seed)}"
    return {
        "model": args.model,
        "prompt": text,
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "stream": True,
        "temperature": 0,
    }


async def ask(client: httpx2.AsyncClient, key: str, asked: dict[str, Any]) -> list[float]:
    """When each event came, in seconds after the request was sent."""
    began, times = time.perf_counter(), []
    headers = {"Authorization": f"Bearer {key}"}
    async with client.stream("POST", "/v1/completions", json=asked, headers=headers) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                times.append(time.perf_counter() - began)
    return times


async def measure(args: argparse.Namespace, url: str, many: str, single: str) -> dict[str, Any]:
    seeds = iter(range(1, 10_000))
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=900, limits=limits) as client:
        for _ in range(2):  # loads and warms up
            await ask(client, single, body(args, next(seeds), 4))
        alone, beside, chunk = [], [], 0.0
        for _ in range(args.rounds):
            alone.append((await ask(client, single, body(args, next(seeds), 4)))[0])
            crowd = [
                asyncio.create_task(ask(client, many, body(args, next(seeds), args.answer_tokens)))
                for _ in range(args.crowd)
            ]
            await asyncio.sleep(args.settle_s)
            waiting = sum(not task.done() for task in crowd)
            times = await ask(client, single, body(args, next(seeds), 40))
            beside.append(times[0])
            gaps = [later - sooner for sooner, later in pairwise(times)]
            chunk = max(chunk, statistics.quantiles(gaps, n=20)[-1] if len(gaps) > 2 else 0.0)
            for task in crowd:
                task.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)
            print(
                f"alone {alone[-1] * 1000:7.0f} ms   beside {beside[-1] * 1000:7.0f} ms   "
                f"({waiting} of the other key under way)"
            )
    usual, crowded = statistics.median(alone), statistics.median(beside)
    return {
        "model": args.model,
        "crowd": args.crowd,
        "slots": args.parallel,
        "alone_ttft_ms": usual * 1000,
        "beside_ttft_ms": crowded * 1000,
        "chunk_ms": chunk * 1000,
        "ratio": crowded / usual,
        "ratio_less_a_chunk": (crowded - chunk) / usual,
        "aim": AIM,
        "met": crowded <= AIM * usual + chunk,
    }


async def run(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        secrets = []
        for who in ("many", "single"):
            key, secret = new_key(who, ["infer"])
            add_key(folder / "keys.json", key)
            secrets.append(secret)
        settings = Settings(engine=LoadParams(parallel=args.parallel))
        access = Access(settings, keys=Keyring(folder / "keys.json"))
        monitor, stop = Monitor(), Stop()
        limits = Limits(log_folder=folder / "logs")
        async with Manager(settings, sink=monitor.sink, limits=limits) as manager:
            options = Options(port=0)
            app = create_app(manager, settings, monitor=monitor, options=options, access=access)
            bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(
                serve(
                    app,
                    stop=stop,
                    on_listening=lambda host, port: bound.set_result(f"http://{host}:{port}"),
                )
            )
            try:
                return await measure(args, await bound, *secrets)
            finally:
                stop.ask()
                stop.ask()
                await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="guide")
    parser.add_argument("--crowd", type=int, default=30)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--prompt-words", type=int, default=200)
    parser.add_argument("--answer-tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settle-s", type=float, default=1.0)
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}/fair_share.*")
    args = parser.parse_args()
    result = asyncio.run(run(args))
    verdict = "met" if result["met"] else "missed"
    print(
        f"ratio {result['ratio']:.2f}; less a chunk of {result['chunk_ms']:.0f} ms "
        f"{result['ratio_less_a_chunk']:.2f} (aim {AIM}: {verdict})"
    )
    if args.save:
        (RESULTS / "fair_share.json").write_text(json.dumps(result, indent=2) + "\n")
        rows = "\n".join(f"| {name} | {value} |" for name, value in result.items())
        (RESULTS / "fair_share.md").write_text(
            f"# One request beside {args.crowd} of another key\n\n"
            f"| what | value |\n|---|---|\n{rows}\n"
        )


if __name__ == "__main__":
    main()
