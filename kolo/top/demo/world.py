"""The made-up server as a whole: time goes on, the plot happens, messages come out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from kolo.snapshot import (
    Disk,
    Event,
    EventKind,
    Gpu,
    GpuProcess,
    Hello,
    Host,
    Level,
    Message,
    Process,
    Server,
    Snapshot,
)
from kolo.top.demo.cast import PERIOD_S, PLOT, crowd
from kolo.top.demo.player import Player
from kolo.top.demo.tally import total, windows

START_AT = 1_767_268_800.0
"""Where its clock stands when it begins: 2026-01-01, 12:00 UTC. Fixed, so that pictures repeat."""
STEP_S = 0.1
_UP_S = 11_520.0


class World:
    """Deterministic: the same seed and size give the same messages."""

    def __init__(self, seed: int = 1, *, engines: int = 5, gpus: int = 2) -> None:
        self._random = Random(seed)
        self.players = [
            Player(role, Random(self._random.random()), 4100 + 7 * at)
            for at, role in enumerate(crowd(engines))
        ]
        self._n_gpus = gpus
        self._now_s = 0.0
        self._seq = 0
        self._period = 0
        self._next = 0

    def hello(self) -> Hello:
        return Hello(
            server=Server(
                version="0.1.0", pid=4097, host="demo", started_at=START_AT - _UP_S, url=""
            )
        )

    def run(self, seconds: float) -> Iterator[Message]:
        """What is told while ``seconds`` go by: the events, then one snapshot."""
        for _ in range(max(round(seconds / STEP_S), 1)):
            self._now_s += STEP_S
            yield from self._plot()
            ease = 1.0 + 0.55 * math.sin(self._now_s / 23.0)
            for player in self.players:
                stage = player.step(self._now_s, STEP_S, ease)
                if stage is not None:
                    yield self._staged(player, stage)
        yield self.snapshot()

    def snapshot(self) -> Snapshot:
        now_s = self._now_s
        tallies = [player.tally for player in self.players]
        requests = [one for player in self.players for one in player.requests(now_s)]
        requests.sort(key=lambda request: -request.age_s)
        return Snapshot(
            at=START_AT + now_s,
            uptime_s=_UP_S + now_s,
            host=self._host(),
            server_process=Process(pid=4097, cpu_percent=3.1, rss_bytes=88_000_000),
            gpus=[self._gpu(index) for index in range(self._n_gpus)],
            engines=[player.engine(now_s, START_AT) for player in self.players],
            running=sum(len(player.running) for player in self.players),
            waiting=sum(player.waiting for player in self.players),
            windows=windows(tallies, now_s),
            totals=total(tallies),
            requests=requests[:200],
            requests_left_out=max(len(requests) - 200, 0),
            watchers=1,
        )

    # The plot ----------------------------------------------------------------------------

    def _plot(self) -> Iterator[Event]:
        if self._now_s - self._period * PERIOD_S > PERIOD_S:
            self._period, self._next = self._period + 1, 0
        while self._next < len(PLOT):
            at_s, what, id = PLOT[self._next]
            if self._now_s - self._period * PERIOD_S < at_s:
                return
            self._next += 1
            player = next((one for one in self.players if one.role.id == id), None)
            if player is not None:
                yield from self._act(player, what)

    def _act(self, player: Player, what: str) -> Iterator[Event]:
        id = player.role.id
        if what == "load" and player.state in ("unloaded", "failed"):
            player.begin_load()
            yield self._event("loading", f"{id}: loading", engine=id, stage="memory")
        elif what == "crash" and player.state == "loaded":
            lost = player.crash()
            text = f"{id}: the worker died (signal 11); {lost} requests failed"
            yield self._event("crashed", text, engine=id, level="error", reason="signal 11")
        elif what == "evict" and player.state == "loaded" and not player.running:
            player.evict()
            text = f"{id}: unloaded to make room"
            yield self._event("evicted", text, engine=id, level="warning", reason="to make room")
        elif what == "burst":
            player.burst_s = self._now_s + 15.0

    def _staged(self, player: Player, stage: str) -> Event:
        id = player.role.id
        if stage == "loaded":
            return self._event("loaded", f"{id}: loaded in 6.8 s", engine=id, load_ms=6800.0)
        return self._event("loading", f"{id}: loading {stage}", engine=id, stage=stage)

    def _event(
        self,
        kind: EventKind,
        text: str,
        *,
        engine: str,
        level: Level = "info",
        reason: str = "",
        stage: str = "",
        load_ms: float | None = None,
    ) -> Event:
        self._seq += 1
        return Event(
            seq=self._seq,
            at=START_AT + self._now_s,
            level=level,
            kind=kind,
            engine=engine,
            text=text,
            reason=reason,
            stage=stage,
            load_ms=load_ms,
        )

    # The machine -------------------------------------------------------------------------

    def _host(self) -> Host:
        busy = sum(len(player.running) for player in self.players)
        return Host(
            name="demo",
            cores=32,
            cpu_percent=min(6.0 + 3.1 * busy + self._random.uniform(0, 4), 97.0),
            load_1m=1.2 + 0.4 * busy,
            memory_total_bytes=128 * 10**9,
            memory_available_bytes=int(83e9 - 0.4e9 * busy),
            swap_used_bytes=0,
            disk=Disk(path="/srv/models", total_bytes=2 * 10**12, free_bytes=int(0.86e12)),
        )

    def _gpu(self, index: int) -> Gpu:
        mine = [player for player in self.players if player.role.gpu == index]
        busy = sum(len(player.running) for player in mine)
        share = min(busy * 0.17 + (0.02 if busy else 0.0), 0.97) * self._random.uniform(0.94, 1.0)
        held = [player for player in mine if player.state == "loaded"]
        return Gpu(
            id=f"nvidia:{index}",
            vendor="nvidia",
            index=index,
            name="NVIDIA H200" if index else "NVIDIA L40S",
            driver="575.57.08",
            utilization_percent=round(100 * share, 1),
            memory_busy_percent=round(60 * share, 1),
            memory_used_bytes=int(sum(one.role.size_bytes * 1.12 for one in held) + 0.6e9),
            memory_total_bytes=141 * 10**9 if index else 48 * 10**9,
            power_w=round(72 + 265 * share, 1),
            power_limit_w=700.0 if index else 350.0,
            temperature_c=round(38 + 39 * share, 0),
            fan_percent=None,
            clock_mhz=1980.0 if index else 2520.0,
            clock_max_mhz=1980.0 if index else 2520.0,
            throttle=["power cap"] if share > 0.93 else [],
            processes=[
                GpuProcess(
                    pid=one.pid, memory_bytes=int(one.role.size_bytes * 1.12), engine=one.role.id
                )
                for one in held
            ],
        )
