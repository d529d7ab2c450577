"""Every number equals what an independent client measured in the same window, within 5 %.

The client is a process of its own (``measuring``). Machines stutter, so a comparison is tried a few
times; a number that is wrong is wrong each time.
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from serving import House, fake, served
from watching import DEADLINE_S, watched

from kolo.config import Settings
from kolo.monitor.subscribe import connect
from kolo.snapshot import Snapshot, Window
from kolo.types import LoadParams

TOLERANCE = 0.05
TRIES = 6
TOGETHER_S = 0.0005
"""Lines that follow each other so closely were sent at once."""
MEASURING = Path(__file__).with_name("measuring.py")

Plan = list[list[dict[str, Any]]]


@dataclass
class Seen:
    """What the client saw of some answers, in milliseconds."""

    answers: list[dict[str, Any]]

    def of(self, model: str) -> Seen:
        return Seen([answer for answer in self.answers if answer["model"] == model])

    @property
    def n_tokens(self) -> int:
        return sum(len(answer["tokens"]) for answer in self.answers)

    @property
    def ttft_ms(self) -> list[float]:
        return [1000 * (answer["tokens"][0] - answer["sent"]) for answer in self.answers]

    @property
    def itl_ms(self) -> list[float]:
        """Tokens that came together share the time since the one before, as the monitor says."""
        found: list[float] = []
        for answer in self.answers:
            last, together = answer["tokens"][0], 0
            for at in answer["tokens"][1:]:
                together += 1
                if at - last > TOGETHER_S:
                    found += [1000 * (at - last) / together] * together
                    last, together = at, 0
        return found

    @property
    def e2e_ms(self) -> list[float]:
        return [1000 * (answer["ended"] - answer["sent"]) for answer in self.answers]

    def tokens_within(self, start: float, end: float) -> int:
        return sum(start < at <= end for answer in self.answers for at in answer["tokens"])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def near(value: float) -> Any:
    return pytest.approx(value, rel=TOLERANCE)


async def measure(url: str, plan: Plan, path: Path) -> tuple[Seen, list[Snapshot]]:
    """What the client saw while it did ``plan``, and the snapshots of that time and after it."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, str(MEASURING), url, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    snapshots: list[Snapshot] = []
    async with asyncio.timeout(DEADLINE_S), connect(path, interval_s=0.25) as link:
        asking = asyncio.create_task(client.communicate(json.dumps(plan).encode()))
        last = False
        async for message in link:
            if isinstance(message, Snapshot):
                snapshots.append(message)
                if last:
                    break
                last = asking.done() and not message.requests
        out, _ = await asking
    assert client.returncode == 0
    return Seen(json.loads(out)), snapshots


def check_distributions(window: Window, seen: Seen, *, percentiles: bool) -> None:
    for summary, values in (
        (window.ttft_ms, seen.ttft_ms),
        (window.itl_ms, seen.itl_ms),
        (window.e2e_ms, seen.e2e_ms),
    ):
        # Of tokens that come in one read neither side can tell the gap, and reads differ.
        assert summary.n == near(len(values))
        assert summary.mean == near(mean(values))
        if percentiles:
            check_percentile(summary.p50, values, 0.5)
            check_percentile(summary.p95, values, 0.95)
    assert window.decode_tokens_per_s == near(1000 / mean(seen.itl_ms))


def check_percentile(told: float | None, values: list[float], share: float) -> None:
    """Of few values the neighbours may be far apart, and two that are near may change places."""
    ordered = sorted(values)
    rank = math.ceil(share * len(ordered)) - 1
    lower, upper = ordered[max(rank - 1, 0)], ordered[min(rank + 1, len(ordered) - 1)]
    assert told is not None
    assert lower * (1 - TOLERANCE) <= told <= upper * (1 + TOLERANCE)


def check_rates(seen: Seen, snapshots: list[Snapshot], engine: str | None = None) -> None:
    """Tokens a second of the last 5 seconds, at each moment when that window was full of work."""
    first = min(answer["tokens"][0] for answer in seen.answers)
    last = max(answer["tokens"][-1] for answer in seen.answers)
    compared = 0
    for snapshot in snapshots:
        windows = snapshot.windows
        if engine is not None:
            (windows,) = (one.windows for one in snapshot.engines if one.id == engine)
        window = windows.last_5s
        start = snapshot.at - window.covered_s
        if first < start and snapshot.at < last:
            wanted = seen.tokens_within(start, snapshot.at)
            assert window.output_tokens == near(wanted)
            assert window.output_tokens_per_s == near(wanted / window.covered_s)
            compared += 1
    assert compared >= 3


async def compare(place: House, path: Path, plan: Plan, *, percentiles: bool) -> None:
    for model in {body["model"] for requests in plan for body in requests}:
        await place.manager.load(model)
    async with served(place) as front:
        seen, snapshots = await measure(f"http://127.0.0.1:{front.port}", plan, path)
    final = snapshots[-1]
    assert final.totals.done == len(seen.answers)
    assert final.windows.last_1m.output_tokens == seen.n_tokens == final.totals.output_tokens
    check_distributions(final.windows.last_1m, seen, percentiles=percentiles)
    check_rates(seen, snapshots)
    for engine in final.engines:
        if part := seen.of(engine.id).answers:
            assert engine.windows.last_1m.done == len(part)
            check_distributions(engine.windows.last_1m, Seen(part), percentiles=percentiles)


def prompts(model: str, n: int, length: int, max_tokens: int, seed: int) -> list[dict[str, Any]]:
    """Requests that share no prefix, so that each prompt is really read."""
    return [
        {
            "model": model,
            "prompt": f"{seed} {number} " + "kolo runs models " * (length // 17),
            "max_tokens": max_tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        for number in range(n)
    ]


async def tried(folder: Path, plan: Plan, *, percentiles: bool, **how: Any) -> None:
    """``how`` a server is made, which each try does anew."""
    for attempt in range(TRIES):
        try:
            async with watched(folder, **how) as (place, path):
                await compare(place, path, plan, percentiles=percentiles)
            return
        except AssertionError:
            if attempt == TRIES - 1:
                raise


async def test_numbers_of_two_engines_are_what_their_clients_measured(tmp_path: Path) -> None:
    script: Mapping[str, Any] = {"row_ms": 20, "words": 10**6}
    slow: Mapping[str, Any] = {"row_ms": 50, "words": 10**6}
    specs = [fake("a", script, parallel=2), fake("b", slow, parallel=2)]
    plan = [
        *(prompts("a", 3, 1200, 90, seed) for seed in range(3)),
        *(prompts("b", 2, 900, 50, seed) for seed in range(3)),
    ]
    await tried(tmp_path, plan, percentiles=True, specs=specs)


async def test_numbers_of_a_real_model_are_what_its_clients_measured(tmp_path: Path) -> None:
    plan = [prompts("guide", 4, 6000, 800, seed) for seed in range(2)]
    settings = Settings(engine=LoadParams(threads=1, warmup=False))
    await tried(tmp_path, plan, percentiles=False, specs=[], settings=settings, backend="llama")
