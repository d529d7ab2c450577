"""Operations other than Generate, by the routes that do them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from kolo.client.http import Http
from kolo.client.question import messages_of
from kolo.errors import InternalError, Unsupported
from kolo.stats import EngineStats, SlotStats
from kolo.types import (
    Detokenize,
    Detokenized,
    Embed,
    Embedded,
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
    prompt_tokens: int


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


class _Slot(Struct, frozen=True):
    id: int
    n_ctx: int
    state: Literal["idle", "prefill", "decode"]
    n_cached_tokens: int
    n_prompt_tokens: int = 0


async def call(http: Http, model: str, op: Operation) -> Result:
    """Do ``op`` at the server. Raises as ``Http.post``."""
    body: dict[str, Any]
    match op:
        case Tokenize():
            body = {"content": op.text, "add_special": op.add_special}
            body |= {"parse_special": op.parse_special, "with_pieces": True, "model": model}
            told: _Pieces = await http.post("/tokenize", body, _Pieces)
            return Tokenized(
                tokens=[one.id for one in told.tokens],
                pieces=[_bytes(one.piece) for one in told.tokens],
            )
        case Detokenize():
            body = {"model": model, "tokens": op.tokens}
            text: _Content = await http.post("/detokenize", body, _Content)
            return Detokenized(text=text.content)
        case Render():
            body = {"model": model, **messages_of(op.chat)}
            rendered: _Prompt = await http.post("/apply-template", body, _Prompt)
            return Rendered(prompt=rendered.prompt)
        case Embed():
            return await _embed(http, model, op)
        case Rerank():
            return await _rerank(http, model, op)
        case Inspect():
            return await _inspect(http, model)
        case _:
            raise InternalError("generate() is for Generate")


async def _embed(http: Http, model: str, op: Embed) -> Embedded:
    if not op.normalize:
        raise Unsupported(
            "normalize false is not carried to a server",
            hint="--local, for an engine of your own",
            param="normalize",
        )
    body = {"model": model, "input": op.inputs}
    told: _Vectors = await http.post("/v1/embeddings", body, _Vectors)
    return Embedded(
        vectors=[one.embedding for one in told.data], prompt_tokens=told.usage.prompt_tokens
    )


async def _rerank(http: Http, model: str, op: Rerank) -> Reranked:
    body = {"model": model, "query": op.query, "documents": op.documents}
    told: _Scores = await http.post("/v1/rerank", body, _Scores)
    in_order = sorted(told.results, key=lambda one: one.index)
    return Reranked(
        scores=[one.relevance_score for one in in_order], prompt_tokens=told.usage.prompt_tokens
    )


async def _inspect(http: Http, model: str) -> EngineStats:
    """What ``/slots`` tells: the slots and the context. Counters since load are not told, and
    are 0."""
    query = {"model": model, "autoload": "true"}
    slots: list[_Slot] = await http.get("/slots", list[_Slot], query=query)
    return EngineStats(
        slots=[
            SlotStats(
                id=slot.id,
                state=slot.state,
                cached_tokens=slot.n_cached_tokens,
                prompt_tokens=slot.n_prompt_tokens,
            )
            for slot in slots
        ],
        running=sum(slot.state != "idle" for slot in slots),
        n_ctx=slots[0].n_ctx if slots else 0,
    )


def _bytes(piece: str | list[int]) -> bytes:
    return piece.encode() if isinstance(piece, str) else bytes(piece)
