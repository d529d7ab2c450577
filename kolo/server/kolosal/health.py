"""Health: llama-server's word and Kolosal's objects in one reply, and probes for orchestrators.

A server of several models is well before any of them is loaded, so none is asked; no probe wakes
a model or counts as its use.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from quart import Response, current_app

import kolo
from kolo.errors import EngineStopped
from kolo.server.drain import Drain
from kolo.server.kolosal.engines import status_of
from kolo.server.kolosal.schemas import Status
from kolo.server.route import PUBLIC, Route, json_reply
from kolo.server.served import served
from kolo.server.service import Service

TAG = "Health"


class ServerHealth(Struct, kw_only=True):
    name: Literal["kolo"] = "kolo"
    version: str = kolo.__version__
    uptime: Annotated[str, Meta(description="Such as 1 day, 2:03:04.")]
    uptime_s: float


class NodeManagerHealth(Struct, kw_only=True):
    total_engines: int
    loaded_engines: int
    unloaded_engines: int
    autoscaling: Literal["enabled"] = "enabled"


class EngineHealth(Struct, kw_only=True):
    engine_id: str
    status: Status


class HealthReply(Struct, kw_only=True):
    status: Literal["ok", "healthy"]
    timestamp: Annotated[int, Meta(description="Unix time in milliseconds.")]
    server: ServerHealth
    node_manager: NodeManagerHealth
    engines: list[EngineHealth]


class ProbeReply(Struct, kw_only=True):
    status: Literal["ok"] = "ok"


async def health(service: Service) -> Response:
    """llama-server's, with Kolosal's objects beside its word."""
    return await _health(service, "ok")


async def healthy(service: Service) -> Response:
    """Kolosal's."""
    return await _health(service, "healthy")


async def alive(service: Service) -> Response:
    return json_reply(ProbeReply())


async def ready(service: Service) -> Response:
    _check_not_stopping()
    return json_reply(ProbeReply())


async def _health(service: Service, word: Literal["ok", "healthy"]) -> Response:
    _check_not_stopping()
    now = time.time()
    engines = [
        EngineHealth(engine_id=one.id, status=status_of(one.engine))
        for one in await served(service)
    ]
    loaded = sum(engine.status == "loaded" for engine in engines)
    uptime_s = time.monotonic() - service.began_s
    return json_reply(
        HealthReply(
            status=word,
            timestamp=int(now * 1000),
            server=ServerHealth(
                uptime=str(timedelta(seconds=int(uptime_s))), uptime_s=round(uptime_s, 3)
            ),
            node_manager=NodeManagerHealth(
                total_engines=len(engines),
                loaded_engines=loaded,
                unloaded_engines=len(engines) - loaded,
            ),
            engines=engines if service.access.shows_names() else [],
        )
    )


def _check_not_stopping() -> None:
    drain = current_app.asgi_app
    if isinstance(drain, Drain) and drain.stopping:
        raise EngineStopped("the server is stopping", retry_after_s=5.0)


ROUTES = [
    Route(
        method="GET",
        paths=("/health",),
        scopes=PUBLIC,
        handler=health,
        tag=TAG,
        summary="Whether requests are taken: status ok",
        reply=HealthReply,
        errors=(EngineStopped,),
    ),
    Route(
        method="GET",
        paths=("/v1/health", "/status"),
        scopes=PUBLIC,
        handler=healthy,
        tag=TAG,
        summary="Whether requests are taken: status healthy",
        reply=HealthReply,
        errors=(EngineStopped,),
    ),
    Route(
        method="GET",
        paths=("/health/live", "/health/startup"),
        scopes=PUBLIC,
        handler=alive,
        tag=TAG,
        summary="Whether the server runs",
        reply=ProbeReply,
    ),
    Route(
        method="GET",
        paths=("/health/ready",),
        scopes=PUBLIC,
        handler=ready,
        tag=TAG,
        summary="Whether requests are taken; not once the server is told to stop",
        reply=ProbeReply,
        errors=(EngineStopped,),
    ),
]
