"""Shared by the scripts beside it: servers side by side, loads on them, and what was to be shown.

The loads are ``kolo bench``'s own, run as a user would run it, so that the tool is the evidence
and every server meets the same client. Each script writes ``bench/results/NAME.md`` (tables and
verdicts, for people) and ``NAME.json`` (the run's sums and the verdicts, for programs).
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kolo.bench.result import Cell, Row, Run, decode
from kolo.bench.summary import summarize

RESULTS = Path(__file__).parent / "results"
LLAMA, KOLO = "llama-server", "kolo"
READY_S = 120.0


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Options that all scripts share."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--llama", type=Path, metavar="DIR", help="folder of llama.cpp's binaries")
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--name", help="of the files in bench/results; the script's, if left out")
    return made


# Servers -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    name: str
    url: str
    pid: int
    model: str


@contextmanager
def kolo_server(
    models: Sequence[Path], args: argparse.Namespace, slots: int, ctx: int
) -> Iterator[Server]:
    """``kolo serve`` with ``models`` loaded, in a home of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        command = [sys.executable, "-m", "kolo", "serve", *map(str, models), "--port", str(port)]
        command += ["--parallel", str(slots), "--ctx", str(ctx)]
        if args.threads is not None:
            command += ["--threads", str(args.threads)]
        # Random weights soon write in circles, which guessing ahead would turn into speed that no
        # trained model shows.
        env = {**os.environ, "KOLO_HOME": home, "KOLO_ENGINE_SPECULATION": "off"}
        env |= getattr(args, "kolo_env", {})
        with running(command, f"http://127.0.0.1:{port}", "/health/ready", env) as process:
            yield Server(KOLO, f"http://127.0.0.1:{port}", process.pid, models[0].stem)


@contextmanager
def llama_server(model: Path, args: argparse.Namespace, slots: int, ctx: int) -> Iterator[Server]:
    """``llama-server`` with the same file, threads, slots and context for each slot."""
    port = free_port()
    command = [str(binary(args, "llama-server")), "-m", str(model), "--port", str(port)]
    command += ["-np", str(slots), "-c", str(slots * ctx), "--no-webui", "-a", model.stem]
    command += ["-t", str(args.threads)] if args.threads is not None else []
    with running(command, f"http://127.0.0.1:{port}", "/health", dict(os.environ)) as process:
        yield Server(LLAMA, f"http://127.0.0.1:{port}", process.pid, model.stem)


@contextmanager
def both(
    model: Path, args: argparse.Namespace, slots: int, ctx: int
) -> Iterator[tuple[Server, Server]]:
    """llama-server, which is what the other is compared with, and Kolo."""
    with (
        llama_server(model, args, slots, ctx) as llama,
        kolo_server([model], args, slots, ctx) as kolo,
    ):
        yield llama, kolo


def binary(args: argparse.Namespace, name: str) -> Path:
    if args.llama is None:
        sys.exit("--llama DIR: the folder of llama.cpp's binaries, of the same commit")
    return Path(args.llama) / name


