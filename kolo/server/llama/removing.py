"""DELETE /models?model=: llama-server's router removes what was fetched."""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from quart import Response

from kolo.errors import UsageError
from kolo.models.resolve import resolve
from kolo.models.store import need_store
from kolo.models.usage import forget_use
from kolo.server.kolosal.adding import forget
from kolo.server.llama.verbs import Reference
from kolo.server.route import json_reply
from kolo.server.served import find_served
from kolo.server.service import Service


class RemoveQuery(Struct, frozen=True, kw_only=True):
    model: Reference
    force: Annotated[bool, Meta(description="Also when requests are running, which then fail.")] = (
        False
    )


class RemovedReply(Struct, kw_only=True):
    success: Literal[True] = True
    model: str


class NotStored(UsageError):
    """It is not the store's, and so not a request's to remove."""

    http_status: ClassVar[int] = 409
    code = "model_not_stored"


async def remove_model(service: Service, query: RemoveQuery) -> Response:
    """Unloads it first. Engines of it that have other names go on until they are unloaded."""
    one = await find_served(service, query.model)
    settings = service.settings
    spec = await asyncio.to_thread(resolve, one.id, settings, allow_paths=False)
    if not spec.stored:
        raise NotStored(
            f"{one.id!r} is not in the store, but at {one.path}",
            hint="DELETE /models/{id} forgets an engine and leaves its file.",
            param="model",
        )
    await forget(service, one.id, force=query.force)
    await asyncio.to_thread(need_store(settings).remove, spec.stored)
    forget_use(settings, spec.stored)
    return json_reply(RemovedReply(model=one.id))
