"""One request and its times.

Definitions, which the reports print: TTFT is from the request handed to the system to the first
read that brings text of the answer (content, thoughts, or a tool call; for a text completion any
piece, since a token may have no text of its own). E2E goes to the read with the last piece, that
which says how the answer ended included. A gap lies between two reads that bring text: pieces
that come together are seen together, however the server cut them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from kolo.bench.result import ErrorKind, Sample
from kolo.bench.wire import Endpoint, Reply, WireError
from kolo.client.sse import Reader
from kolo.errors import KoloError

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


class Ask(Struct, frozen=True, kw_only=True):
    """What is to be sent. The target adds its model's name and what it needs to be told."""

    path: str
    body: dict[str, Any]
    group: str = ""
    turn: int = 0
    keep_text: bool = False
    check: Callable[[str, bool], str] | None = None
    """Says what is wrong with a text, given whether the length limit cut it; empty if nothing."""


class Tally(Struct):
    """Pieces of text that came so far, of all requests that share it: for who watches."""

    pieces: int = 0


class Answer(Struct, frozen=True):
    sample: Sample
    text: str = ""
    """Only where it was to be kept."""


class _Delta(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(Struct, frozen=True):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _PromptDetails(Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Timings(Struct, frozen=True):
    """llama-server's, and queue_ms of ours."""

    queue_ms: float | None = None
    prompt_ms: float | None = None
    cache_n: int | None = None


class _Chunk(Struct, frozen=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Reading:
    """Takes a streamed answer as it comes and keeps what a sample needs."""

    def __init__(self, ask: Ask, first: asyncio.Event | None, tally: Tally) -> None:
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.done = False
        self.finish: str | None = None
        self.problem: tuple[ErrorKind, str] | None = None
        self.usage: _Usage | None = None
        self.timings: _Timings | None = None
        self.n_pieces = 0
        self.gaps_ms: list[float] = []
        self.text: list[str] = []
        self._keep_text = ask.keep_text or ask.check is not None
        self._event = first
        self._tally = tally
        self._latest_s = 0.0
        self._reader = Reader()

    def arrived(self, data: bytes, now: float) -> None:
        if self.problem is not None:
            return
        brought = 0
        try:
            for event in self._reader.feed(data):
                if event.data == b"[DONE]":
                    self.done = True
                else:
                    brought += self._take(_decode(event.data), now)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.problem = ("protocol", f"an event that is no chunk of OpenAI's: {error}")
        except KoloError as error:
            self.problem = ("protocol", error.message)
        if brought:
            self._count(brought, now)

    def _take(self, chunk: _Chunk, now: float) -> int:
        """The pieces of text in ``chunk``, which is at most one."""
        if chunk.error is not None:
            self.problem = ("server_error", _message(chunk.error))
            return 0
        self.usage = chunk.usage or self.usage
        self.timings = chunk.timings or self.timings
        brought = 0
        for choice in chunk.choices:
            self.last_s = now
            self.finish = choice.finish_reason or self.finish
            text = self._text_of(choice)
            if text is not None:
                brought += 1
                if self._keep_text:
                    self.text.append(text)
        return brought

    @staticmethod
    def _text_of(choice: _Choice) -> str | None:
        """What of the answer is in a piece; None for one that only opens or ends it."""
        if choice.delta is None:
            return choice.text or (None if choice.finish_reason else "")
        delta = choice.delta
        if delta.content:
            return delta.content
        return "" if delta.reasoning_content or delta.reasoning or delta.tool_calls else None

    def _count(self, brought: int, now: float) -> None:
        self.n_pieces += brought
        self._tally.pieces += brought
        if self.first_s is None:
            self.first_s = now
            if self._event is not None:
                self._event.set()
        else:
            self.gaps_ms.append(round((now - self._latest_s) * 1000, 3))
        self._latest_s = now


async def perform(
    endpoint: Endpoint,
    ask: Ask,
    body: bytes,
    *,
    round_began: float,
    late_ms: float = 0.0,
    first: asyncio.Event | None = None,
    tally: Tally | None = None,
    silence_s: float = 600.0,
) -> Answer:
    """Send ``body`` and read the answer to its end. What goes wrong is in the sample.

    ``first`` is set with the first token, and in any case at the end. Times are of the running
    loop's clock; ``round_began`` is on it too.
    """
    reading = Reading(ask, first, tally or Tally())
    now = asyncio.get_running_loop().time
    asked = now()
    try:
        reply = await endpoint.ask("POST", ask.path, body, reading, silence_s=silence_s)
    except WireError as error:
        kind, detail = reading.problem or (error.kind, error.detail)
        return Answer(_failed(ask, asked - round_began, late_ms, kind, detail))
    finally:
        if first is not None:
            first.set()
    problem = _problem(reply, reading, ask)
    if problem is not None:
        return Answer(_failed(ask, reply.sent - round_began, late_ms, *problem))
    return Answer(
        _sample(ask, reading, reply.sent, round_began, late_ms), text="".join(reading.text)
    )


def status_error(reply: Reply) -> tuple[ErrorKind, str]:
    """What an answer with a status other than 200 means, and what it says."""
    try:
        said = _message(msgspec.json.decode(reply.body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = reply.body[:200].decode("utf-8", "replace").strip()
    kinds: dict[int, ErrorKind] = {
        401: "auth", 403: "auth", 404: "not_found", 429: "busy", 503: "busy"
    }  # fmt: skip
    kind = kinds.get(reply.status, "server_error" if reply.status >= 500 else "refused")
    return kind, f"{reply.status}: {said}" if said else str(reply.status)


def _problem(reply: Reply, reading: Reading, ask: Ask) -> tuple[ErrorKind, str] | None:
    if reply.status != 200:
        return status_error(reply)
    if reading.problem is not None:
        return reading.problem
    if not reading.done and reading.finish is None:
        return "cut", "the stream ended before the answer did"
    if reading.last_s is None:
        return "protocol", "the stream holds no piece of an answer"
    if ask.check is not None:
        wrong = ask.check("".join(reading.text), reading.finish == "length")
        if wrong:
            return "invalid_output", wrong
    return None


def _sample(ask: Ask, reading: Reading, sent: float, round_began: float, late_ms: float) -> Sample:
    assert reading.last_s is not None
    usage, timings = reading.usage or _Usage(), reading.timings or _Timings()
    details = usage.prompt_tokens_details or _PromptDetails()
    cached = details.cached_tokens
    told = usage.completion_tokens
    return Sample(
        sent_s=_s(sent - round_began),
        late_ms=late_ms,
        ttft_ms=None if reading.first_s is None else _ms(reading.first_s - sent),
        e2e_ms=_ms(reading.last_s - sent),
        gaps_ms=reading.gaps_ms,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=timings.cache_n if cached is None else cached,
        output_tokens=reading.n_pieces if told is None else told,
        counted="pieces" if told is None else "usage",
        finish=reading.finish,
        queue_ms=timings.queue_ms,
        prefill_ms=timings.prompt_ms,
        group=ask.group,
        turn=ask.turn,
    )


def _failed(ask: Ask, sent_s: float, late_ms: float, kind: ErrorKind, detail: str) -> Sample:
    return Sample(
        sent_s=_s(sent_s),
        late_ms=late_ms,
        group=ask.group,
        turn=ask.turn,
        error=kind,
        detail=detail[:500],
    )


def _message(error: Any) -> str:
    """What an error says, in OpenAI's shape or another."""
    while isinstance(error, dict):
        inner = error.get("message") or error.get("error") or error.get("detail")
        if inner is None:
            break
        error = inner
    return error if isinstance(error, str) else msgspec.json.encode(error).decode()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _s(seconds: float) -> float:
    return round(seconds, 6)
