"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Sequence

from quart import Response

from kolo.manager.engine import Engine
from kolo.server.answer import Answer, Choice, collect
from kolo.server.openai.common import (
    Identity,
    fingerprint,
    finish_reason,
    prompt_text,
    text_logprobs,
    timings_reply,
    usage_reply,
)
from kolo.server.openai.prompts import completion_requests
from kolo.server.openai.replies import TextChoice, TextLogprobs, TextReply
from kolo.server.openai.schemas import CompletionBody
from kolo.server.openai.stream import TextRenderer
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.server.sse import stream_reply
from kolo.types import Detokenize, Generate, Generated, Prompt, Tokenize


async def completions(service: Service, body: CompletionBody) -> Response:
    reference = service.reference(body.model)
    ops = completion_requests(body, deadline_ms=service.options.request_timeout_ms)
    identity = Identity.new("cmpl", body.service_tier)
    echo = bool(body.echo)
    if body.stream:
        renderer = TextRenderer(identity, body, ops)
        return await stream_reply(service, reference, ops, renderer)
    async with service.lease(reference) as engine:
        answer = await collect(engine, ops)
        echoes = await _echoes(engine, ops, answer.results) if echo else []
    return json_reply(_reply(identity, engine, answer, ops[0].n, echoes))


def _reply(
    identity: Identity,
    engine: Engine,
    answer: Answer,
    n: int,
    echoes: Sequence[tuple[str, TextLogprobs | None]],
) -> TextReply:
    return TextReply(
        id=identity.id,
        created=identity.created,
        model=engine.id,
        choices=[
            _choice(choice, echoes[choice.index // n] if echoes else ("", None))
            for choice in answer.choices
        ],
        usage=usage_reply(answer.results),
        service_tier=identity.service_tier,
        system_fingerprint=fingerprint(engine),
        timings=timings_reply(answer.results),
    )


def _choice(choice: Choice, echo: tuple[str, TextLogprobs | None]) -> TextChoice:
    prefix, prefix_scores = echo
    scores = None
    if choice.shown or prefix_scores is not None:
        scores = text_logprobs(choice.shown, len(prefix))
    if scores is not None and prefix_scores is not None:
        scores = TextLogprobs(
            tokens=prefix_scores.tokens + scores.tokens,
            token_logprobs=prefix_scores.token_logprobs + scores.token_logprobs,
            top_logprobs=prefix_scores.top_logprobs + scores.top_logprobs,
            text_offset=prefix_scores.text_offset + scores.text_offset,
        )
    return TextChoice(
        index=choice.index,
        text=prefix + "".join(choice.text),
        logprobs=scores,
        finish_reason=finish_reason(choice.finish),
    )


# Prompts sent back -------------------------------------------------------------------------


async def _echoes(
    engine: Engine, ops: Sequence[Generate], results: Sequence[Generated]
) -> list[tuple[str, TextLogprobs | None]]:
    """The text of each prompt, and how likely its tokens were if that was asked for."""
    return [
        (await prompt_text(engine, op), await _prompt_scores(engine, op, result))
        for op, result in zip(ops, results, strict=True)
    ]


async def _prompt_scores(engine: Engine, op: Generate, result: Generated) -> TextLogprobs | None:
    """The first token has nothing before it that could make it likely."""
    found = result.prompt_logprobs
    if not op.prompt_logprobs or not found:
        return None
    first = await _first_token(engine, op)
    scores = text_logprobs([token for token in found[1:] if token is not None], len(first))
    scores.tokens.insert(0, first)
    scores.token_logprobs.insert(0, None)
    scores.top_logprobs.insert(0, None)
    scores.text_offset.insert(0, 0)
    return scores


async def _first_token(engine: Engine, op: Generate) -> str:
    assert isinstance(op.input, Prompt)
    if op.input.tokens is not None:
        return (await engine.call(Detokenize(tokens=op.input.tokens[:1]))).text
    found = await engine.call(Tokenize(text=op.input.text or "", add_special=True))
    return found.pieces[0].decode("utf-8", "replace") if found.pieces else ""
