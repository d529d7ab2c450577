"""llama-server's own POST /completion, and /infill, which answers in the same form."""

from __future__ import annotations

from collections.abc import Sequence

from quart import Response

from kolo.server.answer import Choice, collect
from kolo.server.llama.generation import FinalReply, GenerationBody, InfillBody, NativeBody
from kolo.server.llama.stream import NativeRenderer, Writer, probabilities
from kolo.server.openai.prompts import prompts
from kolo.server.openai.shared import (
    check_alone,
    check_common,
    constraint,
    one_of,
    sampling,
    stops,
    token_bound,
)
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.server.sse import stream_reply
from kolo.types import Generate, Generated, Prompt


async def completion(service: Service, body: NativeBody) -> Response:
    asked = [
        Prompt(text=one) if isinstance(one, str) else Prompt(tokens=one)
        for one in prompts(body.prompt)
    ]
    return await _answer(service, body, asked)


async def infill(service: Service, body: InfillBody) -> Response:
    asked = Prompt(
        text=body.input_prefix + body.prompt,
        suffix=body.input_suffix,
        prefix_context=[(file.filename, file.text) for file in body.input_extra or ()] or None,
    )
    return await _answer(service, body, [asked])


async def _answer(service: Service, body: GenerationBody, asked: Sequence[Prompt]) -> Response:
    reference = service.reference(body.model)
    shown = one_of(body, "n_probs", "logprobs") or 0
    ops = _requests(body, asked, shown, service.options.request_timeout_ms)
    if body.stream:
        renderer = NativeRenderer(body, ops, shows=shown > 0)
        return await stream_reply(service, reference, ops, renderer)
    async with service.lease(reference) as engine:
        answer = await collect(engine, ops)
        writer = await Writer.of(engine, ops, body)
    replies = [_final(writer, choice, answer.results, body, shown > 0) for choice in answer.choices]
    return json_reply(replies[0] if len(replies) == 1 else replies)


def _requests(
    body: GenerationBody, asked: Sequence[Prompt], shown: int, deadline_ms: int | None
) -> list[Generate]:
    """Raises BadParameter for what the types alone do not say."""
    check_common(body)
    check_alone(body, len(asked))
    return [
        Generate(
            input=prompt,
            sampling=sampling(body),
            constraint=constraint(body),
            max_tokens=token_bound(body, "n_predict", "max_tokens", "max_completion_tokens"),
            min_tokens=body.min_tokens or 0,
            stop=stops(body),
            n=one_of(body, "n_cmpl", "n") or 1,
            # The ids of tokens come with their probabilities.
            logprobs=bool(shown or body.return_tokens or body.stream),
            top_logprobs=shown,
            cache_prompt=body.cache_prompt is not False,
            deadline_ms=deadline_ms,
            user=body.user or "",
        )
        for prompt in asked
    ]


def _final(
    writer: Writer,
    choice: Choice,
    results: Sequence[Generated],
    body: GenerationBody,
    shows: bool,
) -> FinalReply:
    return writer.final(
        choice,
        results,
        content="".join(choice.text),
        tokens=[token.token for token in choice.logprobs] if body.return_tokens else [],
        probabilities=probabilities(choice.logprobs) if shows else None,
    )
