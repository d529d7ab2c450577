"""POST /v1/chat/completions."""

from __future__ import annotations

from msgspec import UNSET
from quart import Response

from kolo.manager.engine import Engine
from kolo.server.answer import Answer, Choice, collect
from kolo.server.body import renamed
from kolo.server.openai.common import (
    Identity,
    chat_logprobs,
    fingerprint,
    finish_reason,
    timings_reply,
    usage_reply,
)
from kolo.server.openai.convert import chat_request, param_names
from kolo.server.openai.replies import (
    CallReply,
    ChatChoice,
    ChatReply,
    FunctionReply,
    MessageReply,
)
from kolo.server.openai.schemas import ChatBody
from kolo.server.openai.stream import ChatRenderer
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.server.sse import stream_reply


async def chat_completions(service: Service, body: ChatBody) -> Response:
    reference = service.reference(body.model)
    op = chat_request(body, deadline_ms=service.options.request_timeout_ms)
    identity = Identity.new("chatcmpl", body.service_tier)
    with renamed(param_names(body)):
        if body.stream:
            renderer = ChatRenderer(identity, body)
            return await stream_reply(service, reference, [op], renderer)
        async with service.lease(reference) as engine:
            answer = await collect(engine, [op])
    return json_reply(chat_reply(identity, engine, answer))


def chat_reply(identity: Identity, engine: Engine, answer: Answer) -> ChatReply:
    return ChatReply(
        id=identity.id,
        created=identity.created,
        model=engine.id,
        choices=[_choice(choice) for choice in answer.choices],
        usage=usage_reply(answer.results),
        service_tier=identity.service_tier,
        system_fingerprint=fingerprint(engine),
        timings=timings_reply(answer.results),
    )


def _choice(choice: Choice) -> ChatChoice:
    text = "".join(choice.text)
    calls = [
        CallReply(id=call.id, function=FunctionReply(name=call.name, arguments=call.arguments))
        for call in choice.calls.values()
    ]
    message = MessageReply(
        content=text if text or not calls else None,
        reasoning_content="".join(choice.reasoning) if choice.reasoning else UNSET,
        tool_calls=calls or UNSET,
    )
    return ChatChoice(
        index=choice.index,
        message=message,
        logprobs=chat_logprobs(choice.shown) if choice.shown else None,
        finish_reason=finish_reason(choice.finish),
    )
