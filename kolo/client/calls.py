"""Operations other than Generate, by the routes that do them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kolo.client.http import Http
from kolo.client.question import messages_of
from kolo.errors import InternalError
from kolo.types import (
    Detokenize,
    Detokenized,
    Embed,
    Embedded,
    EngineStats,
    Inspect,
    Operation,
    Render,
    Rendered,
    Rerank,
    Reranked,
    Result,
    Tokenize,
    Tokenized,
)


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0


class _Vector(Struct, frozen=True):
    embedding: list[float]


class _Vectors(Struct, frozen=True):
    data: list[_Vector]
    usage: _Usage


class _Score(Struct, frozen=True):
    index: int
    relevance_score: float


class _Scores(Struct, frozen=True):
    results: list[_Score]
    usage: _Usage


class _Piece(Struct, frozen=True):
    id: int
    piece: str | list[int]


class _Pieces(Struct, frozen=True):
    tokens: list[_Piece]


class _Content(Struct, frozen=True):
    content: str


class _Prompt(Struct, frozen=True):
    prompt: str


async def call(http: Http, model: str, op: Operation) -> Result:
    """Do ``op`` at the server. Raises as ``Http.post``."""
    match op:
        case Inspect():
            return await _inspect(http, model)
        case Embed():
            return await _embed(http, model, op)
        case Rerank():
            return await _rerank(http, model, op)
        case Tokenize():
            return await _tokenize(http, model, op)
        case Detokenize(tokens=tokens):
            content: _Content = await http.post(
                "/detokenize", {"model": model, "tokens": tokens}, _Content
            )
            return Detokenized(text=content.content)
        case Render(chat=chat):
            body: dict[str, Any] = {"model": model, **messages_of(chat)}
            rendered: _Prompt = await http.post("/apply-template", body, _Prompt)
            return Rendered(prompt=rendered.prompt)
        case _:
            raise InternalError("generate() is for Generate")