@contextmanager
def running(
    command: list[str], url: str, path: str, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        try:
            _wait_ready(process, url + path, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Any) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    log.seek(0)
    sys.exit(f"{process.args} did not become ready:\n{log.read().decode()[-4000:]}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# Loads -------------------------------------------------------------------------------------


def bench(servers: Sequence[Server], *options: object, models: Sequence[str] = ()) -> Run:
    """``kolo bench`` on ``servers``, which take turns; the document it prints."""
    command = [sys.executable, "-m", "kolo", "bench", "-o", "json", "--quiet"]
    for server in servers:
        command += ["--url", f"{server.name}={server.url}"]
    for server, model in zip(servers, models or [s.model for s in servers], strict=True):
        command += ["-m", f"{server.name}={model}"]
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        done = subprocess.run(
            [*command, *map(str, options)],
            stdout=subprocess.PIPE,
            env={**os.environ, "KOLO_HOME": home},
        )
    if done.returncode not in (0, 8):
        sys.exit(f"{' '.join(command)} {options}: exit code {done.returncode}")
    return decode(done.stdout)


def merged(runs: Sequence[Run]) -> Run:
    """Runs of the same targets and loads as one, its sums made anew."""
    whole = runs[0]
    for run in runs[1:]:
        whole.notes += [note for note in run.notes if note not in whole.notes]
        busy = [run.host.load_before, whole.host.load_before]
        whole.host.load_before = max((load for load in busy if load is not None), default=None)
        for cell in run.cells:
            mine: Cell = whole.cell(cell.target, cell.workload, cell.load)
            for round in cell.rounds:
                round.index = len(mine.rounds)
                mine.rounds.append(round)
    whole.summary = summarize(whole)
    return whole


def row(
    run: Run, target: str, users: int | None = None, workload: str = "", group: str = ""
) -> Row:
    """The sums of one cell; ``workload`` is how its name begins."""
    for found in run.summary:
        if (
            found.target == target
            and users in (None, found.concurrency)
            and found.workload.startswith(workload)
            and group in ("", found.group)
        ):
            return found
    sys.exit(f"{target} was not measured with {users} users, {workload} {group}")


def value(found: Row, metric: str, stat: str = "p50") -> float:
    """A figure of a row; NaN where too few samples carry it."""
    number = getattr(found.figures[metric], stat)
    return float("nan") if number is None else float(number)


# What is to be shown -------------------------------------------------------------------------


@dataclass
class Check:
    """One number and the limit it must keep."""

    what: str
    value: float
    limit: float
    at_least: bool

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        if math.isnan(self.value):
            return "not measured: too few requests"
        return "holds" if self.holds else "FALLS SHORT"

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        known = None if math.isnan(self.value) else self.value
        return {**asdict(self), "value": known, "holds": self.holds}


@dataclass
class Report:
    """Gathers tables and checks, then writes them down."""

    title: str
    command: str
    checks: list[Check] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

    def at_least(self, what: str, number: float, limit: float) -> None:
        self.checks.append(Check(what, number, limit, True))

    def at_most(self, what: str, number: float, limit: float) -> None:
        self.checks.append(Check(what, number, limit, False))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        lines += [f"| {' | '.join(_cell(cell) for cell in cells)} |" for cells in rows]
        self.tables.append("\n".join(lines))

    def write(self, name: str) -> None:
        """``bench/results/NAME.md`` and ``.json``; the former to stdout too."""
        RESULTS.mkdir(exist_ok=True)
        text = self._markdown()
        (RESULTS / f"{name}.md").write_text(text)
        for run in self.runs.values():
            run.cells = []  # thousands of times; the sums are made of them
            for target in run.targets:  # where it lay on this machine is of no use elsewhere
                target.model_path = Path(target.model_path).name
        document = {
            "title": self.title,
            "command": self.command,
            "checks": [check.plain() for check in self.checks],
            "notes": self.notes,
            "runs": self.runs,
        }
        data = msgspec.json.format(msgspec.json.encode(document), indent=1)
        (RESULTS / f"{name}.json").write_bytes(data)
        print(text)

    def _markdown(self) -> str:
        parts = [f"# {self.title}", f"`{self.command}`", *self.tables]
        if self.checks:
            lines = ["| to show | limit | found | |", "|---|---|---|---|"]
            lines += [
                f"| {c.what} | {'≥' if c.at_least else '≤'} {c.limit:g} | {c.value:.2f} | "
                f"{c.verdict} |"
                for c in self.checks
            ]
            parts.append("\n".join(lines))
        notes = self.notes + [note for run in self.runs.values() for note in run.notes]
        parts += [f"- {note}" for note in dict.fromkeys(notes)]
        parts += [_host(run) for run in list(self.runs.values())[:1]]
        return "\n\n".join(parts) + "\n"


def report(doc: str | None, title: str) -> Report:
    script = Path(sys.argv[0])
    given = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return Report(title, " ".join(["python", f"bench/{script.name}", *given]))


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def _cell(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def _host(run: Run) -> str:
    host = run.host
    load = "" if host.load_before is None else f", {host.load_before:.0%} busy before"
    return f"{host.cpu}, {host.usable_cpus} CPUs, {host.system}{load}"
