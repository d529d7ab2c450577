"""What has been: figures over a range of time, events, engine runs."""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import Meta, Struct, field
from quart import Response

from kolo.errors import BadParameter, ModelNotFound
from kolo.monitor.history.history import History
from kolo.monitor.history.reader import (
    MAX_ENTRIES,
    HistoryRange,
    HistoryUnavailable,
    NoHistory,
    PastEvent,
    PastRun,
    choose_step,
    find_figures,
)
from kolo.server.route import READ, Route, json_reply
from kolo.server.served import find_served
from kolo.server.service import Service

TAG = "History"
DEFAULT_SPAN_S = 3600.0

Time = Annotated[float, Meta(ge=-1e10, le=1e10)]
Limit = Annotated[int, Meta(ge=1, le=MAX_ENTRIES)]
_FROM = "Unix time in seconds; a negative number counts back from now. Left out: an hour before to"
_TO = "As from. Left out: now"


class HistoryQuery(Struct, frozen=True, kw_only=True):
    metric: Annotated[
        str,
        Meta(min_length=1, max_length=1000, description="One metric, or several with commas"),
    ]
    engine: Annotated[str | None, Meta(description="Left out: all engines together")] = None
    gpu: Annotated[str | None, Meta(description="Such as nvidia:0, for metrics of a GPU")] = None
    from_: Annotated[Time | None, Meta(description=_FROM)] = field(default=None, name="from")
    to: Annotated[Time | None, Meta(description=_TO)] = None
    step: Annotated[
        int | None,
        Meta(description="Seconds of one point. Left out: so that there are 360 at most"),
    ] = None


class EntriesQuery(Struct, frozen=True, kw_only=True):
    engine: str | None = None
    from_: Annotated[Time | None, Meta(description=_FROM)] = field(default=None, name="from")
    to: Annotated[Time | None, Meta(description=_TO)] = None
    limit: Annotated[Limit, Meta(description="The latest so many")] = 100


class EventsReply(Struct, frozen=True):
    events: list[PastEvent]
    """Oldest first."""


class RunsReply(Struct, frozen=True):
    runs: list[PastRun]
    """Oldest first."""


async def figures(service: Service, query: HistoryQuery) -> Response:
    from_at, to_at = _span(query)
    names = [name.strip() for name in query.metric.split(",")]
    engine = await _engine(service, query.engine)
    wanted = find_figures(names, engine=engine, gpu=query.gpu)
    step_s = choose_step(from_at, to_at, query.step)
    name = query.gpu if query.gpu is not None else engine
    found = await _history(service).range(
        wanted, name=name, from_at=from_at, to_at=to_at, step_s=step_s
    )
    return json_reply(found)


async def events(service: Service, query: EntriesQuery) -> Response:
    from_at, to_at = _span(query)
    found = await _history(service).events(
        engine=await _engine(service, query.engine), from_at=from_at, to_at=to_at, limit=query.limit
    )
    return json_reply(EventsReply(found))


async def runs(service: Service, query: EntriesQuery) -> Response:
    from_at, to_at = _span(query)
    found = await _history(service).runs(
        engine=await _engine(service, query.engine), from_at=from_at, to_at=to_at, limit=query.limit
    )
    return json_reply(RunsReply(found))


def _history(service: Service) -> History:
    history = service.monitor.history
    if history is None:
        raise NoHistory("no history is kept", hint="Set history.enabled and restart the server.")
    return history


def _span(query: HistoryQuery | EntriesQuery) -> tuple[float, float]:
    now = time.time()
    to_at = now if query.to is None else _moment(query.to, now)
    from_at = to_at - DEFAULT_SPAN_S if query.from_ is None else _moment(query.from_, now)
    return max(from_at, 0.0), max(to_at, 0.0)


def _moment(at: float, now: float) -> float:
    return now + at if at < 0 else at


async def _engine(service: Service, name: str | None) -> str | None:
    """The id behind an alias. One that is no more may still be in the history."""
    if name is None:
        return None
    try:
        return (await find_served(service, name)).id
    except ModelNotFound:
        return name


_ERRORS = (BadParameter, HistoryUnavailable, NoHistory)

ROUTES = [
    Route(
        method="GET",
        paths=("/v1/monitor/history",),
        scopes=READ,
        handler=figures,
        tag=TAG,
        summary="Metrics over a range of time, as graphs show them",
        query=HistoryQuery,
        reply=HistoryRange,
        errors=(*_ERRORS, ModelNotFound),
    ),
    Route(
        method="GET",
        paths=("/v1/monitor/events",),
        scopes=READ,
        handler=events,
        tag=TAG,
        summary="What happened: loads, unloads, crashes, requests that were turned away",
        query=EntriesQuery,
        reply=EventsReply,
        errors=_ERRORS,
    ),
    Route(
        method="GET",
        paths=("/v1/monitor/runs",),
        scopes=READ,
        handler=runs,
        tag=TAG,
        summary="Engines from load to unload, and why they ended",
        query=EntriesQuery,
        reply=RunsReply,
        errors=_ERRORS,
    ),
]
