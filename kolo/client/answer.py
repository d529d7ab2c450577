"""The chunks of a streamed reply as what they are made of: deltas, usage, timings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec
from msgspec import Struct, field

from kolo.client.http import error_in
from kolo.client.sse import Event
from kolo.errors import InternalError, ServerUnreachable
from kolo.types import (
    Delta,
    FinishReason,
    Generated,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

_UNTOLD = -1
"""A token id that a reply does not tell."""


class _Function(Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class _Call(Struct, frozen=True):
    index: int = 0
    id: str = ""
    function: _Function = _Function()


class _Delta(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Likely(Struct, frozen=True):
    token: str
    logprob: float
    codes: list[int] | None = field(default=None, name="bytes")

    def raw(self) -> bytes:
        return self.token.encode() if self.codes is None else bytes(self.codes)


class _Token(_Likely, frozen=True):
    top_logprobs: list[_Likely] = []


class _Scores(Struct, frozen=True):
    content: list[_Token] = []
    """Of a chat."""
    tokens: list[str] = []
    """Of a completion, as are the next two."""
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] = []

    def read(self, n_top: int) -> list[TokenLogprob]:
        """The tokens; their ids are not told. A completion tells the drawn one among the likeliest
        even where it is none of them, so that there may be one too many."""
        scored = [
            TokenLogprob(
                _UNTOLD,
                token.token,
                token.raw(),
                token.logprob,
                [(_UNTOLD, top.token, top.raw(), top.logprob) for top in token.top_logprobs],
            )
            for token in self.content
        ]
        for text, logprob, top in zip(
            self.tokens, self.token_logprobs, self.top_logprobs, strict=False
        ):
            ranked = sorted((top or {}).items(), key=lambda each: -each[1])[:n_top]
            likeliest = [(_UNTOLD, other, other.encode(), score) for other, score in ranked]
            scored.append(TokenLogprob(_UNTOLD, text, text.encode(), logprob or 0.0, likeliest))
        return scored


class _Choice(Struct, frozen=True):
    index: int = 0
    delta: _Delta = _Delta()
    """Of a chat."""
    text: str = ""
    """Of a completion."""
    logprobs: _Scores | None = None
    finish_reason: FinishReason | None = None


class _PromptDetails(Struct, frozen=True):
    cached_tokens: int = 0


class _CompletionDetails(Struct, frozen=True):
    reasoning_tokens: int = 0


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails = _PromptDetails()
    completion_tokens_details: _CompletionDetails = _CompletionDetails()


class _Timings(Struct, frozen=True):
    """llama-server's names, and two of ours."""

    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    draft_n: int = 0
    draft_n_accepted: int = 0
    queue_ms: float = 0.0
    ttft_ms: float = 0.0


class _Progress(Struct, frozen=True):
    """Of reading the prompt, in tokens; what was in the cache counts as read."""

    total: int = 0
    cache: int = 0
    processed: int = 0


class _Chunk(Struct, frozen=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    prompt_progress: _Progress | None = None


class Answer:
    """Reads a reply. ``result`` is there once it has ended well."""

    def __init__(
        self, seed: int, n_top: int = 0, reading: Callable[[float], None] | None = None
    ) -> None:
        self.result: Generated | None = None
        self._seed = seed
        self._n_top = n_top
        self._reading = reading
        self._ends: list[Delta] = []
        """The last delta of each choice; they wait for the usage, which tells their tokens."""
        self._told = 0
        self._usage = _Usage()
        self._timings = _Timings()

    async def read(self, events: AsyncIterator[Event]) -> AsyncGenerator[Delta, None]:
        """The deltas of ``events``. Raises the error that the server sends instead of the rest,
        and ServerUnreachable if the stream ends before its end."""
        async for event in events:
            if event.data == b"[DONE]":
                self.result = self._result()
                for delta in self._last_deltas():
                    yield delta
                return
            for delta in self._deltas(event.data):
                if delta.finish is None:
                    yield delta
                else:
                    self._ends.append(delta)
        raise ServerUnreachable(
            "the server ended the answer before its end",
            hint="Look at what it printed: it was stopped, or it crashed.",
        )

    def _deltas(self, data: bytes) -> list[Delta]:
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(f"the server sent a chunk that cannot be read: {error}") from error
        if not chunk.choices and (told := error_in(data)) is not None:
            raise told
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings
        progress = chunk.prompt_progress
        if progress is not None and progress.total and self._reading is not None:
            self._reading(progress.processed / progress.total)
        return [self._delta(choice, chunk.timings) for choice in chunk.choices]

    def _delta(self, choice: _Choice, timings: _Timings | None) -> Delta:
        """Tokens are counted by the timings of a chunk; one without is a token, if anything."""
        delta = choice.delta
        text = choice.text or delta.content or ""
        calls = [
            ToolCallDelta(call.index, call.id, call.function.name, call.function.arguments)
            for call in delta.tool_calls or ()
        ]
        if timings is not None and timings.predicted_n:
            n_tokens = max(timings.predicted_n - self._told, 0)
        else:
            n_tokens = 1 if text or delta.reasoning_content or calls else 0
        self._told += n_tokens
        return Delta(
            id=0,
            index=choice.index,
            text=text,
            n_tokens=n_tokens,
            reasoning=delta.reasoning_content or "",
            tool_calls=calls,
            logprobs=choice.logprobs.read(self._n_top) if choice.logprobs else [],
            finish=choice.finish_reason,
        )

    def _last_deltas(self) -> list[Delta]:
        if self._ends:
            self._ends[-1].n_tokens += max(self._usage.completion_tokens - self._told, 0)
        return self._ends

    def _result(self) -> Generated:
        usage, timings = self._usage, self._timings
        return Generated(
            usage=Usage(
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.prompt_tokens_details.cached_tokens,
                completion_tokens=usage.completion_tokens,
                reasoning_tokens=usage.completion_tokens_details.reasoning_tokens,
            ),
            timings=Timings(
                queue_ms=timings.queue_ms,
                prefill_ms=timings.prompt_ms,
                ttft_ms=timings.ttft_ms or timings.queue_ms + timings.prompt_ms,
                decode_ms=timings.predicted_ms,
                draft_tokens=timings.draft_n,
                draft_accepted=timings.draft_n_accepted,
            ),
            seed=self._seed,
        )
