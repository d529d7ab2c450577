"""POST /v1/embeddings."""

from __future__ import annotations

import base64
from array import array
from sys import byteorder

from quart import Response

from kolo.errors import BadParameter
from kolo.server.openai.prompts import prompts
from kolo.server.openai.replies import EmbeddingItem, EmbeddingReply, EmbeddingUsage
from kolo.server.openai.schemas import MAX_INPUTS, EmbeddingBody
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.types import Embed
from kolo.vectors import shortened


async def embeddings(service: Service, body: EmbeddingBody) -> Response:
    reference = service.reference(body.model)
    inputs = prompts(body.input, param="input", most=MAX_INPUTS)
    async with service.lease(reference) as engine:
        size = engine.info.n_embd
        if body.dimensions is not None and size and body.dimensions > size:
            raise BadParameter(
                f"dimensions is {body.dimensions}, the model's vectors have {size}",
                hint=f"Send at most {size}.",
                param="dimensions",
            )
        found = await engine.call(Embed(inputs=inputs))
    as_text = body.encoding_format == "base64"
    vectors = [list(shortened(vector, body.dimensions)) for vector in found.vectors]
    return json_reply(
        EmbeddingReply(
            data=[
                EmbeddingItem(index=at, embedding=_as_base64(vector) if as_text else vector)
                for at, vector in enumerate(vectors)
            ],
            model=engine.id,
            usage=EmbeddingUsage(
                prompt_tokens=found.prompt_tokens, total_tokens=found.prompt_tokens
            ),
        )
    )


def _as_base64(vector: list[float]) -> str:
    """32-bit floats, little-endian, as OpenAI's client reads them."""
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()
