"""Texts asked for their vectors, and what those look like as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kolo.batch.request import Id, id_of
from kolo.batch.run import Line
from kolo.connect import Connection
from kolo.errors import InternalError, UsageError
from kolo.types import Embed, Embedded
from kolo.vectors import shortened


class EmbeddingLine(Struct, frozen=True, kw_only=True):
    """The vector of one text."""

    index: int
    """Which text, from 0."""
    id: Id | UnsetType = UNSET
    """What the request called itself, if it did."""
    embedding: Sequence[float]
    """At unit length."""


class Embeddings(Struct, frozen=True, kw_only=True):
    """The vectors of all texts, in their order."""

    model: str
    dimensions: int
    prompt_tokens: int
    embeddings: list[Sequence[float]]


class _Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of ``--jsonl``."""

    id: Id | None = None
    text: str | None = None
    input: str | None = None
    """As ``text``; OpenAI's word."""
    model: str | None = None


async def embed(
    connection: Connection, model: str, texts: Sequence[str], dimensions: int | None
) -> Embedded:
    """The vectors of ``texts``, cut to ``dimensions``. Unsupported for a model that gives none."""
    found = await connection.call(model, Embed(inputs=list(texts)))
    if not isinstance(found, Embedded):
        raise InternalError(f"vectors were asked for, and {type(found).__name__} came")
    vectors = [list(shortened(vector, dimensions)) for vector in found.vectors]
    return Embedded(vectors=vectors, prompt_tokens=found.prompt_tokens)


async def embed_line(
    connection: Connection, model: str, content: Any, line: Line, dimensions: int | None
) -> EmbeddingLine:
    """The vector of a line, a text or an object. UsageError names what is wrong with it."""
    text, own_model = _text(content, line.number)
    found = await embed(connection, own_model or model, [text], dimensions)
    id = id_of(content)
    return EmbeddingLine(
        index=line.index, id=UNSET if id is None else id, embedding=found.vectors[0]
    )


def _text(content: Any, number: int) -> tuple[str, str | None]:
    if isinstance(content, str):
        return content, None
    if not isinstance(content, dict):
        raise UsageError(f"line {number}: neither a text nor an object")
    try:
        line = msgspec.convert(content, _Text)
    except msgspec.ValidationError as error:
        raise UsageError(f"line {number}: {error}") from error
    text = line.input if line.text is None else line.text
    if text is None or (line.text is not None and line.input is not None):
        raise UsageError(f"line {number}: it needs either text or input")
    return text, line.model
