"""What Python costs around llama.cpp: microseconds per step and per token.

    python bench/python_cost.py [--model FILE] [--sequences 1,8,32] [--tokens 200] [--rounds 5]

Runs the worker's own loop in this process on a real model, N sequences decoding side by side,
greedy, nothing cached or saved. Everything outside ``llama_decode`` counts as Python: scheduling,
building the batch, drawing, detokenizing, stop strings, encoding the frame and writing it to a
socket that another process drains. Medians over rounds; the last line fits cost = step + tokens x
token. It also prints what one ``llama_decode`` took at each width, and what calibration pads.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import threading
import time
from importlib.resources import files
from queue import SimpleQueue

from kolo import wire
from kolo.engine.calibrate import calibrate
from kolo.engine.front import Front
from kolo.engine.loop import Loop
from kolo.engine.worker import Outlet, share_the_cores
from kolo.stats import EngineStats
from kolo.types import Generate, Inspect, LoadParams, Prompt, Sampling

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=GUIDE)
    parser.add_argument("--sequences", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    share_the_cores()
    widths = [int(width) for width in args.sequences.split(",")]
    bench = Bench(args.model, max(widths), args.threads)
    print(f"pads {bench.loop.layout.pad_widths()}")
    rows = {width: [] for width in widths}
    for _ in range(args.rounds):
        for width in widths:
            rows[width].append(bench.run(width, args.tokens))
    print(f"{'sequences':>9} {'python us/step':>15} {'us/token':>9} {'decode ms/step':>15}")
    points = []
    for width in widths:
        step_us = statistics.median(row[0] for row in rows[width])
        decode_ms = statistics.median(row[1] for row in rows[width])
        points.append((width, step_us))
        print(f"{width:>9} {step_us:>15.0f} {step_us / width:>9.1f} {decode_ms:>15.2f}")
    if len(points) > 1:
        slope, intercept = statistics.linear_regression(*zip(*points, strict=True))
        print(f"fit: {intercept:.0f} us a step + {slope:.1f} us a token")
    os._exit(0)


class Bench:
    def __init__(self, path: str, parallel: int, threads: int | None) -> None:
        from kolo.engine.llama import load  # after share_the_cores: it loads llama.cpp

        params = LoadParams(parallel=parallel, ctx=1024, threads=threads, cache_store_bytes=0)
        backend = load(path, params, lambda stage, fraction: None)
        self.front = Front(backend, params)
        reading, writing = socket.socketpair()
        self.drain = subprocess.Popen(["cat"], stdin=reading, stdout=subprocess.DEVNULL)
        reading.close()
        self.out = Outlet(writing)
        self.done: SimpleQueue[wire.Up] = SimpleQueue()
        costs, chunk_cost = calibrate(backend)
        self.loop = Loop(backend, params, costs, chunk_cost, self.send, SimpleQueue())
        threading.Thread(target=self.loop.run, daemon=True).start()
        self.last = 0

    def send(self, *frames: wire.Up) -> None:
        self.out.send(*frames)
        for frame in frames:
            if not isinstance(frame, wire.Tokens):
                self.done.put(frame)

    def run(self, width: int, n_tokens: int) -> tuple[float, float]:
        """Python microseconds and decode milliseconds per step, over the steps that decode."""
        greedy = Sampling(temperature=0, ignore_eos=True)
        jobs = []
        for index in range(width):
            self.last += 1
            op = Generate(
                input=Prompt(text=f"{index} {time.time()}"),
                sampling=greedy,
                max_tokens=n_tokens,
                cache_prompt=False,
            )
            jobs.append(self.front.prepare(self.last, op))
        before = self.stats()
        for job in jobs:
            self.loop.inbox.put(job)
        for _ in jobs:
            frame = self.done.get()
            assert isinstance(frame, wire.Done), frame
        after = self.stats()
        steps = after.steps - before.steps
        python_us = (after.python_us - before.python_us) / steps
        decode_ms = (after.backend_us - before.backend_us) / steps / 1000
        return python_us, decode_ms

    def stats(self) -> EngineStats:
        self.last += 1
        self.loop.inbox.put(wire.Submit(self.last, Inspect()))
        frame = self.done.get()
        assert isinstance(frame, wire.Done)
        assert isinstance(frame.result, EngineStats)
        return frame.result


if __name__ == "__main__":
    main()
