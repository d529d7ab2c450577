"""One download that a request asked for, and the engine that is to come of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kolo.errors import KoloError
from kolo.models.resolve import ModelSpec
from kolo.models.sources.partial import part_path
from kolo.models.sources.plan import Plan
from kolo.models.sources.progress import Progress

Status = Literal[
    "downloading",
    "paused",
    "completed",
    "already_complete",
    "failed",
    "cancelled",
    "creating_engine",
    "engine_created",
    "engine_creation_failed",
    "engine_already_exists",
]
ACTIVE: frozenset[Status] = frozenset({"downloading", "paused", "creating_engine"})


class Creation(Struct, frozen=True, kw_only=True):
    """The engine to make of a model once it is there."""

    spec: ModelSpec
    """All but what only the model can say."""
    load: bool
    param: Literal["engine_id", "model_id"]
    """What whoever asked for it calls its id."""
    model_type: Literal["llm", "embedding"] | None = None
    """What the model must be."""


Create = Callable[[Creation, str], Awaitable[None]]
"""Makes an engine of the model of the store with that name."""


@dataclass(slots=True)
class Job:
    """Kolosal calls its ``id`` ``model_id``. Times are unix time in seconds."""

    id: str
    plan: Plan
    folder: Path
    """Of partial files."""
    creation: Creation | None = None
    status: Status = "downloading"
    stale: bool = False
    """Of an earlier run of the server: the source is asked again before more is fetched."""
    progress: Progress | None = None
    path: Path | None = None
    """The file to load, once it is in the store."""
    error: KoloError | None = None
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    adopting: bool = False
    """All of it is there, and is being put into the store."""
    part_bytes: int = 0
    """What an earlier run of the server left of it."""
    task: asyncio.Task[None] | None = None

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def url(self) -> str:
        """What is fetched, without what may be a secret in it."""
        return str(self.plan.reference)

    @property
    def local_path(self) -> Path:
        """Where it is, or for now its first partial file."""
        return self.path or part_path(self.folder, self.plan.files[0].key)

    @property
    def total_bytes(self) -> int | None:
        told = self.progress.total_bytes if self.progress is not None else None
        return told if told is not None else self.plan.size_bytes

    @property
    def done_bytes(self) -> int:
        return self.progress.done_bytes if self.progress is not None else self.part_bytes

    @property
    def elapsed_s(self) -> float:
        return max((self.ended_at or time.time()) - self.started_at, 0.0)

    def end(self, status: Status, error: KoloError | None = None) -> None:
        self.status, self.error = status, error
        self.ended_at = time.time()
