"""A snapshot of everything: what the manager, the workers, the counts and the machine say."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from kolo.errors import ErrorInfo
from kolo.manager.engine import Engine as Handle
from kolo.manager.manager import Manager
from kolo.manager.status import EngineStatus
from kolo.monitor.completions import Completions
from kolo.monitor.poll import Poller, Told
from kolo.monitor.readings import Readings
from kolo.monitor.requests import Paces, requests_of
from kolo.snapshot import (
    Download,
    Engine,
    Failure,
    Gpu,
    Kv,
    Model,
    Request,
    Slot,
    Snapshot,
)
from kolo.stats import SlotStats
from kolo.types import ModelInfo

MOST_REQUESTS = 500
"""Of those under way, the oldest are listed."""


class Collector:
    """Reads; it wakes, loads and delays nothing."""

    def __init__(
        self,
        manager: Manager,
        completions: Completions,
        poller: Poller,
        readings: Readings,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._completions = completions
        self._poller = poller
        self._readings = readings
        self._clock = clock
        self._steady = steady
        self._started_s = steady()
        self._paces = Paces()
        self.stopping = False
        """The server takes no more requests."""
        self.downloads: Callable[[], list[Download]] = list
        """What is being fetched now."""
        self.watchers: Callable[[], int] = int
        """How many clients look."""

    async def take(self) -> Snapshot:
        """A snapshot of now, with readings of the machine that are at most a second old."""
        await self._refresh()
        return self.snapshot()

    async def gpus(self) -> list[Gpu]:
        """GPUs alone, likewise."""
        await self._refresh()
        return self._gpus({engine.id: engine for engine in self._manager.loaded()})

    async def _refresh(self) -> None:
        await self._readings.refresh([one.pid for one in self._manager.list() if one.pid])

    def snapshot(self) -> Snapshot:
        """A snapshot of now, with the machine as it was read last."""
        now_s = self._steady()
        loaded = {engine.id: engine for engine in self._manager.loaded()}
        requests = self._requests(loaded, now_s)
        by_engine = {id: [r for r in requests if r.engine == id] for id in loaded}
        engines = [
            self._engine(status, loaded.get(status.id), by_engine.get(status.id, []), now_s)
            for status in self._manager.list()
        ]
        waiting = sum(engine.waiting for engine in engines)
        return Snapshot(
            at=round(self._clock(), 3),
            uptime_s=round(now_s - self._started_s, 3),
            stopping=self.stopping,
            host=self._readings.host,
            server_process=self._readings.server,
            gpus=self._gpus(loaded),
            engines=engines,
            running=len(requests) - waiting,
            waiting=waiting,
            windows=self._completions.windows(busy=bool(requests)),
            totals=self._completions.overall.totals(),
            requests=requests[:MOST_REQUESTS],
            requests_left_out=max(len(requests) - MOST_REQUESTS, 0),
            downloads=self.downloads(),
            watchers=self.watchers(),
        )

    def _requests(self, loaded: dict[str, Handle], now_s: float) -> list[Request]:
        found: list[Request] = []
        for engine in loaded.values():
            engine.tell_emitted()
            found += requests_of(engine, self._slots(engine), self._paces, now_s)
        self._paces.keep({(loaded[request.engine], request.id) for request in found})
        return sorted(found, key=lambda request: -request.age_s)

    def _slots(self, engine: Handle) -> dict[int, SlotStats]:
        told = self._poller.told(engine)
        slots = told.stats.slots if told is not None else []
        return {slot.request: slot for slot in reversed(slots) if slot.request is not None}

    def _engine(
        self, status: EngineStatus, handle: Handle | None, requests: list[Request], now_s: float
    ) -> Engine:
        told = self._poller.told(handle) if handle is not None else None
        tally = self._completions.of(status.id)
        waiting = sum(request.state == "queued" for request in requests)
        busy = bool(status.in_flight or status.leases)
        return Engine(
            id=status.id,
            aliases=list(status.aliases),
            state=status.state,
            stage=status.stage,
            progress=round(status.progress, 4) if status.state == "loading" else None,
            error=_failure(status.error),
            source=status.source,
            path=status.path,
            model=_model(status.info) if status.info is not None else None,
            loaded_at=tally.loaded_at if handle is not None else None,
            load_ms=round(handle.load_ms, 1) if handle is not None else None,
            pinned=status.pinned,
            ttl_s=status.ttl_s or None,
            expires_s=None if status.expires_s is None else round(status.expires_s, 1),
            idle_s=0.0 if busy else _since(status.last_used, now_s),
            process=self._readings.workers.get(status.pid or 0),
            memory_bytes=status.memory_bytes or None,
            device_bytes=status.device_bytes or None,
            running=len(requests) - waiting,
            waiting=waiting,
            max_queue=handle.max_queue if handle is not None else 0,
            slots=_slots(told) if told is not None else None,
            kv=_kv(told, status.info) if told is not None else None,
            stats_age_s=round(self._poller.age_s(told), 3) if told is not None else None,
            preemptions=told.stats.preemptions if told is not None else None,
            windows=self._completions.windows(status.id, busy=bool(requests)),
            totals=tally.totals(),
        )

    def _gpus(self, loaded: dict[str, Handle]) -> list[Gpu]:
        engines = {engine.pid: engine.id for engine in loaded.values()}
        return [_with_engines(gpu, engines) for gpu in self._readings.gpus]


def _with_engines(gpu: Gpu, engines: dict[int, str]) -> Gpu:
    if not gpu.processes:
        return gpu
    processes = [replace(one, engine=engines.get(one.pid)) for one in gpu.processes]
    return replace(gpu, processes=processes)


def _failure(error: ErrorInfo | None) -> Failure | None:
    return Failure(message=error.message, hint=error.hint) if error is not None else None


def _since(last_used: float, now_s: float) -> float | None:
    return round(max(now_s - last_used, 0.0), 1) if last_used else None


def _model(info: ModelInfo) -> Model:
    return Model(
        architecture=info.architecture,
        description=info.description,
        quant=info.ftype,
        n_params=info.n_params,
        size_bytes=info.size_bytes,
        n_ctx=info.n_ctx,
        n_ctx_train=info.n_ctx_train,
        parallel=info.parallel,
        n_layer=info.n_layer,
        gpu_layers=info.gpu_layers,
        devices=info.devices,
        threads=info.threads,
        kv_bytes=info.kv_bytes,
        can_chat=info.can_chat,
        can_embed=info.can_embed,
        can_rerank=info.can_rerank,
    )


def _slots(told: Told) -> list[Slot]:
    return [
        Slot(
            id=slot.id,
            state=slot.state,
            request=slot.request,
            held_tokens=slot.cached_tokens,
            prompt_tokens=slot.prompt_tokens,
            prompt_done=slot.prompt_done,
            cached_tokens=slot.prompt_cached,
            output_tokens=slot.generated_tokens,
        )
        for slot in told.stats.slots
    ]


def _kv(told: Told, info: ModelInfo | None) -> Kv | None:
    """None of a model that keeps no KV, such as one that embeds."""
    stats = told.stats
    if not stats.slots or not stats.n_ctx:
        return None
    return Kv(
        total_tokens=stats.n_ctx * len(stats.slots),
        used_tokens=sum(s.cached_tokens for s in stats.slots if s.state != "idle"),
        cached_tokens=sum(s.cached_tokens for s in stats.slots if s.state == "idle"),
        bytes=info.kv_bytes or None if info is not None else None,
        store_bytes=stats.store_bytes,
        store_entries=stats.store_entries,
    )
