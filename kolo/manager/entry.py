"""The life of one engine: the state machine.

::

              begin_load          ready                 begin_unload
    unloaded ───────────▶ loading ─────▶ loaded ───────────────────────▶ unloading
       ▲                   │   │           │                                │
       │      begin_unload │   │ refused,  │ crashed                        │ worker gone
       ├───────────────────┘   │ no room   │                                │
       │                       ▼           │                                │
       │    begin_load ◀──── failed ◀──────┘                                │
       └────────────────────────────────────────────────────────────────────┘

``loading`` and ``unloading`` are under way: exactly then ``_task`` runs. The task belongs to the
entry, not to who asked, so that a caller that goes away leaves it running. All else changes
between two awaits. Who waits looks at the state again afterwards; only the outcome of a load is
handed over, so that each waiter learns how *its* load ended.

``leases`` counts those who use the engine or wait for it, from the moment they ask. An entry
with a lease is never unloaded but by force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kolo import wire
from kolo.errors import (
    EngineCrashed,
    EngineStopped,
    KoloError,
    OutOfMemory,
    from_info,
    internal,
)
from kolo.manager.backoff import Backoff
from kolo.manager.budget import HOST, Pools, Use
from kolo.manager.cores import Cores
from kolo.manager.engine import Engine
from kolo.manager.gauge import Gauge, Need
from kolo.manager.gpus import on_gpus
from kolo.manager.limits import Limits
from kolo.manager.logs import log_path
from kolo.manager.process import WorkerProcess
from kolo.manager.saved import PrefixFolder
from kolo.manager.sink import Sink, tell
from kolo.manager.status import EngineStatus, State
from kolo.models.resolve import ModelSpec
from kolo.types import LoadParams

SHORT_WAIT_S = 2.0
"""A pause after crashes that a request waits out; a longer one it is told of."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the entries of one manager share."""

    limits: Limits
    sink: Sink
    gauge: Gauge
    cores: Cores
    backend: str
    clock: Callable[[], float]
    make_room: Callable[[Entry], Awaitable[Need]]
    """Reserve memory for an entry in ``entry.held``, or raise; the parameters to load with."""
    clear_room: Callable[[Entry], Awaitable[bool]]
    """Evict all that is idle; whether anything was."""
    explain: Callable[[Entry, Need, OutOfMemory], OutOfMemory]
    """The error of a load that found no memory, with the numbers."""
    changed: Callable[[], None]
    """Something happened that somebody may wait for."""
    prefixes: PrefixFolder | None = None
    """Where what is cached is saved; None does not."""


