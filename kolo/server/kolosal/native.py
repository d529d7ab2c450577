"""Kolosal's own inference routes: POST /inference/completions and /inference/chat/completions.

``text`` is what the model wrote, thoughts and tool calls as they stand in it. ``ttft`` is
milliseconds, ``tps`` tokens a second after the first one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from quart import Response

from kolo.errors import BadParameter, UsageError
from kolo.manager.engine import Engine
from kolo.server.answer import collect
from kolo.server.body import decode
from kolo.server.envelope import Problem
from kolo.server.kolosal.counting import ratio
from kolo.server.openai.convert import chat
from kolo.server.openai.schemas import MAX_TOOLS, ChatBody, ChatMessage, ToolBody
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.server.sse import DONE, Renderer, error_event, event, stream_reply
from kolo.types import Chat, Delta, Generate, Generated, Prompt, Sampling

MIN_LENGTH = 8


class NativeOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Annotated[
        str | None, Meta(description="A model of GET /models; the only one if left out.")
    ] = None
    maxNewTokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 128
    minLength: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        Meta(description=f"Tokens to write at least; {MIN_LENGTH}, or maxNewTokens if less."),
    ] = None
    temperature: Annotated[float, Meta(ge=0, le=100)] = 1.0
    topP: Annotated[float, Meta(ge=0, le=1)] = 0.5
    randomSeed: Annotated[int, Meta(ge=-1, le=2**63 - 1)] = 42
    streaming: bool = False
    kvCacheFilePath: Annotated[
        Literal[""], Meta(description="Prefixes are kept and found without a file.")
    ] = ""
    seqId: Annotated[
        Literal[-1], Meta(description="The slot that knows most of the prompt is taken.")
    ] = -1


class NativeCompletionBody(NativeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prompt: str


class NativeMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str


class NativeChatBody(NativeOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    messages: Annotated[list[NativeMessage], Meta(min_length=1, max_length=100_000)]
    tools: Annotated[
        str, Meta(description="OpenAI's list of tools, as JSON text; empty for none.")
    ] = ""
    toolChoice: Literal["auto", "none", "required"] = "auto"


class NativeReply(Struct, kw_only=True):
    tokens: list[int]
    text: str
    tps: float
    ttft: float
    partial: Annotated[bool | UnsetType, Meta(description="Of an event: whether more follows.")] = (
        UNSET
    )


_tools_decoder: msgspec.json.Decoder[list[ToolBody]] = msgspec.json.Decoder(
    Annotated[list[ToolBody], Meta(max_length=MAX_TOOLS)]
)


async def complete(service: Service, body: NativeCompletionBody) -> Response:
    return await _answer(service, body, Prompt(text=body.prompt))


async def complete_chat(service: Service, body: NativeChatBody) -> Response:
    conversation = chat(
        ChatBody(
            messages=[ChatMessage(role=one.role, content=one.content) for one in body.messages],
            tools=_tools(body.tools),
            tool_choice=body.toolChoice,
        )
    )
    return await _answer(service, body, replace(conversation, parse=False))


def _tools(text: str) -> list[ToolBody] | None:
    if not text.strip():
        return None
    try:
        return decode(_tools_decoder, text.encode())
    except UsageError as error:
        raise BadParameter(
            f"tools is JSON text, and {error.message}",
            hint=error.hint,
            param=f"tools{error.param or ''}",
        ) from None


async def _answer(service: Service, body: NativeOptions, asked: Chat | Prompt) -> Response:
    reference = service.reference(body.model)
    op = _request(body, asked, service.options.request_timeout_ms)
    if body.streaming:
        return await stream_reply(service, reference, [op], NativeRenderer())
    async with service.lease(reference) as engine:
        answer = await collect(engine, [op])
    (choice,), (result,) = answer.choices, answer.results
    return json_reply(
        _reply([token.token for token in choice.logprobs], "".join(choice.text), result)
    )


def _request(body: NativeOptions, asked: Chat | Prompt, deadline_ms: int | None) -> Generate:
    fewest = min(MIN_LENGTH, body.maxNewTokens) if body.minLength is None else body.minLength
    if fewest > body.maxNewTokens:
        raise BadParameter(
            f"minLength is {fewest}, more than maxNewTokens, which is {body.maxNewTokens}",
            hint="Lower it.",
            param="minLength",
        )
    return Generate(
        input=asked,
        sampling=Sampling(temperature=body.temperature, top_p=body.topP, seed=body.randomSeed),
        max_tokens=body.maxNewTokens,
        min_tokens=fewest,
        logprobs=True,  # with which the tokens' ids come
        deadline_ms=deadline_ms,
    )


def _reply(tokens: list[int], text: str, result: Generated) -> NativeReply:
    written, decode_ms = result.usage.completion_tokens, result.timings.decode_ms
    return NativeReply(
        tokens=tokens,
        text=text,
        tps=ratio(written * 1000, decode_ms),
        ttft=round(result.timings.ttft_ms, 3),
    )


class NativeRenderer(Renderer):
    """An event with what is new; the last one has everything. Until then times are the
    server's own, from the moment the model was there."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._sent = 0
        """Of those tokens."""
        self._text: list[str] = []
        self._began_s = 0.0
        self._first_s = 0.0

    async def begin(self, engine: Engine) -> bytes:
        self._began_s = time.monotonic()
        return b""

    def deltas(self, batch: Sequence[Delta]) -> bytes:
        self._first_s = self._first_s or time.monotonic()
        text = "".join(delta.text for delta in batch)
        self._tokens += [token.token for delta in batch for token in delta.logprobs]
        self._text.append(text)
        return self._partial(text) if text else b""

    def end(self, results: Sequence[Generated]) -> bytes:
        reply = _reply(self._tokens, "".join(self._text), results[0])
        reply.partial = False
        # The token that ended the answer has no text with which it could have been sent.
        unsent = self._partial("") if self._sent < len(self._tokens) else b""
        return unsent + event(reply) + DONE

    def failed(self, problem: Problem) -> bytes:
        return error_event(problem)

    def _partial(self, text: str) -> bytes:
        tokens, self._sent = self._tokens[self._sent :], len(self._tokens)
        return event(
            NativeReply(
                tokens=tokens,
                text=text,
                tps=ratio(len(self._tokens), time.monotonic() - self._first_s),
                ttft=round((self._first_s - self._began_s) * 1000, 3),
                partial=True,
            )
        )
