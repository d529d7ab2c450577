"""The description of every route, from the types that validate and encode: OpenAPI 3.1.

quart-schema would bring its own validation, which decodes twice and words errors its own way,
and pages that load their scripts from elsewhere; msgspec's schemas of the very types the routes
decode say it without either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import msgspec
from quart import Response

import kolo
from kolo.errors import AuthFailed, EngineStopped, Forbidden, KoloError, RateLimited
from kolo.server.access.hosts import HostForbidden
from kolo.server.body import FORM_ERRORS
from kolo.server.envelope import dialect_of
from kolo.server.route import PUBLIC, Route
from kolo.server.service import Service

_VARIABLE = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_REF = "#/components/schemas/{name}"


def routes(described: Sequence[Route]) -> list[Route]:
    """The routes that show the description of all others, and of themselves."""
    own: list[Route] = []
    document: list[bytes] = []

    async def openapi_json(service: Service) -> Response:
        if not document:
            document.append(msgspec.json.encode(describe([*described, *own])))
        return Response(document[0], content_type="application/json")

    async def docs(service: Service) -> Response:
        return Response(_page(), content_type="text/html; charset=utf-8")

    own += [
        Route(
            method="GET",
            paths=("/openapi.json",),
            scopes=PUBLIC,
            handler=openapi_json,
            tag="Documentation",
            summary="This description, as OpenAPI 3.1",
            reply=dict[str, Any],
        ),
        Route(
            method="GET",
            paths=("/docs",),
            scopes=PUBLIC,
            handler=docs,
            tag="Documentation",
            summary="This description, as a page",
            content_type="text/html",
        ),
    ]
    return own


def describe(described: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document. Every path of a route is listed, its aliases too."""
    described = list(described)
    schemas, components = _schemas(described)
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        for path in route.paths:
            shown = _VARIABLE.sub(r"{\2}", path)
            paths.setdefault(shown, {})[route.method.lower()] = _operation(route, path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kolo", "version": kolo.__version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def _schemas(described: Sequence[Route]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of each type that any route decodes or encodes, and what those refer to."""
    types = [
        type_ for route in described for type_ in (route.body, route.reply, route.json, route.chunk)
    ]
    types += [type_ for route in described for type_ in route.also.values()]
    types += [dialect_of(path).reply for route in described for path in route.paths]
    unique = list(dict.fromkeys(type_ for type_ in types if type_ is not None))
    found, components = msgspec.json.schema_components(unique, ref_template=_REF)
    return dict(zip(unique, found, strict=True)), components


def _operation(route: Route, path: str, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    shown = _VARIABLE.sub(r"by \2", path)
    name = re.sub(r"[^\w-]+", "_", f"{route.method.lower()} {shown}")
    operation: dict[str, Any] = {
        "operationId": name.strip("_"),
        "tags": [route.tag],
        "summary": route.summary,
        "responses": _responses(route, path, schemas),
        # Without keys, or where there are none yet, nobody needs one: hence the empty choice.
        "security": [{}, *({name: list(route.scopes)} for name in _SCHEMES if route.scopes)],
    }
    if route.scopes:
        operation["description"] = f"A key needs the scope {' or '.join(route.scopes)}."
    if parameters := [*_path_parameters(path), *_query_parameters(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for converter, name in _VARIABLE.findall(path):
        kind = "integer" if converter == "int" else "string"
        yield {"name": name, "in": "path", "required": True, "schema": {"type": kind}}


def _query_parameters(route: Route) -> Iterable[dict[str, Any]]:
    for field in msgspec.structs.fields(route.query) if route.query is not None else ():
        yield {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": msgspec.json.schema(field.type),
        }
    for name in route.instead:
        yield {"name": name, "in": "query", "required": False, "schema": {"type": "boolean"}}


def _responses(route: Route, path: str, schemas: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if route.reply is not None:
        content[route.content_type] = {"schema": schemas[route.reply]}
    elif route.content_type != "application/json":
        content[route.content_type] = {"schema": {"type": "string"}}
    if route.json is not None:
        content["application/json"] = {"schema": schemas[route.json]}
    if route.chunk is not None:
        content["text/event-stream"] = {"schema": _event(schemas[route.chunk])}
    done: dict[str, Any] = {"description": route.summary}
    if content:
        done["content"] = content
    responses: dict[str, Any] = {str(route.status): done}
    for status, type_ in route.also.items():
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": schemas[type_]}},
        }
    dialect = dialect_of(path)
    for status, codes in sorted(_errors(route).items()):
        responses[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(sorted(codes))}",
            "content": {"application/json": {"schema": schemas[dialect.reply]}},
        }
    return responses


def _event(chunk: dict[str, Any]) -> dict[str, Any]:
    """One server-sent event, as JSON Schema writes JSON within a text."""
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": chunk}
    data = {"anyOf": [text, {"const": "[DONE]"}]}
    return {"type": "object", "properties": {"data": data}, "required": ["data"]}


def _errors(route: Route) -> dict[int, set[str]]:
    """Status to the codes it may come with."""
    classes: list[type[KoloError]] = [*route.errors, HostForbidden]
    if route.scopes:
        classes += (AuthFailed, Forbidden, RateLimited)
    found: dict[int, set[str]] = {}
    if route.body is not None or route.query is not None:
        classes += FORM_ERRORS
    if route.body is not None:
        found[408] = {"request_timeout"}
        found[413] = {"request_too_large"}
    if route.takes_work:
        classes.append(EngineStopped)
    for cls in classes:
        found.setdefault(cls.http_status, set()).add(cls.code)
    return found


@cache
def _page() -> bytes:
    return (files("kolo.server") / "docs.html").read_bytes()
