"""Deltas to OpenAI's chunks.

All of a chunk but its text is the same from token to token, so it is encoded once for each
choice and the text put between. The chunk that ends the last choice waits for the end of the
request, which comes with it: it carries the timings, as llama-server's does.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from kolo.manager.engine import Engine
from kolo.server.envelope import Problem
from kolo.server.openai.common import (
    Identity,
    chat_logprobs,
    fingerprint,
    finish_reason,
    prompt_text,
    text_logprobs,
    timings,
    timings_reply,
    usage_reply,
)
from kolo.server.openai.fields import Common
from kolo.server.openai.replies import CallDelta, FunctionDelta, ProgressReply
from kolo.server.openai.schemas import ChatBody, CompletionBody
from kolo.server.scores import Shown, n_characters
from kolo.server.sse import DONE, Renderer, error_event
from kolo.stats import SlotStats
from kolo.types import Delta, Generate, Generated, ToolCallDelta

encode = msgspec.json.Encoder().encode
NULL = b"null"
_PLAIN_END = b'},"logprobs":null,"finish_reason":null}]'


class ChunkRenderer(Renderer):
    """What chat and text chunks have in common. ``object`` is their type's name."""

    object: str

    def __init__(self, identity: Identity, body: Common) -> None:
        options = body.stream_options
        self.wants_progress = bool(body.return_progress)
        self.wants_start = bool(body.timings_per_token)
        self._identity = identity
        self._include_usage = options is not None and bool(options.include_usage)
        self._clock = Clock() if body.timings_per_token else None
        self._head = b""
        self._began_s = 0.0
        """When the engine had the request, on the monotonic clock."""
        self._usage = b',"usage":null' if self._include_usage else b""
        self._tail = self._usage + b"}\n\n"
        self._held = b""
        """A chunk that ends a choice, but for its tail."""
        self._shown: defaultdict[int, Shown] = defaultdict(Shown)

    async def begin(self, engine: Engine) -> bytes:
        self._began_s = time.monotonic()
        identity = self._identity
        fields: dict[str, Any] = {
            "id": identity.id,
            "object": self.object,
            "created": identity.created,
            "model": engine.id,
            "system_fingerprint": fingerprint(engine),
        }
        if identity.service_tier is not UNSET:
            fields["service_tier"] = identity.service_tier
        self._head = b"data: " + encode(fields)[:-1] + b',"choices":['
        return b""

    def progress(self, slot: SlotStats) -> bytes:
        progress = ProgressReply(
            total=slot.prompt_tokens,
            cache=slot.prompt_cached,
            processed=slot.prompt_done,
            time_ms=round((time.monotonic() - self._began_s) * 1000),
        )
        out: list[bytes] = []
        self._empty(out)
        out += (b',"prompt_progress":', encode(progress), self._tail)
        return b"".join(out)

    def started(self, slot: SlotStats) -> None:
        if self._clock is not None:
            self._clock.knows(slot)

    def deltas(self, batch: Sequence[Delta]) -> bytes:
        out: list[bytes] = []
        for delta in batch:
            self._release(out)
            if self._clock is not None:
                so_far = encode(self._clock.tick(delta.n_tokens, self._began_s))
                self._tail = self._usage + b',"timings":' + so_far + b"}\n\n"
            self._delta(delta, out)
        return b"".join(out)

    def end(self, results: Sequence[Generated]) -> bytes:
        last = b',"timings":' + encode(timings_reply(results)) + b"}\n\n"
        if not self._include_usage:
            return self._held + last + DONE
        out: list[bytes] = []
        self._release(out)
        out += (self._head, b'],"usage":', encode(usage_reply(results)), last, DONE)
        return b"".join(out)

    def failed(self, problem: Problem) -> bytes:
        out: list[bytes] = []
        self._release(out)
        out.append(error_event(problem))
        return b"".join(out)

    @abstractmethod
    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        """Add the chunks of ``delta``, and hold the one that ends its choice."""

    @abstractmethod
    def _empty(self, out: list[bytes]) -> None:
        """Add a chunk without text, but for its tail."""

    def _release(self, out: list[bytes]) -> None:
        if self._held:
            out += (self._held, self._tail)
            self._held = b""


