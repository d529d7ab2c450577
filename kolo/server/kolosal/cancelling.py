"""Ending a request that somebody else made: what an operator does, not its client."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct
from quart import Response

from kolo.errors import ModelNotFound, UsageError
from kolo.server.kolosal.adding import find
from kolo.server.route import MANAGE, Route, json_reply
from kolo.server.service import Service

_NUMBER = re.compile("[0-9]{1,18}")


class RequestNotFound(UsageError):
    """It has ended, or was never there."""

    http_status = 404
    code = "request_not_found"


class RequestCancelled(Struct, kw_only=True):
    engine_id: str
    request_id: Annotated[int, Meta(description="As the monitor's snapshots number it.")]
    status: Literal["cancelled"] = "cancelled"


async def cancel_request(service: Service, id: str, request: str) -> Response:
    """Its client gets the end of its answer, with what was written until now."""
    one = await find(service, id, None, "engine_id")
    number = int(request) if _NUMBER.fullmatch(request) else -1
    for engine in service.manager.loaded():
        if engine.id == one.id and engine.end(number):
            return json_reply(RequestCancelled(engine_id=one.id, request_id=number))
    raise RequestNotFound(
        f"engine {one.id!r} has no request {request[:20]} under way",
        hint="The monitor lists those that are: kolo top --json",
        param="request",
    )


ROUTE = Route(
    method="POST",
    paths=(
        "/engines/<path:id>/requests/<request>/cancel",
        "/v1/engines/<path:id>/requests/<request>/cancel",
    ),
    scopes=MANAGE,
    handler=cancel_request,
    tag="Kolosal",
    summary="End a request that is under way; its client keeps what was written until then",
    reply=RequestCancelled,
    errors=(ModelNotFound, RequestNotFound),
)