@dataclass(eq=False)
class Entry:
    """One engine, loaded or not."""

    spec: ModelSpec
    around: Surroundings
    backoff: Backoff
    explicit: bool
    """Registered or loaded by name: kept as it is. Else found by a reference, and looked up
    again before the next load."""
    pinned: bool
    ttl_s: float
    """Idle time after which it is unloaded; 0 for never."""
    state: State = "unloaded"
    stage: str = ""
    progress: float = 0.0
    error: KoloError | None = None
    engine: Engine | None = None
    pid: int | None = None
    leases: int = 0
    last_used: float = 0.0
    held: Pools = field(default_factory=dict)
    """Memory reserved while loading, and held once loaded."""
    _task: asyncio.Task[None] | None = None
    _outcome: asyncio.Future[Engine] | None = None
    _reason: str = ""

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def retired(self) -> bool:
        """Whether it only finishes what it began: nothing new is to come to it."""
        return self.spec.source == "retired"

    @property
    def alive(self) -> bool:
        """Whether there is, or is about to be, or still is a worker."""
        return self.state not in ("unloaded", "failed")

    @property
    def use(self) -> Use:
        """Whether it may be evicted, for the budget."""
        if self.pinned and self.state != "unloading":
            return "pinned"
        return "idle" if self.state == "loaded" and not self.leases else "busy"

    @property
    def expires_at(self) -> float | None:
        """When its idle time is over, on the manager's clock; None while none is counting."""
        if self.use != "idle" or not self.ttl_s:
            return None
        return self.last_used + self.ttl_s

    # Those who use it --------------------------------------------------------------------

    @contextmanager
    def leased(self) -> Iterator[None]:
        """Count one user for as long as the block runs."""
        self.leases += 1
        self.last_used = self.around.clock()
        try:
            yield
        finally:
            self.leases -= 1
            self.last_used = self.around.clock()
            if not self.leases:
                self.around.changed()

    async def pause(self) -> bool:
        """Wait out a short pause after crashes; False if there was none to wait for.

        Raises the last failure, with the time to wait, while the pause is long.
        """
        wait_s = self.backoff.wait_s(self.around.clock())
        if not wait_s:
            return False
        if wait_s > SHORT_WAIT_S:
            last = self.error or EngineCrashed(f"engine {self.id!r} crashed")
            again = from_info(last.info())
            again.retry_after_s = round(wait_s, 1)
            raise again
        await asyncio.sleep(wait_s)
        return True

    async def outcome(self) -> Engine:
        """How the load under way ends: the engine, or its error. Giving up leaves it running."""
        assert self._outcome is not None
        try:
            return await asyncio.shield(self._outcome)
        except KoloError as error:
            raise from_info(error.info()) from error

    async def settled(self) -> None:
        """Wait until nothing is under way any more, whatever comes of it."""
        if self._task is not None:
            await asyncio.wait({self._task})

    # Transitions -------------------------------------------------------------------------

    def begin_load(self) -> None:
        """unloaded or failed → loading."""
        assert not self.alive, self.state
        self.state, self.error, self._reason = "loading", None, ""
        self.stage, self.progress = "memory", 0.0
        self._outcome = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._load(), name=f"load {self.id}")
        self._task.add_done_callback(self._never_began)

    def begin_unload(self, reason: str) -> None:
        """loaded → unloading; loading → told to give up; any other state is left as it is."""
        if self.state == "loaded":
            self.state = "unloading"
            self._task = asyncio.create_task(self._unload(reason), name=f"unload {self.id}")
        elif self.state == "loading" and not self._reason:
            self._reason = reason
            assert self._task is not None
            self._task.cancel()

    def forgive(self) -> None:
        """failed → unloaded, with no pause before the next load."""
        self.backoff.reset()
        if self.state == "failed":
            self._settle("unloaded")

    def measure(self) -> None:
        """Let what the worker really uses replace what was reserved for it."""
        if self.engine is not None and self.state == "loaded":
            report = self.engine.info.buffers
            self.held = self.around.gauge.held(self.engine.pid, self.held, report)

    def status(self) -> EngineStatus:
        engine, expires_at = self.engine, self.expires_at
        remaining_s = None if expires_at is None else max(expires_at - self.around.clock(), 0.0)
        return EngineStatus(
            id=self.id,
            state=self.state,
            stage=self.stage,
            progress=self.progress,
            error=self.error.info() if self.error is not None else None,
            pid=self.pid,
            in_flight=engine.in_flight if engine is not None else 0,
            leases=self.leases,
            pinned=self.pinned,
            ttl_s=float(self.ttl_s),
            expires_s=remaining_s,
            memory_bytes=self.held.get(HOST, 0),
            device_bytes=on_gpus(self.held),
            last_used=self.last_used,
            source=self.spec.source,
            path=str(self.spec.path),
            aliases=self.spec.aliases,
            description=self.spec.description,
            params=self.spec.params,
            info=engine.info if engine is not None else None,
        )

    # Under way ---------------------------------------------------------------------------

    async def _load(self) -> None:
        assert self._outcome is not None
        try:
            need = await self.around.make_room(self)
            self.engine = await self._start(need)
        except asyncio.CancelledError:
            self._give_up()
        except KoloError as error:
            self._lose(error)
        except Exception as error:
            self._lose(internal(error))
        else:
            self._settle("loaded")
            self.backoff.up(self.around.clock())
            self.measure()
            self._outcome.set_result(self.engine)
            tell(self.around.sink.loaded, self.id, self.engine.info, self.engine.load_ms)
            await self._learn(need, self.engine)

    async def _learn(self, need: Need, engine: Engine) -> None:
        """What the load has come to. The driver of a GPU may take its time to tell, and much may
        happen meanwhile."""
        await self.around.gauge.refresh()
        if engine is self.engine and self.state == "loaded":
            self.measure()
            self.around.gauge.learn(self.spec, need, self.held)

    def _never_began(self, load: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step runs none of its code."""
        if load.cancelled() and load is self._task:
            self._give_up()

    def _give_up(self) -> None:
        self._lose(EngineStopped(f"the load of {self.id!r} was given up: {self._reason}"))

    async def _start(self, need: Need) -> Engine:
        try:
            try:
                return await self._spawn(need.params)
            except OutOfMemory:
                # The estimate was too low: once more, with all that is idle out of the way.
                if not await self.around.clear_room(self):
                    raise
                return await self._spawn(need.params)
        except OutOfMemory as error:
            raise self.around.explain(self, need, error) from error

    async def _spawn(self, params: LoadParams) -> Engine:
        limits, sink = self.around.limits, self.around.sink
        prefixes = self.around.prefixes
        saving = prefixes.saving(self.spec) if prefixes is not None else None
        load = wire.Load(str(self.spec.path), params, self.around.backend, saving)
        try:
            process = await WorkerProcess.start(
                load,
                log_path=log_path(limits.log_folder, self.id),
                deadline_ms=limits.load_deadline_ms,
                on_spawn=self._on_spawn,
                on_loading=self._on_loading,
                on_note=lambda note: tell(sink.note, self.id, note.level, note.message),
            )
        except KoloError:
            self.backoff.failed(self.around.clock())
            raise
        return Engine(
            self.id,
            self.spec,
            process,
            max_queue=limits.max_queue,
            sink=sink,
            on_crash=self._crashed,
            cores=self.around.cores,
            clock=self.around.clock,
            silence_ms=limits.silence_ms,
        )

    def _on_spawn(self, pid: int) -> None:
        self.pid = pid

    def _on_loading(self, frame: wire.Loading) -> None:
        self.stage, self.progress = frame.stage, frame.fraction
        tell(self.around.sink.loading, self.id, frame.stage, frame.fraction)

    def _lose(self, error: KoloError) -> None:
        assert self._outcome is not None
        given_up = isinstance(error, EngineStopped)
        self._settle("unloaded" if given_up else "failed", error)
        self._outcome.set_exception(error)
        self._outcome.exception()  # whoever waits has it; nobody waiting is no defect
        if given_up:
            tell(self.around.sink.unloaded, self.id, self._reason)
        else:
            tell(self.around.sink.refused, self.id, error)

    async def _unload(self, reason: str) -> None:
        assert self.engine is not None
        grace_ms, prefixes = self.around.limits.stop_grace_ms, self.around.prefixes
        farewell = prefixes.stop() if prefixes is not None and prefixes.save_ms else None
        try:
            await self.engine.stop(reason, grace_ms=grace_ms, farewell=farewell)
            if prefixes is not None:
                await asyncio.to_thread(prefixes.trim)
        finally:
            self._settle("unloaded")
            tell(self.around.sink.unloaded, self.id, reason)

    def _crashed(self, engine: Engine, error: KoloError) -> None:
        """loaded → failed. In any other state the end of the worker is waited for anyway."""
        if engine is self.engine and self.state == "loaded":
            self.backoff.failed(self.around.clock())
            self._settle("failed", error)
            tell(self.around.sink.crashed, self.id, error.message)

    def _settle(self, state: State, error: KoloError | None = None) -> None:
        """Come to rest in ``state``; with no worker left, nothing is held."""
        self.state, self._task = state, None
        self.stage, self.progress = "", 0.0
        self.error = error if state == "failed" else None
        self.last_used = self.around.clock()
        if state != "loaded":
            self.engine, self.pid, self.held = None, None, {}
        self.around.changed()
