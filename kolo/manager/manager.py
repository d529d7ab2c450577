"""All engines of one process: find, load once, lease, evict, unload when idle, restart.

The life of a single engine is in ``entry``, who must go for whom in ``room`` and ``budget``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
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
from kolo.manager.gpus import ReadGpus
from kolo.manager.limits import Limits
from kolo.manager.outlook import Outlook
from kolo.manager.renewal import Renewed
from kolo.manager.room import Room
from kolo.manager.saved import PrefixFolder
from kolo.manager.sink import NullSink, Sink
from kolo.manager.status import EngineStatus
from kolo.manager.succession import Succession
from kolo.models.resolve import ModelSpec, overridden, refreshed, resolve
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
        prefixes: PrefixFolder | None = None,
        read_gpus: ReadGpus | None = None,
    ) -> None:
        """``prefixes`` is where engines that are unloaded save what they have cached;
        ``read_gpus`` tells the budget of GPUs."""
        self._settings = settings
        self._limits = limits or Limits.from_settings(settings)
        if gauge is None:
            real = backend == "llama"
            gauge = MachineGauge(self._limits.memory_budget, read_gpus) if real else NoGauge()
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
            explain=self._room.explain,
            changed=self._room.changed,
            prefixes=prefixes,
        )
        self._idle: asyncio.Task[None] | None = None
        self._succession = Succession(self._entries, self._around, self._room)
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
        entry = await self._find(reference, allow_paths)
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
        on_found: Callable[[], None] = lambda: None,
    ) -> Engine:
        """Load now, at once even after crashes, and say how to keep it.

        ``overrides`` are fields of LoadParams by name, which replace the engine's own; ``pin``
        and ``ttl_s`` (seconds idle; 0 for ever) replace what was. Under a new ``id`` the same
        model becomes another engine. An idle engine with other parameters is loaded anew; a busy
        one raises Busy. Otherwise raises as ``lease``. ``on_found`` is called when it is known
        what to load, which begins with the same step of the event loop.
        """
        if id is None:
            entry = await self._find(reference, allow_paths)
            wanted = entry.spec
        else:
            wanted = replace(await self._spec(reference, allow_paths), id=id, aliases=())
            entry = self._add(wanted, explicit=True)
        on_found()
        if overrides:
            wanted = overridden(wanted, overrides, self._settings)
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

    async def foresee(
        self,
        reference: str,
        *,
        overrides: Mapping[str, Any] | None = None,
        id: str | None = None,
        allow_paths: bool = True,
    ) -> Outlook:
        """What ``load`` would come to now; nothing is loaded or unloaded. Raises ModelNotFound,
        ModelInvalid, or BadParameter for what cannot be overridden so."""
        spec = await self._spec(reference, allow_paths)
        if id is not None:
            spec = replace(spec, id=id, aliases=())
        if overrides:
            spec = overridden(spec, overrides, self._settings)
        return await self._room.foresee(spec)

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
                if self._around.prefixes is not None:
                    await asyncio.to_thread(self._around.prefixes.forget, entry.spec)
                return
        raise _unknown(id)

    def list(self) -> list[EngineStatus]:
        """Every engine that is registered or was ever asked for, oldest first."""
        for entry in self._entries.values():
            entry.measure()
        return [entry.status() for entry in self._entries.values()]

    async def follow(self, settings: Settings) -> Renewed:
        """Go over to other settings. An engine of which they say the same is not touched; one of
        which they say something else finishes what it began and is loaded anew when it is next
        asked for; one that they name no more finishes likewise and is known no longer."""
        old, self._settings = self._settings, settings
        renewed = await self._succession.follow(old, settings)
        for engine in self.loaded():
            engine.max_queue = self._limits.max_queue
        self._room.changed()
        return renewed

    def loaded(self) -> tuple[Engine, ...]:
        """Every engine that can take a request now, oldest first."""
        entries = self._entries.values()
        return tuple(e.engine for e in entries if e.engine is not None and e.state == "loaded")

    @property
    def log_folder(self) -> Path:
        """Where the logs of engines lie (``manager.logs``)."""
        return self._limits.log_folder

    async def close(self, *, save_s: float | None = None) -> None:
        """Stop every worker and reap it; open streams fail. Safe to call again, and at any
        time; a caller that goes away does not stop it. ``save_s`` is the longest that saving
        what is cached may take."""
        if self._closing is None:
            if save_s is not None and self._around.prefixes is not None:
                self._around.prefixes.save_ms = round(save_s * 1000)
            self._closing = asyncio.create_task(self._close(), name="close the manager")
        await asyncio.shield(self._closing)

    def hurry(self) -> None:
        """Let engines that are being unloaded save no more."""
        for entry in self._entries.values():
            if entry.state == "unloading" and entry.engine is not None:
                entry.engine.hurry()

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

    async def _find(self, reference: str, allow_paths: bool) -> Entry:
        """The entry of ``reference``; one nobody registered is looked up anew for each load."""
        entry = self._known(reference)
        if entry is None or entry.retired or not (entry.explicit or entry.alive):
            entry = self._add(await self._spec(reference, allow_paths), explicit=False)
        return self._current(entry)

    async def _spec(self, reference: str, allow_paths: bool) -> ModelSpec:
        entry = self._known(reference)
        if entry is not None and entry.explicit and not entry.retired:
            return refreshed(entry.spec, self._settings)
        # In a thread: it may look through folders that are large, or on a disk far away.
        return await asyncio.to_thread(resolve, reference, self._settings, allow_paths=allow_paths)

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
        version = entry.spec.path.parent.name
        return self._succession.supersede(
            entry, spec, version, "another version of the model is in use"
        )

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
        self._succession.give_up()
        entries = [*self._entries.values()]
        for entry in entries:
            entry.begin_unload("the server is stopping")
        for entry in entries:
            await entry.settled()


def _unknown(id: str) -> ModelNotFound:
    return ModelNotFound(
        f"there is no engine {id!r}", hint="List the engines to see their names.", param="model"
    )
