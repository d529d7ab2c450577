"""An hour of everything at once, with the worker killed every two minutes.

    python bench/soak.py [--minutes 60] [--kill-every 120] [--users 8] [--pause 0.5]

``kolo serve`` on ``guide``. Users, each with a kind of request of its own: answers whole and
streamed, several at once, bound to a schema, cut off by the client half-way, read slowly, with a
long prompt, token counts, lists and metrics. Every request must end: with an answer, or with an
error that says why, within its deadline. Every ten seconds the server's memory, descriptors,
threads and processes are read; after a warm-up of a sixth of the time they are to stay flat.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import psutil
import sides

DEADLINE_S = 120.0
CUT = "cut without [DONE]"
SAMPLE_S = 10.0
WARM_UP_SHARE = 1 / 6
GROWTH_LIMIT_PERCENT = 5.0
COUNT_LIMIT = 4
"""Descriptors, threads, processes: a pool of threads is filled as it is needed."""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
QUESTIONS = (
    "What is Kolo?",
    "How do I load a model?",
    "What is TTFT?",
    "Why is my prompt cached?",
    "How do I stop the server?",
)


@dataclass
class Tally:
    """What became of the requests, by kind."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    without_end: list[str] = field(default_factory=list)
    kills: int = 0

    def add(self, kind: str, outcome: str) -> None:
        self.outcomes.setdefault(kind, Counter())[outcome] += 1


