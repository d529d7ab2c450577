"""POST /tokenize, /detokenize and /apply-template: what a model makes of text."""

from __future__ import annotations

from quart import Response

from kolo.server.llama.schemas import (
    DetokenizeBody,
    DetokenizeReply,
    TemplateReply,
    TokenizeBody,
    TokenizeReply,
    TokenPiece,
)
from kolo.server.openai.convert import chat
from kolo.server.openai.schemas import ChatBody
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.types import Detokenize, Render, Tokenize


async def tokenize(service: Service, body: TokenizeBody) -> Response:
    op = Tokenize(text=body.content, add_special=body.add_special, parse_special=body.parse_special)
    async with service.lease(service.reference(body.model)) as engine:
        found = await engine.call(op)
    if not body.with_pieces:
        return json_reply(TokenizeReply(tokens=[*found.tokens]))
    pieces: list[int | TokenPiece] = [
        TokenPiece(id=token, piece=_text_or_bytes(piece))
        for token, piece in zip(found.tokens, found.pieces, strict=True)
    ]
    return json_reply(TokenizeReply(tokens=pieces))


async def detokenize(service: Service, body: DetokenizeBody) -> Response:
    async with service.lease(service.reference(body.model)) as engine:
        found = await engine.call(Detokenize(tokens=body.tokens))
    return json_reply(DetokenizeReply(content=found.text))


async def apply_template(service: Service, body: ChatBody) -> Response:
    op = Render(chat=chat(body))
    async with service.lease(service.reference(body.model)) as engine:
        found = await engine.call(op)
    return json_reply(TemplateReply(prompt=found.prompt))


def _text_or_bytes(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
