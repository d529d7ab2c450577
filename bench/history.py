"""The history after 30 days: how large its file is, and how long questions and writes take.

    python bench/history.py [--days 30] [--engines 4] [--rounds 20] [--limit 64MiB]

Writes every minute of 30 days, as a server under load would, thinning as it does, then asks for
ranges as `kolo top` and the HTTP API do. Medians and the worst of the rounds, in milliseconds; the
sizes are of the file and its log together.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from kolo.config import HistorySettings
from kolo.monitor.histogram import Histogram
from kolo.monitor.history.figures import EVERY, Batch, EventRow, Row
from kolo.monitor.history.packing import pack
from kolo.monitor.history.reader import choose_step, find_figures, read_events, read_range
from kolo.monitor.history.store import Store
from kolo.units import parse_size

DAY = 86_400
END = 1_800_000_000 // DAY * DAY
RANGES = (("15 minutes", 900), ("1 hour", 3600), ("1 day", DAY), ("7 days", 7 * DAY))
SCREEN = ["output_tokens", "ttft_ms", "itl_ms", "kv_share", "running"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--engines", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=parse_size, default=HistorySettings().max_size_bytes)
    args = parser.parse_args()
    settings = HistorySettings(max_size_bytes=args.limit)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        fill(path, settings, args.days, args.engines)
        ranges = (*RANGES, (f"{args.days} days", args.days * DAY))
        for name, span_s in ranges:
            for engine in ("e0", None):
                ask(path, name, span_s, engine, args.rounds)
        span = {"from_at": END - DAY, "to_at": END, "limit": 100}
        took = [timed(lambda: read_events(path, engine=None, **span)) for _ in range(args.rounds)]
        report("events of a day", took)


def fill(path: Path, settings: HistorySettings, days: int, engines: int) -> None:
    rng = random.Random(1)
    store = Store(path, server="bench")
    start, took, largest = END - days * DAY, [], 0
    busy = [minute_of_work(rng) for _ in range(50)]
    for at in range(start, END, 60):
        names = [EVERY, *(f"e{n}" for n in range(engines))]
        rows = [Row("engine", name, at, rng.choice(busy)) for name in names]
        rows += [Row("host", EVERY, at, {"covered_s": 60.0, "host_cpu_percent_n": 12})]
        event = EventRow(at=at, kind="note", level="info", engine="e0", text="something happened")
        batch = Batch(rows, [event] if at % 600 == 0 else [])
        took.append(timed(lambda batch=batch: store.write([batch])))
        if at % 3600 == 0:
            store.thin(
                at,
                minutes_s=settings.keep_minutes_s,
                ten_minutes_s=settings.keep_ten_minutes_s,
            )
            store.fit(settings.max_size_bytes, at)
            largest = max(largest, sum(file.stat().st_size for file in path.parent.iterdir()))
    store.close()
    end, limit = path.stat().st_size, settings.max_size_bytes
    sizes = [f"{size / 2**20:.1f} MiB" for size in (end, largest, limit)]
    print(f"{days} days of {engines} engines: {sizes[0]}, at most {sizes[1]}, limit {sizes[2]}")
    report("writing a minute", took)


def minute_of_work(rng: random.Random) -> dict[str, float | bytes]:
    def spread(mean_ms: float, n: int) -> bytes:
        return pack(Histogram(rng.lognormvariate(0, 0.6) * mean_ms for _ in range(n)))

    gauges = {
        f"{name}_{part}": value
        for name in ("running", "waiting", "kv_share", "memory_bytes", "cpu_percent")
        for part, value in (("n", 12), ("sum", 40.5), ("max", 5.5))
    }
    return {
        "done": 40, "prompt_tokens": 20_000, "cached_tokens": 9_000, "output_tokens": 8_000,
        "queue_ms": spread(3, 40), "ttft_ms": spread(120, 40), "itl_ms": spread(20, 8_000),
        "e2e_ms": spread(4_000, 40), **gauges,
    }  # fmt: skip


def ask(path: Path, name: str, span_s: int, engine: str | None, rounds: int) -> None:
    for names in (["ttft_ms"], SCREEN):
        figures = find_figures(names, engine=engine, gpu=None)
        step_s = choose_step(END - span_s, END, None)

        def question(figures=figures, step_s=step_s) -> object:
            return read_range(
                path, figures, name=engine, from_at=END - span_s, to_at=END, step_s=step_s
            )

        whose = "one engine" if engine else "all engines"
        many = f"{len(names)} metric{'s' * (len(names) > 1)}"
        report(f"{name}, {whose}, {many}", [timed(question) for _ in range(rounds)])


def timed(what: object) -> float:
    began = time.perf_counter()
    what()  # type: ignore[operator]
    return (time.perf_counter() - began) * 1000


def report(name: str, took: list[float]) -> None:
    print(f"{name:40} {statistics.median(took):8.2f} ms   {max(took):8.2f} ms worst")


if __name__ == "__main__":
    main()
