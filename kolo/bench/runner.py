"""A run: targets take turns, round after round, until the plan is done or a goal is missed.

In each round every cell runs once on every target, one directly after the other, and who begins
changes from round to round: a machine whose speed drifts slows all of them alike. Loads that are
climbed (``--sweep``, or a list with a ``--goal``) are done one after the other, all rounds of
each, since what comes next depends on what came out.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from kolo.bench.client import Client
from kolo.bench.goals import Condition
from kolo.bench.load import Playing, play_rate, play_users
from kolo.bench.request import Tally
from kolo.bench.result import Cell, Load, Round, Row, Run
from kolo.bench.sessions import Workload
from kolo.bench.summary import goals_of, rows_of
from kolo.bench.watch import ReadGpus, watched

LEAST_REQUESTS = 4
"""Of a round, for each target, where the command line does not say."""
ROUND_S = 30.0
"""Where neither a number nor a time is given, no request is begun after so long."""
RATE_S = 20.0
"""How long requests arrive in a round with a rate, where nothing is given."""
SWEEP_GAIN = 1.05
"""A load gains if it gives this times the most output before it."""
SWEEP_PATIENCE = 2
"""So many loads in a row that gain nothing end a sweep: one may be an accident."""
SWEEP_MOST = 512
FIRST_WARM_S = 120.0


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done."""

    workloads: Sequence[Workload]
    loads: Sequence[Load]
    """In the order in which they are climbed."""
    rounds: int = 5
    requests: int | None = None
    """Sessions of a round; None is as many as the load asks for."""
    duration_s: float | None = None
    """No session is begun later than this in a round."""
    warmup: int = 2
    goals: Sequence[Condition] = ()
    sweep: bool = False
    seed: int = 0


class Progress(Struct, kw_only=True):
    """Where a run is; told after each request."""

    stage: str = ""
    """``warming up``, or empty while it measures."""
    target: str = ""
    workload: str = ""
    load: str = ""
    round: int = 0
    rounds: int = 0
    requests: int = 0
    expected: int | None = None
    errors: int = 0
    pieces: int = 0
    """Of text, of requests that are still under way too: about as many as tokens."""
    elapsed_s: float = 0.0
    ttft_ms: float | None = None
    done_rounds: int = 0
    all_rounds: int | None = None


Tell = Callable[[Progress], None]


