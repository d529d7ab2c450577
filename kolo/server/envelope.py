"""From an error to the reply that says it, in the words of the API that was asked.

A ``Problem`` is an error with its HTTP status; a ``Dialect`` writes it down. OpenAI's form is
the house's own; another API that wants another form adds itself to ``DIALECTS`` by the paths
that are its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response
from werkzeug.exceptions import HTTPException

from kolo.errors import KoloError, internal
from kolo.server.naming import request_id

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 4000


class Problem(Struct, frozen=True, kw_only=True):
    """Something a caller must be told. ``message`` ends with what to do about it, which
    ``hint`` says alone."""

    status: int
    message: str
    hint: str = ""
    type: str
    code: str
    param: str | None = None
    retry_after_s: float | None = None
    request_id: str = ""
    """Of the request that met it (``naming``)."""
    allow: tuple[str, ...] = ()
    """Methods that the path does take."""


class ErrorObject(Struct, kw_only=True):
    """What went wrong, for a person (``message``) and for a program (``code``)."""

    message: str
    type: str
    param: str | None
    """The field it is about."""
    code: str
    hint: Annotated[
        str | UnsetType, Meta(description="What to do about it; the message ends with it.")
    ] = UNSET
    request_id: Annotated[
        str | UnsetType, Meta(description="As in the header X-Request-Id, and in the log.")
    ] = UNSET


class ErrorReply(Struct):
    """OpenAI's error envelope."""

    error: ErrorObject


class Dialect(Struct, frozen=True, kw_only=True):
    """How one API writes errors. ``reply`` is the type that ``body`` encodes."""

    name: str
    body: Callable[[Problem], bytes]
    reply: type


def _openai_body(problem: Problem) -> bytes:
    error = ErrorObject(
        message=problem.message,
        type=problem.type,
        param=problem.param,
        code=problem.code,
        hint=problem.hint or UNSET,
        request_id=problem.request_id or UNSET,
    )
    return msgspec.json.encode(ErrorReply(error))


OPENAI = Dialect(name="openai", body=_openai_body, reply=ErrorReply)

DIALECTS: dict[str, Dialect] = {}
"""Path prefix to the dialect of what lies below it; the longest wins, OpenAI's is the rest."""


def dialect_of(path: str) -> Dialect:
    """The dialect in which errors under ``path`` are told."""
    prefixes = [prefix for prefix in DIALECTS if path.startswith(prefix)]
    return DIALECTS[max(prefixes, key=len)] if prefixes else OPENAI


def problem_of(error: Exception) -> Problem:
    """Any exception as a Problem; one that nobody foresaw is logged, and an internal error."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if not isinstance(error, KoloError):
        log.error("an unforeseen error in a request", exc_info=error, extra=_logged())
        error = internal(error)
    # What follows the hint's first line is the log of a worker and stays here.
    hint = error.hint.partition("\n")[0].strip()
    hint = "" if hint.endswith(":") else hint
    return Problem(
        status=error.http_status,
        message=_with_hint(error.message, hint),
        hint=hint,
        type=error.type,
        code=error.code,
        param=error.param,
        retry_after_s=error.retry_after_s,
        request_id=request_id.get(),
    )


def reply(problem: Problem, dialect: Dialect) -> Response:
    """The HTTP response for ``problem``, with Retry-After where waiting helps."""
    response = Response(
        dialect.body(problem), status=problem.status, content_type="application/json"
    )
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(math.ceil(problem.retry_after_s), 1))
    if problem.allow:
        response.headers["Allow"] = ", ".join(problem.allow)
    return response


def _with_hint(message: str, hint: str) -> str:
    """One text: most clients show nothing but the message."""
    if hint:
        message = f"{message.rstrip('.')}. {hint[:1].upper()}{hint[1:]}"
    return message[:MAX_MESSAGE_CHARS]


_HTTP_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
}
_HTTP_MESSAGES = {
    404: "There is no such route here. GET /docs lists those there are.",
    405: "This route does not take this method. GET /docs lists those it does.",
    408: "The body did not arrive in time. Send the request again.",
    413: "The body is larger than this server takes. Send less, or raise server.max_body.",
}


def _http_problem(error: HTTPException) -> Problem:
    """What Quart itself turned away."""
    status = error.code or 500
    if status >= 500:
        log.error("an error of the web framework", exc_info=error, extra=_logged())
    phrase = error.description or HTTPStatus(status).phrase
    return Problem(
        status=status,
        message=_HTTP_MESSAGES.get(status, phrase),
        type="invalid_request_error" if status < 500 else "server_error",
        code=_HTTP_CODES.get(status, "invalid_request" if status < 500 else "internal_error"),
        allow=tuple(sorted(getattr(error, "valid_methods", None) or ())),
        request_id=request_id.get(),
    )


def _logged() -> dict[str, object]:
    """What a log line of this request has beside its text."""
    return {"fields": {"request_id": request_id.get()}}
