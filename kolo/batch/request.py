"""A line of ``--jsonl`` as a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields, replace

from kolo.batch.recipe import Recipe
from kolo.errors import UsageError
from kolo.types import Constraint, Generate, Message, Sampling

Id = str | int
Fill = Callable[[dict[str, Any]], str]
"""Makes a prompt of variables."""
_SAMPLING = {field.name for field in fields(Sampling)}


class Request(Struct, frozen=True):
    model: str | None
    """None is that of the run."""
    op: Generate


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of ``--jsonl``; sampling parameters are taken out before."""

    id: Id | None = None
    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    model: str | None = None
    system: str | None = None
    raw: bool | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    schema: dict[str, Any] | bool | None = None
    grammar: str | None = None
    choices: Annotated[list[str], Meta(min_length=1)] | None = None


def decoded(data: bytes, number: int) -> Any:
    """The JSON of a line. UsageError with its ``number``."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"line {number} is not JSON: {error}") from error


def id_of(line: Any) -> Id | None:
    """The ``id`` of a line that is an object with one."""
    found = line.get("id") if isinstance(line, dict) else None
    return found if isinstance(found, (str, int)) else None


def request_of(line: Any, number: int, recipe: Recipe, fill: Fill | None) -> Request:
    """What a line asks: a text, or an object with ``prompt`` or ``messages`` and what it has of
    its own; with ``fill``, the text or the object's fields are variables instead.

    UsageError that names the line and the field.
    """
    try:
        if fill is not None:
            variables = {"input": line} if isinstance(line, str) else _object(line)
            return Request(None, recipe.of_text(fill(variables)))
        if isinstance(line, str):
            return Request(None, recipe.of_text(line))
        return _request(_object(line), recipe)
    except (msgspec.ValidationError, UsageError) as error:
        hint = error.hint if isinstance(error, UsageError) else ""
        raise UsageError(f"line {number}: {error}", hint=hint) from error


def _object(line: Any) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise UsageError("neither a text nor an object")
    return line


def _request(line: dict[str, Any], recipe: Recipe) -> Request:
    own = msgspec.convert({k: v for k, v in line.items() if k not in _SAMPLING}, _Line)
    drawn = msgspec.convert({k: v for k, v in line.items() if k in _SAMPLING}, Sampling)
    if (own.prompt is None) == (own.messages is None):
        raise UsageError("it needs either prompt or messages")
    if own.raw and (own.messages is not None or own.system is not None):
        raise UsageError("raw has no chat template, which messages and system need")
    given = {
        name: getattr(own, name)
        for name in ("system", "raw", "max_tokens", "n", "logprobs")
        if getattr(own, name) is not None
    }
    if own.stop is not None:
        given["stop"] = (own.stop,) if isinstance(own.stop, str) else tuple(own.stop)
    if (constraint := _constraint(own)) is not None:
        given["constraint"] = constraint
    sampling = {name: getattr(drawn, name) for name in line if name in _SAMPLING}
    mine = replace(recipe, sampling=replace(recipe.sampling, **sampling), **given)
    if own.messages is not None:
        op = replace(mine, raw=False).of_messages(own.messages)
    else:
        op = mine.of_text(own.prompt or "")
    return Request(own.model, op)


def _constraint(own: _Line) -> Constraint | None:
    constraint = Constraint(json_schema=own.schema, grammar=own.grammar, choices=own.choices)
    given = [each for each in (own.schema, own.grammar, own.choices) if each is not None]
    if len(given) > 1:
        raise UsageError("schema, grammar and choices all say what the answer must be: one of them")
    return constraint if given else None
