"""Engines that give way to others: to another version of their model, or to other settings.

One that is in use finishes what it began, under a name of its own that no request can mean, while
what is new comes to its successor. Both may be loaded for a while; where memory is short, the
successor waits for the other to be idle, as for any.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from kolo.config import Settings
from kolo.manager.entry import Entry, Surroundings
from kolo.manager.renewal import Renewed, Word, adopt, adopt_limits, compared, concerns
from kolo.manager.room import Room
from kolo.models.resolve import ModelSpec


class Succession:
    """Works on the entries of one manager, by id. Lives on its event loop."""

    def __init__(self, entries: dict[str, Entry], around: Surroundings, room: Room) -> None:
        self._entries = entries
        self._around = around
        self._room = room
        self._leaving: set[asyncio.Task[None]] = set()

    def supersede(self, entry: Entry, spec: ModelSpec, mark: str, why: str) -> Entry:
        """An engine for ``spec`` in the place of ``entry``, which is called ``ID@mark`` from now
        on, and is unloaded because of ``why`` when it is idle."""
        backoff = self._around.limits.backoff()
        new = Entry(spec, self._around, backoff, entry.explicit, entry.pinned, entry.ttl_s)
        self._entries[entry.id] = new
        self._retire(entry, mark, why)
        return new

    async def follow(self, old: Settings, new: Settings) -> Renewed:
        """See ``Manager.follow``."""
        limits = self._around.limits
        default_ttl_s = limits.idle_unload_s
        adopt_limits(limits, old, new)
        renewed = Renewed()
        words = await asyncio.to_thread(compared, [*self._entries], old, new)
        for id, said in words.items():
            entry = self._entries.get(id)
            if entry is None or entry.retired:
                continue
            if concerns(said, entry, new):
                self._renew(entry, said, renewed)
            elif entry.spec.ttl_s is None and entry.ttl_s == default_ttl_s:
                entry.ttl_s = limits.idle_unload_s
        return renewed

    def give_up(self) -> None:
        """Leave those that still finish something to whoever ends them all."""
        for leaving in self._leaving:
            leaving.cancel()

    def _renew(self, entry: Entry, said: Word, renewed: Renewed) -> None:
        """Have ``entry`` be what the settings say by now."""
        entry.forgive()
        if said.after is None:
            renewed.removed.append(entry.id)
            self._retire(entry, "former", "it is not in the settings any more")
            return
        if said.reloads:
            renewed.changed.append(entry.id)
            if entry.alive and entry.leases:
                entry = self.supersede(entry, said.after, "former", "its settings changed")
            else:
                entry.begin_unload("its settings changed")
        adopt(entry, said, self._around.limits)

    def _retire(self, entry: Entry, mark: str, why: str) -> None:
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]
        if not entry.alive:
            return
        entry.spec = replace(entry.spec, id=self._free_id(f"{entry.id}@{mark}"))
        entry.spec = replace(entry.spec, aliases=(), source="retired", stored="")
        entry.pinned = False
        self._entries[entry.id] = entry
        leaving = asyncio.create_task(self._see_off(entry, why), name=f"see off {entry.id}")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _see_off(self, entry: Entry, why: str) -> None:
        """Unload an engine when nobody uses it any more, and know it no longer."""
        while entry.leases:
            await self._room.change(None)
        entry.begin_unload(why)
        await entry.settled()
        if self._entries.get(entry.id) is entry:
            del self._entries[entry.id]

    def _free_id(self, id: str) -> str:
        while id in self._entries:
            id += "+"
        return id
