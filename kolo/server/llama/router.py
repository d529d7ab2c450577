"""llama-server's router: load and unload by name, and what happens meanwhile as events."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from quart import Response

from kolo.monitor.feed import Event
from kolo.server.llama.loads import begin_load, foresee
from kolo.server.llama.verbs import (
    ChangeReply,
    ForceQuery,
    LoadReply,
    LoadVerb,
    NotRunning,
    UnloadBody,
    UnloadReply,
)
from kolo.server.route import json_reply
from kolo.server.served import Served, find_served, served
from kolo.server.service import Service
from kolo.server.sse import HEARTBEAT, SSE, event

STAGES = ["memory", "weights", "context"]
"""What a load goes through, in order."""


async def load_model(service: Service, body: LoadVerb) -> Response:
    if body.dry_run:
        outlook = await foresee(service, body)
        state = _state(service, outlook.id)
        return json_reply(LoadReply(id=outlook.id, state=state, outlook=outlook))
    loading = await begin_load(service, body)
    await loading.begun(wait=body.wait is True)
    return json_reply(LoadReply(id=loading.id, state=_state(service, loading.id)))


async def unload_model(service: Service, body: UnloadBody) -> Response:
    running = any(one.id == body.model and _is_running(one) for one in await served(service))
    if not running and any(job.id == body.model for job in service.downloads.active()):
        await service.downloads.cancel(body.model)
        return json_reply(UnloadReply(unloaded=[]))
    one = await find_served(service, body.model)
    if not _is_running(one):
        raise NotRunning(f"model {one.id!r} is not running", param="model")
    await _unload(service, one, force=body.force)
    return json_reply(UnloadReply(unloaded=[one.id]))


async def unload_one(service: Service, id: str, query: ForceQuery) -> Response:
    """llama-swap's: nothing is wrong if it is not loaded."""
    one = await find_served(service, id)
    unloaded = _is_running(one)
    if unloaded:
        await _unload(service, one, force=query.force)
    return json_reply(UnloadReply(unloaded=[one.id] if unloaded else []))


async def unload_all(service: Service, query: ForceQuery) -> Response:
    """llama-swap's: those in use are left alone unless forced."""
    running = [one for one in await served(service) if _is_running(one)]
    busy = [] if query.force else [one.id for one in running if _is_busy(one)]
    gone = [one for one in running if one.id not in busy]
    for one in gone:
        await _unload(service, one, force=query.force)
    return json_reply(UnloadReply(unloaded=[one.id for one in gone], busy=busy))


async def models_sse(service: Service) -> Response:
    response = Response(_Changes(service), content_type=SSE)
    response.timeout = None
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Changes:
    """The feed as events, from the moment this is made."""

    def __init__(self, service: Service) -> None:
        self._held = ExitStack()
        self._listener = self._held.enter_context(service.monitor.feed.listen())
        self._silence_s = service.options.heartbeat_s

    def __aiter__(self) -> _Changes:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence_s):
                news = await self._listener.next()
        except TimeoutError:
            return HEARTBEAT
        if news is None:
            raise StopAsyncIteration
        return event(_change(news))

    async def aclose(self) -> None:
        self._held.close()


def _change(news: Event) -> ChangeReply:
    data: dict[str, Any] = {}
    match news.kind:
        case "downloading":
            data["status"] = "downloading"
            data[news.url] = {"done": news.done_bytes, "total": news.total_bytes}
            return ChangeReply(model=news.engine, event="download_progress", data=data)
        case "downloaded":
            data |= {"status": "downloaded", "size": news.done_bytes}
            return ChangeReply(model=news.engine, event="download_finished", data=data)
        case "download_failed":
            data |= {"error": news.reason, "code": news.code}
            return ChangeReply(model=news.engine, event="download_failed", data=data)
        case "reloaded":
            return ChangeReply(model=news.engine, event="models_reload", data=data)
        case "removed":
            return ChangeReply(model=news.engine, event="model_remove", data=data)
        case "loading":
            data["status"] = "loading"
            data["progress"] = {
                "stages": STAGES,
                "current": news.stage,
                "stage": news.stage,
                "value": news.fraction,
            }
        case "loaded":
            data["status"] = "loaded"
            data["load_ms"] = news.load_ms
        case "unloaded":
            data |= {"status": "unloaded", "exit_code": 0, "reason": news.reason}
        case "failed":
            data |= {"status": "unloaded", "exit_code": 1, "failed": True}
            data |= {"error": news.reason, "code": news.code}
    return ChangeReply(model=news.engine, event="model_status", data=data)


def _state(service: Service, id: str) -> str:
    return next((one.state for one in service.manager.list() if one.id == id), "unloaded")


def _is_running(one: Served) -> bool:
    return one.engine is not None and one.engine.state in ("loaded", "loading")


def _is_busy(one: Served) -> bool:
    return one.engine is not None and one.engine.state == "loaded" and one.engine.leases > 0


async def _unload(service: Service, one: Served, *, force: bool) -> None:
    """A load that is given up loses nobody's work; it needs no force."""
    loading = one.engine is not None and one.engine.state == "loading"
    await service.manager.unload(one.id, force=force or loading)
