"""From one reading of the settings to the next, while engines run.

What the settings say of an engine is compared, before and after, and nothing else: parameters that
were given at run time stay as they are unless the settings change the very engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from msgspec.structs import replace

from kolo.config import Settings
from kolo.errors import KoloError
from kolo.manager.entry import Entry
from kolo.manager.limits import Limits
from kolo.models.resolve import ModelSpec, resolve


@dataclass
class Renewed:
    """Ids of engines. Those that are in neither list go on as they are."""

    changed: list[str] = field(default_factory=list)
    """Finish what they began, and are loaded anew when next asked for."""
    removed: list[str] = field(default_factory=list)
    """Finish what they began, and are known no more."""


class Word(NamedTuple):
    """What two readings of the settings say of one engine; None where one does not name it."""

    before: ModelSpec | None
    after: ModelSpec | None

    @property
    def reloads(self) -> bool:
        """Whether a worker that runs is out of date."""
        before, after = self.before, self.after
        if before is None or after is None:
            return True
        return (before.path, before.params) != (after.path, after.params)


def compared(ids: Iterable[str], old: Settings, new: Settings) -> dict[str, Word]:
    """What is said of each engine. It looks at disks, and may take a while."""
    return {id: Word(_said(id, old), _said(id, new)) for id in ids}


def concerns(said: Word, entry: Entry, new: Settings) -> bool:
    """Whether ``entry`` must change. What is not there now, file or folder, may come back: only an
    engine whose section is gone from the settings goes with it."""
    if said.before == said.after:
        return False
    return said.after is not None or (entry.spec.source == "config" and entry.id not in new.models)


def adopt(entry: Entry, said: Word, limits: Limits) -> None:
    """Let ``entry`` be as the settings say now, but for what was asked of it at run time."""
    before, after = said
    assert after is not None
    entry.spec = after if said.reloads else replace(after, params=entry.spec.params)
    if before is None or before.pin != after.pin:
        entry.pinned = after.pin
    if before is None or before.ttl_s != after.ttl_s:
        entry.ttl_s = limits.idle_unload_s if after.ttl_s is None else after.ttl_s


def adopt_limits(limits: Limits, old: Settings, new: Settings) -> None:
    """Take over each limit that ``new`` has another value for."""
    before, after = Limits.from_settings(old), Limits.from_settings(new)
    for each in fields(Limits):
        value = getattr(after, each.name)
        if each.name != "backoff" and value != getattr(before, each.name):
            setattr(limits, each.name, value)
    if old.manager != new.manager:
        limits.backoff = after.backoff


def _said(id: str, settings: Settings) -> ModelSpec | None:
    try:
        spec = resolve(id, settings)
    except KoloError:  # a file that is not there, or a name that is none
        return None
    return spec if spec.id == id else None
