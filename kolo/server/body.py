"""From the bytes of a request to a typed struct, or a 400 that names the field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec
from quart import request
from werkzeug.exceptions import HTTPException

from kolo.errors import BadParameter, KoloError, UsageError

T = TypeVar("T")


class UnknownParameter(BadParameter):
    """OpenAI's word for a field that there is not."""

    code = "unknown_parameter"


class MissingParameter(BadParameter):
    """OpenAI's word for a field that has to be sent."""

    code = "missing_required_parameter"


class WrongType(BadParameter):
    """OpenAI's word for a text where a number belongs, and the like."""

    code = "invalid_type"


FORM_ERRORS = (UsageError, BadParameter, UnknownParameter, MissingParameter, WrongType)
"""What a body or a query of the wrong form comes to."""

MAX_DEPTH = 64
"""Levels of a free-form value (a schema, template variables)."""
MAX_SHOWN_CHARS = 120
MAX_UNWANTED_BYTES = 1 << 20
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

_PLACE = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_TYPE = re.compile(r"Expected `[^`]*`, got `[^`]*`", re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """``raw`` as the decoder's type. UsageError for what is no JSON, BadParameter with the
    path of the field for what is no such struct."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error), decoder.type) from None
    except UnicodeDecodeError:
        raise UsageError(
            "the body is not valid UTF-8", hint="Send JSON encoded as UTF-8."
        ) from None
    except msgspec.DecodeError as error:
        raise UsageError(
            f"the body is not valid JSON: {error}" if raw else "the body is empty",
            hint="Send one JSON object.",
        ) from None
    except RecursionError:
        raise UsageError(
            "the body is nested too deeply", hint=f"Use at most {MAX_DEPTH} levels."
        ) from None


async def read_to_the_end() -> None:
    """Take in a body that nobody wants. While one is still coming the connection cannot be used
    again and is closed after the reply, which the client's next request would run into."""
    if 0 < (request.content_length or 0) <= MAX_UNWANTED_BYTES:
        with suppress(HTTPException):  # it is late: then the connection does end
            await request.get_data()


def check_free_form(value: Any, param: str) -> None:
    """BadParameter if a value of any shape is deeper than MAX_DEPTH, or holds an integer that
    cannot be sent on (beyond 64 bits)."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise BadParameter(
                f"{param} is nested too deeply",
                hint=f"Use at most {MAX_DEPTH} levels.",
                param=param,
            )
        if isinstance(item, dict):
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, int) and not _INT_MIN <= item <= _INT_MAX:
            raise BadParameter(
                f"{param} holds an integer beyond 64 bits",
                hint="Use a smaller one, or a number with a decimal point.",
                param=param,
            )


@contextmanager
def renamed(params: Mapping[str, str]) -> Iterator[None]:
    """Errors of the block name the caller's field where the engine has another word for it."""
    try:
        yield
    except KoloError as error:
        if error.param is not None:
            error.param = params.get(error.param, error.param)
        raise


def _wrong_field(message: str, type_: Any) -> BadParameter:
    place = _PLACE.search(message)
    path = place[1] if place else ""
    what = message[: place.start()] if place else message
    if unknown := _UNKNOWN.fullmatch(what):
        return _unknown(_join(path, unknown[1]), unknown[1], type_ if not path else None)
    if missing := _MISSING.fullmatch(what):
        param = _join(path, missing[1])
        return MissingParameter(f"{param} is missing", hint=f"Send {param}.", param=param)
    if not path:
        return BadParameter(f"the body is wrong: {_lower(what)}", hint="Send one JSON object.")
    refusal: str | None = getattr(type_, "REFUSED", {}).get(path.partition("[")[0])
    if refusal is not None:
        return BadParameter(
            f"{path} cannot be honoured: {refusal}", hint="Leave it out.", param=path
        )
    kind = WrongType if _TYPE.fullmatch(what) else BadParameter
    return kind(
        f"{path} is wrong: {_lower(what)}", hint="GET /docs says what it may be.", param=path
    )


def _unknown(param: str, name: str, type_: Any) -> UnknownParameter:
    known = [field.encode_name for field in msgspec.structs.fields(type_)] if type_ else []
    near = difflib.get_close_matches(name[:MAX_SHOWN_CHARS], known, n=1)
    shown = param if len(param) <= MAX_SHOWN_CHARS else param[:MAX_SHOWN_CHARS] + "…"
    return UnknownParameter(
        f"{shown} is not a field of this request",
        hint=f"Did you mean {near[0]}?" if near else "Leave it out; GET /docs lists the fields.",
        param=shown,
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "")