class Runner:
    """Carries a plan out and fills ``run`` as it goes, so that a part of it is of use too."""

    def __init__(
        self,
        run: Run,
        clients: Sequence[Client],
        plan: Plan,
        tell: Tell,
        gpus: ReadGpus | None = None,
    ) -> None:
        self._run = run
        self._clients = clients
        self._plan = plan
        self._tell = tell
        self._gpus = gpus
        self._done_rounds = 0
        self._all_rounds: int | None = None

    async def go(self) -> None:
        """Do it all. A cancellation leaves in ``run`` what was measured until then."""
        began = time.monotonic()
        try:
            await self._warm_up()
            for workload in self._plan.workloads:
                await self._measure(workload)
        finally:
            self._run.elapsed_s = round(time.monotonic() - began, 3)

    async def _measure(self, workload: Workload) -> None:
        plan = self._plan
        climbing = plan.sweep or bool(plan.goals)
        if not climbing:
            n_cells = len(plan.loads) * len(plan.workloads)
            self._all_rounds = plan.rounds * n_cells * len(self._clients)
            await self._stage(workload, plan.loads)
            return
        best, idle = 0.0, 0
        for load in self._climb():
            await self._stage(workload, [load])
            rows = self._rows(workload, load)
            output = max((_output(row) for row in rows), default=0.0)
            if plan.goals and not any(goals_of(row, plan.goals) for row in rows):
                return
            idle = idle + 1 if output < best * SWEEP_GAIN else 0
            if plan.sweep and idle == SWEEP_PATIENCE:
                return
            best = max(best, output)

    def _climb(self) -> Iterator[Load]:
        if not self._plan.sweep:
            yield from self._plan.loads
            return
        users = 1
        while users <= SWEEP_MOST:
            yield Load(concurrency=users)
            users *= 2

    async def _stage(self, workload: Workload, loads: Sequence[Load]) -> None:
        """All rounds of some loads of one workload."""
        for index in range(self._plan.rounds):
            for load in loads:
                for client in _turns(self._clients, index):
                    await self._round(workload, load, client, index)

    async def _round(self, workload: Workload, load: Load, client: Client, index: int) -> None:
        cell = self._run.cell(client.target.name, workload.info.name, load)
        round = Round(index=index)
        cell.rounds.append(round)
        n = self._sessions(workload, load)
        playing = Playing(client, round)
        progress = self._progress(cell, index, n)
        telling = asyncio.create_task(self._keep_telling(progress, playing, client.tally))
        try:
            async with watched(round, client.pid, self._gpus):
                await self._play(playing, workload, load, client, index, n)
        except BaseException:
            if not round.samples:
                cell.rounds.remove(round)
            raise
        finally:
            telling.cancel()
        self._done_rounds += 1

    async def _play(
        self,
        playing: Playing,
        workload: Workload,
        load: Load,
        client: Client,
        index: int,
        n: int,
    ) -> None:
        sessions = workload.sessions(client, index, n)
        if load.rate is not None:
            await play_rate(playing, sessions, load, self._seed(index), self._until_s(load))
        else:
            assert load.concurrency is not None
            users = workload.users(load.concurrency)
            await play_users(playing, sessions, users, self._until_s(load))

    async def _warm_up(self) -> None:
        """Ask what will be asked, a few times, so that models are loaded and pages are there."""
        for client in self._clients:
            for workload in self._plan.workloads if self._plan.warmup else ():
                playing = Playing(client, Round(index=-1))
                progress = Progress(stage="warming up", target=client.target.name)
                self._tell(progress)
                n = max(self._plan.warmup, workload.count(1) or 0)
                sessions = workload.sessions(client, -1, n)
                await play_users(playing, sessions, workload.users(1), FIRST_WARM_S)

    def _sessions(self, workload: Workload, load: Load) -> int:
        """How many sessions a round has at most."""
        plan = self._plan
        if load.rate is not None:
            told = plan.requests or math.ceil(load.rate * (plan.duration_s or RATE_S))
            return max(told, 1)
        assert load.concurrency is not None
        needed = workload.count(load.concurrency)
        if workload.users(load.concurrency) != load.concurrency:
            assert needed is not None
            return needed
        if plan.requests is not None:
            return max(plan.requests, load.concurrency)  # a sweep gets to any number of users
        if plan.duration_s is not None:
            return 1 << 30
        return needed if needed is not None else max(LEAST_REQUESTS, 2 * load.concurrency)

    def _until_s(self, load: Load) -> float | None:
        plan = self._plan
        if plan.duration_s is not None:
            return plan.duration_s
        return ROUND_S if plan.requests is None and load.rate is None else None

    def _seed(self, index: int) -> str:
        return f"arrivals/{self._plan.seed}/{index}"

    def _rows(self, workload: Workload, load: Load) -> list[Row]:
        cells = [
            cell
            for cell in self._run.cells
            if cell.workload == workload.info.name and cell.load == load
        ]
        return [row for cell in cells for row in rows_of(cell, self._plan.goals)]

    # Progress --------------------------------------------------------------------------------

    def _progress(self, cell: Cell, index: int, n: int) -> Progress:
        return Progress(
            target=cell.target,
            workload=cell.workload if len(self._plan.workloads) > 1 else "",
            load=cell.load.name,
            round=index + 1,
            rounds=self._plan.rounds,
            expected=n if n < 1 << 30 else None,
            all_rounds=self._all_rounds,
        )

    async def _keep_telling(self, progress: Progress, playing: Playing, tally: Tally) -> None:
        now, pieces = asyncio.get_running_loop().time, tally.pieces
        while True:
            samples = playing.round.samples
            progress.done_rounds = self._done_rounds
            progress.requests = len(samples)
            progress.errors = sum(sample.error is not None for sample in samples)
            progress.pieces = tally.pieces - pieces
            progress.elapsed_s = now() - playing.began
            latest = [sample.ttft_ms for sample in samples[-9:] if sample.ttft_ms is not None]
            progress.ttft_ms = sorted(latest)[len(latest) // 2] if latest else None
            self._tell(progress)
            await asyncio.sleep(0.5)


def _turns(clients: Sequence[Client], index: int) -> list[Client]:
    """Who goes when: each round another one begins."""
    at = index % len(clients)
    return [*clients[at:], *clients[:at]]


def _output(row: Row) -> float:
    figure = row.figures.get("tok_s")
    return (figure.p50 or 0.0) if figure else 0.0
