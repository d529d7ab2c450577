"""A route as data: what is served, validated and documented comes from the same lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from quart import Quart, Response, g, request

from kolo.errors import BadParameter, EngineStopped, KoloError, UsageError
from kolo.keys import Scope
from kolo.server.access.gate import LISTS
from kolo.server.body import decode, read_to_the_end
from kolo.server.drain import Drain
from kolo.server.service import Service

_HARMLESS = ("GET", "HEAD")
_OTHER_SITES = ("cross-site", "same-site")
_SUBJECTS = ("model", "engine_id", "model_id", "model_path", "url", "action")
"""Fields of a body that say what an action is about, for the audit log."""

__all__ = [
    "INFER",
    "LISTS",
    "MANAGE",
    "PUBLIC",
    "READ",
    "Route",
    "check_site",
    "json_reply",
    "mount",
]

PUBLIC: tuple[Scope, ...] = ()
INFER: tuple[Scope, ...] = ("infer",)
READ: tuple[Scope, ...] = ("read", "manage")
MANAGE: tuple[Scope, ...] = ("manage",)

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. The handler is called with the service, ``body`` and ``query`` if their types
    are given, and the variables of the path, each by name."""

    method: str
    paths: tuple[str, ...]
    """In Quart's notation; the first is the documented one, the others its aliases."""
    handler: Handler
    tag: str
    summary: str
    scopes: tuple[Scope, ...] = MANAGE
    """A key needs one of these; nobody needs a key where there is none."""
    body: Any = None
    """Struct that the JSON body must be."""
    query: type[msgspec.Struct] | None = None
    """Struct of the query's parameters."""
    reply: Any = None
    """Type of the JSON reply; None for one that is no JSON."""
    status: int = 200
    content_type: str = "application/json"
    json: Any = None
    """Type of the JSON reply for whoever prefers one, where ``content_type`` is another."""
    also: Mapping[int, Any] = field(default_factory=dict)
    """Types of the JSON replies of other statuses with which it may go well."""
    chunk: Any = None
    """Type of each event, if the reply can be a stream of them."""
    instead: Mapping[str, Handler] = field(default_factory=dict)
    """Handlers that answer where the query has their name (``?reload=1``); they take no body."""
    errors: Sequence[type[KoloError]] = ()
    """What may go wrong, beside what a body or query of the wrong form does."""

    @property
    def takes_work(self) -> bool:
        """Refused once the server is stopping."""
        return self.method not in ("GET", "HEAD")


def mount(app: Quart, service: Service, drain: Drain, routes: Sequence[Route]) -> None:
    """Make ``app`` serve ``routes``."""
    for route in routes:
        view = _view(route, service, drain)
        for path in route.paths:
            endpoint = f"{route.method} {path}".replace(".", "_")
            service.access.scopes[endpoint] = route.scopes
            app.add_url_rule(path, endpoint, view, methods=[route.method])


def json_reply(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


def _view(route: Route, service: Service, drain: Drain) -> Handler:
    decoder = msgspec.json.Decoder(route.body) if route.body is not None else None

    async def view(**variables: Any) -> Response:
        if route.takes_work and drain.stopping:
            raise EngineStopped(
                "the server is stopping", hint="Send the request again.", retry_after_s=5.0
            )
        for name, other in route.instead.items():
            if request.args.get(name) in ("1", "true"):
                check_site(service)
                await read_to_the_end()
                g.subject = name
                return await _handled(other, service, variables)
        if decoder is not None:
            _check_origin()
            raw = await request.get_data(cache=False)
            assert isinstance(raw, bytes)
            variables["body"] = decode(decoder, raw)
            g.subject = _subject(variables["body"])
        else:
            if route.method not in _HARMLESS:
                check_site(service)
            await read_to_the_end()
        if route.query is not None:
            variables["query"] = _query(route.query)
        return await _handled(route.handler, service, variables)

    return view


async def _handled(handler: Handler, service: Service, variables: Mapping[str, Any]) -> Response:
    try:
        return await handler(service, **variables)
    except asyncio.CancelledError:
        service.access.left()
        raise


def _subject(body: Any) -> str:
    """What the audit log is told of a body. A query in an address may hold a token."""
    found = next((value for name in _SUBJECTS if (value := getattr(body, name, None))), "")
    return found.partition("?")[0] if isinstance(found, str) else ""


def _check_origin() -> None:
    """A page in a browser may send any site a form, but asks leave before it sends JSON; so
    what comes from a page must be JSON. Programs may leave the type out, as they often do."""
    if "Origin" in request.headers and not request.is_json:
        raise UsageError(
            f"a page may not send {request.mimetype or 'a body without a type'}",
            hint="Send Content-Type: application/json.",
        )


def check_site(service: Service) -> None:
    """A page may have a browser send a GET or an empty POST to any site without asking leave.
    UsageError for one of another site."""
    origin = request.headers.get("Origin")
    if origin is None and request.headers.get("Sec-Fetch-Site") in _OTHER_SITES:
        raise UsageError(  # a GET that it had sent blindly, for a picture say, names no origin
            "a page of another site may not do this",
            hint="Do it from the command line or a program.",
        )
    if origin is None or service.access.cors.allows(origin):
        return
    if origin.partition("://")[2] != request.host:
        raise UsageError(
            f"a page of {origin} may not do this", hint="Do it from the command line or a program."
        )


def _query(type_: type[msgspec.Struct]) -> msgspec.Struct:
    given = {name: request.args[name] for name in request.args}
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        param = text.rpartition("`$.")[2].rstrip("`") if "`$." in text else None
        raise BadParameter(
            f"the query is wrong: {text}", hint="GET /docs lists its parameters.", param=param
        ) from None
