"""POST /v1/rerank: documents by their relevance to a query."""

from __future__ import annotations

from msgspec import UNSET
from quart import Response

from kolo.errors import BadParameter
from kolo.server.body import MissingParameter
from kolo.server.llama.schemas import (
    RankedDocument,
    RankedResult,
    RankedText,
    RerankBody,
    RerankReply,
    RerankUsage,
)
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.types import Rerank


async def rerank(service: Service, body: RerankBody) -> Response:
    documents = _documents(body)
    async with service.lease(service.reference(body.model)) as engine:
        found = await engine.call(Rerank(query=body.query, documents=documents))
    ranked = sorted(enumerate(found.scores), key=lambda pair: -pair[1])[: body.top_n]
    if body.texts is not None:
        return json_reply(
            [
                RankedText(index=at, score=score, text=documents[at] if body.return_text else UNSET)
                for at, score in ranked
            ]
        )
    return json_reply(
        RerankReply(
            model=engine.id,
            usage=RerankUsage(prompt_tokens=found.prompt_tokens, total_tokens=found.prompt_tokens),
            results=[
                RankedResult(
                    index=at,
                    relevance_score=score,
                    document=RankedDocument(text=documents[at]) if body.return_documents else UNSET,
                )
                for at, score in ranked
            ],
        )
    )


def _documents(body: RerankBody) -> list[str]:
    """BadParameter if both forms are mixed, or there is neither."""
    hint = "Send documents (or texts, for the form of Text Embeddings Inference)."
    if body.documents is None and body.texts is None:
        raise MissingParameter("documents is missing", hint=hint, param="documents")
    if body.documents is not None and body.texts is not None:
        raise BadParameter("documents and texts are both sent", hint=hint, param="documents")
    for name, other, asked in (
        ("return_text", "texts", body.return_text if body.texts is None else None),
        (
            "return_documents",
            "documents",
            body.return_documents if body.documents is None else None,
        ),
    ):
        if asked:
            raise BadParameter(
                f"{name} goes with {other}", hint="Send the other form's, or none.", param=name
            )
    return [one if isinstance(one, str) else one.text for one in body.documents or body.texts or ()]
