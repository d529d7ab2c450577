"""GET /logs: what the server said, in Kolosal's form, and what llama.cpp says for each engine."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response

from kolo.errors import ModelNotFound
from kolo.logfile import AGAIN_S, MAX_LINES, Follower, LogLine, find_logs, parsed
from kolo.manager.logs import log_path
from kolo.server.recent import Recent
from kolo.server.route import READ, Route, json_reply
from kolo.server.service import Service
from kolo.server.sse import HEARTBEAT, SSE, event

DEFAULT_LINES = 200


class LogsQuery(Struct, frozen=True, kw_only=True):
    engine: Annotated[
        str, Meta(max_length=512, description="Whose log; without it, the server's own.")
    ] = ""
    n: Annotated[int, Meta(ge=0, le=MAX_LINES, description="The last so many lines.")] = (
        DEFAULT_LINES
    )
    follow: Annotated[
        bool, Meta(description="Go on with each new line, as server-sent events.")
    ] = False


class LogsReply(Struct, kw_only=True):
    """Oldest first."""

    logs: list[LogLine]
    total_count: int
    retrieved_at: str
    engine: str | UnsetType = UNSET


class _Source(Protocol):
    def lines(self, at_most: int) -> list[LogLine]:
        """What came since the last call; may block."""


class _Own:
    """The server's own log."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._seq = 0

    def lines(self, at_most: int) -> list[LogLine]:
        with self._recent.still():
            found = self._recent.since(self._seq, at_most)
            self._seq = self._recent.seq
        return found


class _OfEngine:
    """The file of an engine."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def lines(self, at_most: int) -> list[LogLine]:
        self._follower.read()
        fresh, self._follower.lines = self._follower.lines, []
        return [parsed(line) for line in fresh[-at_most:]] if at_most else []


async def read_logs(service: Service, query: LogsQuery) -> Response:
    source: _Source = _Own(service.recent)
    if query.engine:
        source = _OfEngine(Follower(await asyncio.to_thread(_file, service, query.engine)))
    first = await asyncio.to_thread(source.lines, query.n)
    if not query.follow:
        return json_reply(
            LogsReply(
                logs=first,
                total_count=len(first),
                retrieved_at=time.strftime("%Y-%m-%d %H:%M:%S"),
                engine=query.engine or UNSET,
            )
        )
    response = Response(_Following(service, source, first), content_type=SSE)
    response.timeout = None
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Following:
    """Lines as they come, until the client leaves or the server stops."""

    def __init__(self, service: Service, source: _Source, first: list[LogLine]) -> None:
        self._held = ExitStack()
        self._stop = self._held.enter_context(service.monitor.feed.listen())
        self._source = source
        self._waiting = first
        self._silence_s = service.options.heartbeat_s

    def __aiter__(self) -> _Following:
        return self

    async def __anext__(self) -> bytes:
        clock = asyncio.get_running_loop().time
        until_s = clock() + self._silence_s
        while not self._waiting:
            if clock() >= until_s:
                return HEARTBEAT
            if await self._is_over():
                raise StopAsyncIteration
            self._waiting = await asyncio.to_thread(self._source.lines, MAX_LINES)
        fresh, self._waiting = self._waiting, []
        return b"".join(event(line) for line in fresh)

    async def aclose(self) -> None:
        self._held.close()

    async def _is_over(self) -> bool:
        """Whether the server stops; takes a moment, or less where an engine has news."""
        try:
            async with asyncio.timeout(AGAIN_S):
                return await self._stop.next() is None
        except TimeoutError:
            return False


def _file(service: Service, name: str) -> Path:
    """The log of the engine that is called ``name``."""
    folder = service.manager.log_folder
    logs = find_logs(folder)
    known = {engine.id: engine.aliases for engine in service.manager.list()}
    id = next((id for id, aliases in known.items() if name == id or name in aliases), name)
    path = log_path(folder, id)
    if path.exists() or id in known:
        return path
    shown = ", ".join(logs) or "none has been loaded yet"
    raise ModelNotFound(
        f"there is no log of an engine {name[:100]!r}",
        hint=f"Those there are: {shown}.",
        param="engine",
    )


ROUTES = [
    Route(
        method="GET",
        paths=("/logs", "/v1/logs", "/server/logs"),
        scopes=READ,
        handler=read_logs,
        tag="Kolosal",
        summary="What the server said last, or with engine what llama.cpp said for an engine; with "
        "follow each new line as it comes",
        query=LogsQuery,
        reply=LogsReply,
        chunk=LogLine,
        errors=(ModelNotFound,),
    ),
]
