"""What happens to engines, told to everybody who listens, as it happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct

from kolo.errors import Busy, EngineCrashed, KoloError
from kolo.manager.sink import NullSink
from kolo.types import ModelInfo

MAX_BEHIND = 512
"""Events a listener may be behind; one that is slower is cut off, and may listen again."""


class Event(Struct, frozen=True, kw_only=True):
    """One change of an engine, of a download, whose name is then in ``engine``, or of all that can
    be asked for, which is ``*``."""

    engine: str
    kind: Literal[
        "loading",
        "loaded",
        "unloaded",
        "failed",
        "removed",
        "downloading",
        "downloaded",
        "download_failed",
        "reloaded",
    ]
    stage: str = ""
    fraction: float = 0.0
    """Of the stage, 0 to 1, while loading."""
    reason: str = ""
    """Why it was unloaded, or failed."""
    code: str = ""
    """Of the error that it failed with."""
    load_ms: float = 0.0
    info: ModelInfo | None = None
    url: str = ""
    """What is downloaded."""
    done_bytes: int = 0
    total_bytes: int | None = None


class Listener:
    """One who reads the feed. Lives on one event loop."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._over = False
        self._news = asyncio.Event()

    async def next(self) -> Event | None:
        """The next event; None when no more will come. Cancelling it loses nothing."""
        while not self._events and not self._over:
            self._news.clear()
            await self._news.wait()
        return self._events.popleft() if self._events else None

    def put(self, event: Event) -> None:
        if len(self._events) >= MAX_BEHIND:
            self.close()
        if not self._over:
            self._events.append(event)
            self._news.set()

    def close(self) -> None:
        """What waits can still be read; nothing follows."""
        self._over = True
        self._news.set()


class Feed(NullSink):
    """A sink of the manager that passes on. ``heard`` is called with each event too, at once."""

    def __init__(self, heard: Callable[[Event], None] | None = None) -> None:
        self._heard = heard
        self._listeners: set[Listener] = set()
        self._loaded: set[str] = set()
        self._closed = False

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A listener that hears everything for as long as the block runs."""
        listener = Listener()
        if self._closed:
            listener.close()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Let every listener come to its end, those to come as well: the server stops."""
        self._closed = True
        for listener in self._listeners:
            listener.close()

    def removed(self, id: str) -> None:
        """The engine is known no more."""
        self._tell(Event(engine=id, kind="removed"))

    def reloaded(self) -> None:
        """The settings were read anew."""
        self._tell(Event(engine="*", kind="reloaded"))

    def downloading(self, id: str, url: str, done_bytes: int, total_bytes: int | None) -> None:
        self._tell(
            Event(
                engine=id,
                kind="downloading",
                url=url,
                done_bytes=done_bytes,
                total_bytes=total_bytes,
            )
        )

    def downloaded(self, id: str, n_bytes: int) -> None:
        self._tell(Event(engine=id, kind="downloaded", done_bytes=n_bytes, total_bytes=n_bytes))

    def download_failed(self, id: str, reason: str, code: str) -> None:
        self._tell(Event(engine=id, kind="download_failed", reason=reason, code=code))

    def loading(self, id: str, stage: str, fraction: float) -> None:
        self._tell(Event(engine=id, kind="loading", stage=stage, fraction=fraction))

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._loaded.add(id)
        self._tell(Event(engine=id, kind="loaded", load_ms=load_ms, info=info))

    def unloaded(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        self._tell(Event(engine=id, kind="unloaded", reason=reason))

    def crashed(self, id: str, reason: str) -> None:
        self._loaded.discard(id)
        self._tell(Event(engine=id, kind="failed", reason=reason, code=EngineCrashed.code))

    def refused(self, id: str, error: KoloError) -> None:
        if isinstance(error, Busy) and id in self._loaded:
            return  # a request that was turned away says nothing of the engine
        self._tell(Event(engine=id, kind="failed", reason=error.message, code=error.code))

    def _tell(self, event: Event) -> None:
        if self._heard is not None:
            self._heard(event)
        for listener in self._listeners:
            listener.put(event)
