"""A sink that keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kolo.errors import KoloError
from kolo.manager.sink import Finished, NullSink
from kolo.types import ModelInfo


class Recorder(NullSink):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.requests: list[Finished] = []
        self._news = asyncio.Event()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until what was told makes ``happened`` true."""
        while not happened():
            self._news.clear()
            await self._news.wait()

    def _add(self, *event: Any) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[0] == kind]

    def loading(self, id: str, stage: str, fraction: float) -> None:
        self._add("loading", id, stage, fraction)

    def loaded(self, id: str, info: ModelInfo, load_ms: float) -> None:
        self._add("loaded", id)

    def unloaded(self, id: str, reason: str) -> None:
        self._add("unloaded", id, reason)

    def crashed(self, id: str, reason: str) -> None:
        self._add("crashed", id, reason)

    def refused(self, id: str, error: KoloError) -> None:
        self._add("refused", id, type(error).__name__)

    def finished(self, id: str, request: Finished) -> None:
        self.requests.append(request)
        self._news.set()

    def note(self, id: str, level: str, message: str) -> None:
        self._add("note", id, level, message)