@dataclass(frozen=True)
class Reading:
    """The server's process, and how many it has begotten."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    processes: int


Ask = Callable[[httpx2.AsyncClient, random.Random], Awaitable[str]]
"""One request; returns what became of it."""


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--kill-every", type=float, default=120.0, help="seconds")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds, on average")
    args = parser.parse_args()
    guide = Path(str(files("kolo.models") / "data" / "guide.gguf"))
    with sides.kolo_server([guide], args, 4, 2048) as server:
        tally, readings = asyncio.run(soak(server, args))
    tell(args, tally, readings)


async def soak(server: sides.Server, args: argparse.Namespace) -> tuple[Tally, list[Reading]]:
    tally = Tally()
    readings: list[Reading] = []
    end_s = time.monotonic() + args.minutes * 60
    limits = httpx2.Limits(max_connections=4 * args.users)
    async with (
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S, limits=limits) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for number, (name, ask) in zip(
            range(args.users), itertools.cycle(KINDS.items()), strict=False
        ):
            dice = random.Random(number)
            tasks.create_task(user(name, ask, http, dice, tally, end_s, args.pause))
        tasks.create_task(killer(server.pid, tally, end_s, args.kill_every))
        tasks.create_task(watch(server.pid, readings, end_s))
    return tally, readings


async def user(
    kind: str,
    ask: Ask,
    http: httpx2.AsyncClient,
    dice: random.Random,
    tally: Tally,
    end_s: float,
    pause_s: float,
) -> None:
    while time.monotonic() < end_s:
        try:
            async with asyncio.timeout(DEADLINE_S):
                outcome = await ask(http, dice)
        except TimeoutError:
            tally.without_end.append(kind)
            outcome = "no end"
        except httpx2.TransportError as error:
            outcome = f"broken off: {type(error).__name__}"
        tally.add(kind, outcome)
        await asyncio.sleep(dice.expovariate(1 / pause_s))


async def killer(pid: int, tally: Tally, end_s: float, every_s: float) -> None:
    """SIGKILL to a worker, every so often."""
    server = psutil.Process(pid)
    while time.monotonic() + every_s < end_s:
        await asyncio.sleep(every_s)
        for child in server.children():
            if "kolo.engine.worker" in child.cmdline():
                os.kill(child.pid, signal.SIGKILL)
                tally.kills += 1


async def watch(pid: int, readings: list[Reading], end_s: float) -> None:
    server = psutil.Process(pid)
    begun_s = time.monotonic()
    while time.monotonic() < end_s:
        await asyncio.sleep(SAMPLE_S)
        readings.append(
            Reading(
                time.monotonic() - begun_s,
                server.memory_info().rss,
                server.num_fds(),
                server.num_threads(),
                1 + len(server.children(recursive=True)),
            )
        )


# The users ---------------------------------------------------------------------------------


def body(dice: random.Random, **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": dice.choice(QUESTIONS)}
    return {"model": "guide", "messages": [question], "max_tokens": 48, **more}


def outcome_of(reply: httpx2.Response) -> str:
    if reply.status_code == 200:
        return "answered"
    error = reply.json()["error"]
    return f"{reply.status_code} {error['code']}"


async def whole(http: httpx2.AsyncClient, dice: random.Random) -> str:
    return outcome_of(await http.post("/v1/chat/completions", json=body(dice)))


async def several(http: httpx2.AsyncClient, dice: random.Random) -> str:
    return outcome_of(await http.post("/v1/chat/completions", json=body(dice, n=3)))


async def schema(http: httpx2.AsyncClient, dice: random.Random) -> str:
    form = {"type": "json_schema", "json_schema": {"name": "who", "schema": SCHEMA}}
    asked = body(dice, response_format=form, max_tokens=200)
    reply = await http.post("/v1/chat/completions", json=asked)
    if reply.status_code == 200:
        choice = reply.json()["choices"][0]
        if choice["finish_reason"] == "stop":
            json.loads(choice["message"]["content"])
    return outcome_of(reply)


async def long_prompt(http: httpx2.AsyncClient, dice: random.Random) -> str:
    words = " ".join(dice.choice(QUESTIONS) for _ in range(120))
    asked = {"model": "guide", "prompt": words, "max_tokens": 8}
    return outcome_of(await http.post("/v1/completions", json=asked))


async def streamed(http: httpx2.AsyncClient, dice: random.Random) -> str:
    return await _stream(http, dice)


async def slow_reader(http: httpx2.AsyncClient, dice: random.Random) -> str:
    return await _stream(http, dice, pause_s=0.2)


async def leaves(http: httpx2.AsyncClient, dice: random.Random) -> str:
    return await _stream(http, dice, leave_after=dice.randint(1, 20))


async def _stream(
    http: httpx2.AsyncClient, dice: random.Random, *, pause_s: float = 0.0, leave_after: int = 0
) -> str:
    """Reads events until [DONE], or an error, after which there is none."""
    asked = body(dice, stream=True)
    n_events = 0
    async with http.stream("POST", "/v1/chat/completions", json=asked) as reply:
        if reply.status_code != 200:
            await reply.aread()
            return outcome_of(reply)
        said = CUT
        async with aclosing(reply.aiter_lines()) as lines:
            async for line in lines:
                if not line.startswith("data: "):
                    continue
                if line == "data: [DONE]":
                    return "answered"
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    said = f"in the stream: {event['error']['code']}"
                n_events += 1
                if n_events == leave_after:
                    return "left"
                if pause_s:
                    await asyncio.sleep(pause_s)
    return said


async def looks(http: httpx2.AsyncClient, dice: random.Random) -> str:
    """What watches and lists, which must work whatever the worker does."""
    path = dice.choice(
        (
            "/v1/models",
            "/metrics",
            "/engines",
            "/health",
            "/props?model=guide",
            "/slots?model=guide",
        )
    )
    reply = await http.get(path)
    return "answered" if reply.status_code == 200 else f"{reply.status_code} {path}"


KINDS: dict[str, Ask] = {
    "whole": whole,
    "streamed": streamed,
    "leaves": leaves,
    "several": several,
    "schema": schema,
    "long prompt": long_prompt,
    "slow reader": slow_reader,
    "looks": looks,
}


# What is told ------------------------------------------------------------------------------


def tell(args: argparse.Namespace, tally: Tally, readings: list[Reading]) -> None:
    report = sides.report(__doc__, f"{args.minutes:g} minutes of mixed load")
    report.table(
        ["users", "requests", "what became of them"],
        [
            [kind, sum(found.values()), ", ".join(f"{n} {what}" for what, n in found.most_common())]
            for kind, found in tally.outcomes.items()
        ],
    )
    settled = [one for one in readings if one.at_s > args.minutes * 60 * WARM_UP_SHARE]
    tenth = max(len(settled) // 10, 1)
    first, last = settled[:tenth], settled[-tenth:]
    rows = []
    for name in ("rss_bytes", "descriptors", "threads", "processes"):
        values = [[getattr(one, name) for one in part] for part in (first, last, settled)]
        rows.append([name, *(statistics.median(part) for part in values[:2]), max(values[2])])
    report.table(["", "after the warm-up", "at the end", "highest"], rows)
    report.notes.append(f"{tally.kills} workers killed")
    report.at_most("requests without an end", len(tally.without_end), 0)
    cut = sum(found[CUT] for found in tally.outcomes.values())
    report.at_most("streams without a last event", cut, 0)
    (_, before, after, _), *counts = rows
    grown = 100 * (float(str(after)) / float(str(before)) - 1)
    report.at_most("growth of memory, percent", grown, GROWTH_LIMIT_PERCENT)
    for name, before, after, _ in counts:
        more = float(str(after)) - float(str(before))
        report.at_most(f"growth of {name}", more, COUNT_LIMIT)
    report.write(args.name or "soak")


if __name__ == "__main__":
    main()