class Clock:
    """Timings of an answer that is still being written, as this side of the engine sees them:
    those that end it are the engine's own."""

    def __init__(self) -> None:
        self._first_s = 0.0
        self._n_predicted = 0
        self._slot: SlotStats | None = None

    def knows(self, slot: SlotStats) -> None:
        """Of the prompt; without it the timings are of what is written alone."""
        self._slot = slot

    def tick(self, n_tokens: int, began_s: float) -> dict[str, float]:
        """``n_tokens`` more were written of what was asked at ``began_s``."""
        now_s = time.monotonic()
        self._first_s = self._first_s or now_s
        self._n_predicted += n_tokens
        slot = self._slot
        found = timings(
            cached=slot.prompt_cached if slot is not None else 0,
            prompt=slot.prompt_tokens if slot is not None else 0,
            prompt_ms=(self._first_s - began_s) * 1000,
            predicted=self._n_predicted,
            predicted_ms=(now_s - self._first_s) * 1000,
        )
        known: dict[str, float] = msgspec.to_builtins(found)
        if slot is None:
            known = {name: value for name, value in known.items() if name[:9] == "predicted"}
        return known


class ChatRenderer(ChunkRenderer):
    object = "chat.completion.chunk"

    def __init__(self, identity: Identity, body: ChatBody) -> None:
        super().__init__(identity, body)
        self._scored = bool(body.logprobs)
        self._heads: dict[int, bytes] = {}
        """By choice, from the first delta on, which opens it with its role."""

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        """A chunk for each channel: many clients look at one field of a chunk only."""
        head = self._heads.get(delta.index) or self._open(delta, out)
        scores = self._scores_of(delta) if self._scored else NULL
        if delta.reasoning:
            out += (head, b'"reasoning_content":', encode(delta.reasoning), _PLAIN_END, self._tail)
        if delta.text or scores is not NULL:
            out += (head, b'"content":', encode(delta.text), b'},"logprobs":', scores)
            out += (b',"finish_reason":null}]', self._tail)
        for call in delta.tool_calls:
            out += (head, b'"tool_calls":[', encode(_call(call)), b"]", _PLAIN_END, self._tail)
        if delta.finish is not None:
            finish = finish_reason(delta.finish).encode()
            self._held = b'%b},"logprobs":null,"finish_reason":"%b"}]' % (head, finish)

    def _empty(self, out: list[bytes]) -> None:
        out += (self._head, b'{"index":0,"delta":{', _PLAIN_END)

    def _open(self, delta: Delta, out: list[bytes]) -> bytes:
        head = b'%b{"index":%d,"delta":{' % (self._head, delta.index)
        self._heads[delta.index] = head
        content = NULL if delta.tool_calls and not delta.text else b'""'
        out += (head, b'"role":"assistant","content":', content, _PLAIN_END, self._tail)
        return head

    def _scores_of(self, delta: Delta) -> bytes:
        shown = self._shown[delta.index].feed(delta)
        return encode(chat_logprobs(shown)) if shown else NULL


class TextRenderer(ChunkRenderer):
    """``ops`` are the prompts, whose texts are sent first if they are to be echoed."""

    object = "text_completion"

    def __init__(self, identity: Identity, body: CompletionBody, ops: Sequence[Generate]) -> None:
        super().__init__(identity, body)
        self._ops = ops
        self._echo = bool(body.echo)
        self._scored = body.logprobs is not None
        self._offsets: Counter[int] = Counter()
        """By choice, characters of its text so far."""

    async def begin(self, engine: Engine) -> bytes:
        out = [await super().begin(engine)]
        for at, op in enumerate(self._ops if self._echo else ()):
            text = await prompt_text(engine, op)
            for index in range(at * op.n, (at + 1) * op.n):
                self._chunk(index, text, NULL, NULL, out)
                out.append(self._tail)
                self._offsets[index] = len(text)
        return b"".join(out)

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        scores = self._scores_of(delta) if self._scored else NULL
        if delta.text or scores is not NULL:
            self._chunk(delta.index, delta.text, scores, NULL, out)
            out.append(self._tail)
        if delta.finish is not None:
            held: list[bytes] = []
            self._chunk(delta.index, "", NULL, encode(finish_reason(delta.finish)), held)
            self._held = b"".join(held)

    def _scores_of(self, delta: Delta) -> bytes:
        shown = self._shown[delta.index].feed(delta)
        if not shown:
            return NULL
        scores = text_logprobs(shown, self._offsets[delta.index])
        self._offsets[delta.index] += sum(n_characters(token.raw) for token in shown)
        return encode(scores)

    def _empty(self, out: list[bytes]) -> None:
        self._chunk(0, "", NULL, NULL, out)

    def _chunk(
        self, index: int, text: str, logprobs: bytes, finish: bytes, out: list[bytes]
    ) -> None:
        out += (self._head, b'{"index":%d,"text":' % index, encode(text), b',"logprobs":')
        out += (logprobs, b',"finish_reason":', finish, b"}]")


def _call(piece: ToolCallDelta) -> CallDelta:
    if not piece.name:
        return CallDelta(index=piece.index, function=FunctionDelta(arguments=piece.arguments))
    function = FunctionDelta(name=piece.name, arguments=piece.arguments)
    return CallDelta(index=piece.index, id=piece.id, type="function", function=function)
