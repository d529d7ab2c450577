"""All engines of one process: find, load once, lease, evict, unload when idle, restart.

The life of a single engine is in ``entry``, who must go for whom in ``room`` and ``budget``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import (
    Busy,
    DeadlineExceeded,
    EngineStopped,
    KoloError,
    ModelNotFound,
)
from kolo.manager.cores import Cores
from kolo.manager.engine import Engine
from kolo.manager.entry import Entry, Surroundings
from kolo.manager.gauge import Gauge, MachineGauge, NoGauge
from kolo.manager.limits import Limits
from kolo.manager.room import Room
from kolo.manager.sink import NullSink, Sink
from kolo.manager.status import EngineStatus
from kolo.models.resolve import ModelSpec, refreshed, resolve
from kolo.models.usage import mark_used


class Manager:
    """Lives on one event loop. Close it, or use it as ``async with``, to end its workers."""

    def __init__(
        self,
        settings: Settings,
        *,
        sink: Sink | None = None,
        backend: str = "llama",
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self._settings = settings
        self._limits = limits or Limits.from_settings(settings)
        if gauge is None:
            real = backend == "llama"
            gauge = MachineGauge(self._limits.memory_budget) if real else NoGauge()
        self._entries: dict[str, Entry] = {}
        self._room = Room(self._limits, gauge, self._entries.values)
        self._clock = clock
        self._around = Surroundings(
            limits=self._limits,
            sink=sink or NullSink(),
            gauge=gauge,
            cores=Cores(),
            backend=backend,
            clock=clock,
            make_room=self._room.make,
            clear_room=self._room.clear,
            changed=self._room.changed,
        )
        self._idle: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Manager:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Use -------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, reference: str, *, deadline_ms: float | None = None, allow_paths: bool = True
    ) -> AsyncIterator[Engine]:
        """The engine of ``reference``, loaded if need be, and kept for as long as the block runs.

        However many ask at once, it is loaded once. ``allow_paths`` is that of ``resolve``.
        Raises ModelNotFound, whatever the load failed with, OutOfMemory or Busy when there is
        no room, the last failure with ``retry_after_s`` while a worker that keeps crashing is
        left alone, and DeadlineExceeded after ``deadline_ms``, the load going on.
        """
        entry = self._find(reference, allow_paths)
        with entry.leased():
            try:
                async with asyncio.timeout(deadline_ms and deadline_ms / 1000):
                    engine = await self._ready(entry)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"{entry.id!r} was not loaded within {deadline_ms:g} ms",
                    hint="The load goes on: ask again, or allow more time.",
                ) from None
            yield engine

    async def load(
        self,
        reference: str,
        *,
        overrides: Mapping[str, Any] | None = None,
        pin: bool | None = None,
        ttl_s: float | None = None,
        id: str | None = None,
        allow_paths: bool = True,
    ) -> Engine:
        """Load now, at once even after crashes, and say how to keep it.

        ``overrides`` are fields of LoadParams by name, which replace the engine's own; ``pin``
        and ``ttl_s`` (seconds idle; 0 for ever) replace what was. Under a new ``id`` the same
        model becomes another engine. An idle engine with other parameters is loaded anew; a busy
        one raises Busy. Otherwise raises as ``lease``.
        """
        if id is None:
            entry = self._find(reference, allow_paths)
            wanted = entry.spec
        else:
            wanted = replace(self._spec(reference, allow_paths), id=id, aliases=())
            entry = self._add(wanted, explicit=True)
        if overrides:
            wanted = replace(wanted, params=replace(wanted.params, **overrides))
        while entry.alive and entry.spec != wanted:
            if entry.leases:
                raise Busy(
                    f"engine {entry.id!r} is in use with other parameters",
                    hint="Unload it first, or load the model under another id.",
                    retry_after_s=5.0,
                )
            entry.begin_unload("loaded again with other parameters")
            await entry.settled()
        before, entry.spec = entry.spec, wanted
        entry.explicit = True
        if pin is not None:
            entry.pinned = pin
        if ttl_s is not None:
            entry.ttl_s = ttl_s
        entry.forgive()
        try:
            with entry.leased():
                return await self._ready(entry)
        except KoloError:
            if entry.spec is wanted and not entry.alive:
                entry.spec = before  # the next request is not to meet what could not be loaded
            raise

    async def unload(self, id: str, *, force: bool = False) -> None:
        """End the engine's worker, or its load; one that is not loaded is left as it is.

        Raises Busy while it is leased, unless ``force``, which fails what is open.
        """
        entry = self._known(id)
        if entry is None:
            raise _unknown(id)
        if entry.alive and entry.leases and not force:
            raise Busy(
                f"engine {id!r} is in use by {entry.leases} requests",
                hint="Wait for them to end, or force it.",
                retry_after_s=5.0,
            )
        entry.forgive()
        entry.begin_unload("requested")
        await entry.settled()

    # What there is ---------------------------------------------------------------------

    def register(self, spec: ModelSpec) -> None:
        """Know an engine without loading it; a registration of the same id is replaced.

        A worker that runs keeps what it was loaded with until it is unloaded. Raises Busy for
        the id of an engine that is in use.
        """
        entry = self._entries.get(spec.id)
        if entry is not None and entry.alive and entry.spec != spec:
            raise Busy(
                f"engine {spec.id!r} is loaded with other parameters",
                hint="Unload it first, or register the model under another id.",
            )
        self._add(spec, explicit=True)

    async def forget(self, id: str, *, force: bool = False) -> None:
        """Unload an engine and know it no more; its files stay. Raises as ``unload``."""
        entry = self._known(id)
        while entry is not None:
            await self.unload(entry.id, force=force)
            if not entry.alive:  # else a lease that waited for the end has loaded it again
                if self._entries.get(entry.id) is entry:
                    del self._entries[entry.id]
                return
        raise _unknown(id)

    def list(self) -> list[EngineStatus]:
        """Every engine that is registered or was ever asked for, oldest first."""
        for entry in self._entries.values():
            entry.measure()
        return [entry.status() for entry in self._entries.values()]

    def loaded(self) -> tuple[Engine, ...]:
        """Every engine that can take a request now, oldest first."""
        entries = self._entries.values()
        return tuple(e.engine for e in entries if e.engine is not None and e.state == "loaded")

    async def close(self) -> None:
        """Stop every worker and reap it; open streams fail. Safe to call again, and at any
        time; a caller that goes away does not stop it."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close the manager")
        await asyncio.shield(self._closing)

    # Inside ----------------------------------------------------------------------------

    async def _ready(self, entry: Entry) -> Engine:
        """The engine of ``entry``, whatever it takes. The caller holds a lease."""
        while True:
            self._check(entry)
            match entry.state:
                case "loaded":
                    assert entry.engine is not None
                    return entry.engine
                case "loading":
                    return await entry.outcome()
                case "unloading":
                    await entry.settled()
                case _:
                    if not await entry.pause():
                        self._watch_idle()
                        self._note_use(entry.spec)
                        entry.begin_load()

    def _note_use(self, spec: ModelSpec) -> None:
        if spec.source != "path":
            mark_used(self._settings, spec.stored or spec.id)

    def _check(self, entry: Entry) -> None:
        """Raise if ``entry`` may no longer be loaded."""
        if self._closing is not None:
            raise EngineStopped("the engine manager is closed", hint="Start it again.")
        if self._entries.get(entry.id) is not entry:
            raise _unknown(entry.id)

    def _known(self, name: str) -> Entry | None:
        """The engine that ``name`` is the id or an alias of."""
        if entry := self._entries.get(name):
            return entry
        return next((e for e in self._entries.values() if name in e.spec.aliases), None)

    def _find(self, reference: str, allow_paths: bool) -> Entry:
        """The entry of ``reference``; one nobody registered is looked up anew for each load."""
        entry = self._known(reference)
        if entry is None or entry.retired or not (entry.explicit or entry.alive):
            entry = self._add(self._spec(reference, allow_paths), explicit=False)
        return self._current(entry)

    def _spec(self, reference: str, allow_paths: bool) -> ModelSpec:
        entry = self._known(reference)
        if entry is not None and entry.explicit and not entry.retired:
            return refreshed(entry.spec, self._settings)
        return resolve(reference, self._settings, allow_paths=allow_paths)

    def _current(self, entry: Entry) -> Entry:
        """``entry``, or where the store has another version of its model by now, one with that.

        The old one finishes what it began and takes nothing new. Both may be loaded for a
        while; where memory is short, the new one waits for the old to be idle, as for any.
        """
        try:
            spec = refreshed(entry.spec, self._settings)
        except KoloError:
            if not entry.alive:
                raise
            return entry  # what runs goes on, whatever became of its files
        if spec == entry.spec:
            return entry
        if not entry.alive:
            entry.spec = spec
            return entry
        old, backoff = entry.spec, self._limits.backoff()
        new = Entry(spec, self._around, backoff, entry.explicit, entry.pinned, entry.ttl_s)
        self._entries[entry.id] = new
        entry.spec = replace(old, id=self._free_id(f"{old.id}@{old.path.parent.name}"))
        entry.spec = replace(entry.spec, aliases=(), source="retired", stored="")
        entry.pinned = False
        self._entries[entry.id] = entry
        leaving = asyncio.create_task(self._see_off(entry), name=f"see off {entry.id}")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        return new

    async def _see_off(self, entry: Entry) -> None:
        """Unload an engine when nobody uses it any more, and know it no longer."""
        while entry.leases:
            await self._room.change(None)
        entry.begin_unload("another version of the model is in use")
        await entry.settled()
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]

    def _free_id(self, id: str) -> str:
        while id in self._entries:
            id += "+"
        return id

    def _add(self, spec: ModelSpec, *, explicit: bool) -> Entry:
        entry = self._entries.get(spec.id)
        ttl_s = self._limits.idle_unload_s if spec.ttl_s is None else spec.ttl_s
        if entry is None:
            backoff = self._limits.backoff()
            entry = Entry(spec, self._around, backoff, explicit, spec.pin, ttl_s)
            self._entries[spec.id] = entry
        elif not entry.alive and (explicit or not entry.explicit):
            entry.spec, entry.explicit = spec, explicit
            entry.pinned, entry.ttl_s = spec.pin, ttl_s
        return entry

    def _watch_idle(self) -> None:
        if self._idle is None:
            self._idle = asyncio.create_task(self._unload_idle(), name="unload idle engines")

    async def _unload_idle(self) -> None:
        """Sleep until the next idle engine is due or anything changes, for ever."""
        while True:
            now = self._clock()
            due = {e: at for e in self._entries.values() if (at := e.expires_at) is not None}
            for entry in [entry for entry, at in due.items() if at <= now]:
                entry.begin_unload("idle")
                del due[entry]
            await self._room.change(min(due.values()) - now if due else None)

    async def _close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            await asyncio.wait({self._idle})
        for leaving in self._leaving:
            leaving.cancel()
        entries = [*self._entries.values()]
        for entry in entries:
            entry.begin_unload("the engine manager is closing")
        for entry in entries:
            await entry.settled()


def _unknown(id: str) -> ModelNotFound:
    return ModelNotFound(
        f"there is no engine {id!r}", hint="List the engines to see their names.", param="model"
    )
