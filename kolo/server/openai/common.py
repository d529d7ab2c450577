"""What every reply of OpenAI's generating routes holds: ids, usage, timings, log-probabilities."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import msgspec

import kolo
from kolo.manager.engine import Engine
from kolo.server.openai.replies import (
    ChatLogprobs,
    ChatToken,
    CompletionDetails,
    Finish,
    PromptDetails,
    TextLogprobs,
    TimingsReply,
    TopToken,
    UsageReply,
)
from kolo.server.scores import n_characters
from kolo.types import Detokenize, FinishReason, Generate, Generated, Prompt, TokenLogprob

_ALNUM = string.ascii_letters + string.digits
_ID_CHARS = 24
_fingerprints: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Identity:
    """What names one reply, the same in each of its chunks."""

    id: str
    created: int
    """Unix time in seconds."""
    service_tier: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def new(cls, prefix: str, service_tier: str | None) -> Identity:
        """``service_tier`` is told only to those who asked for one."""
        name = "".join(secrets.choice(_ALNUM) for _ in range(_ID_CHARS))
        tier = "default" if service_tier is not None else msgspec.UNSET
        return cls(f"{prefix}-{name}", int(time.time()), tier)


def fingerprint(engine: Engine) -> str:
    """OpenAI's ``system_fingerprint``: the same as long as a seed gives the same answer."""
    if engine not in _fingerprints:
        info = engine.info
        parts = (
            kolo.__version__,
            str(engine.spec.path),
            engine.spec.params,
            info.size_bytes,
            info.system_info,
            info.devices,
        )
        digest = hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=5)
        _fingerprints[engine] = f"fp_{digest.hexdigest()}"
    return _fingerprints[engine]


def usage_reply(results: Sequence[Generated]) -> UsageReply:
    prompt = sum(result.usage.prompt_tokens for result in results)
    written = sum(result.usage.completion_tokens for result in results)
    return UsageReply(
        prompt_tokens=prompt,
        completion_tokens=written,
        total_tokens=prompt + written,
        prompt_tokens_details=PromptDetails(
            cached_tokens=sum(result.usage.cached_tokens for result in results)
        ),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(result.usage.reasoning_tokens for result in results)
        ),
    )


def timings_reply(results: Sequence[Generated]) -> TimingsReply:
    """Of several prompts, the sums."""
    drafted = sum(result.timings.draft_tokens for result in results)
    reply = timings(
        cached=sum(result.usage.cached_tokens for result in results),
        prompt=sum(result.usage.prompt_tokens for result in results),
        prompt_ms=sum(result.timings.prefill_ms for result in results),
        predicted=sum(result.usage.completion_tokens for result in results),
        predicted_ms=sum(result.timings.decode_ms for result in results),
    )
    reply.queue_ms = round(sum(result.timings.queue_ms for result in results), 3)
    reply.ttft_ms = round(sum(result.timings.ttft_ms for result in results), 3)
    if drafted:
        reply.draft_n = drafted
        reply.draft_n_accepted = sum(result.timings.draft_accepted for result in results)
    return reply


def timings(
    *, cached: int, prompt: int, prompt_ms: float, predicted: int, predicted_ms: float
) -> TimingsReply:
    """``prompt`` includes the ``cached`` tokens; a rate of nothing is 0."""
    computed = prompt - cached
    return TimingsReply(
        cache_n=cached,
        prompt_n=computed,
        prompt_ms=round(prompt_ms, 3),
        prompt_per_token_ms=_ratio(prompt_ms, computed),
        prompt_per_second=_ratio(computed * 1000, prompt_ms),
        predicted_n=predicted,
        predicted_ms=round(predicted_ms, 3),
        predicted_per_token_ms=_ratio(predicted_ms, predicted),
        predicted_per_second=_ratio(predicted * 1000, predicted_ms),
    )


def finish_reason(finish: FinishReason) -> Finish:
    """A cancelled answer is read by nobody; it stopped."""
    return "stop" if finish == "cancelled" else finish


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> ChatLogprobs:
    return ChatLogprobs(
        content=[
            ChatToken(
                token=token.text,
                logprob=token.logprob,
                bytes=list(token.raw),
                top_logprobs=[
                    TopToken(token=text, logprob=logprob, bytes=list(raw))
                    for _, text, raw, logprob in token.top
                ],
            )
            for token in tokens
        ]
    )


def text_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> TextLogprobs:
    """``offset`` is where the first token begins in the text of its choice."""
    scores = TextLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
    for token in tokens:
        scores.tokens.append(token.text)
        scores.token_logprobs.append(token.logprob)
        top = {text: logprob for _, text, _, logprob in token.top}
        scores.top_logprobs.append(top | {token.text: token.logprob})
        scores.text_offset.append(offset)
        offset += n_characters(token.raw)
    return scores


async def prompt_text(engine: Engine, op: Generate) -> str:
    """The text of a prompt, which may have been sent as tokens."""
    assert isinstance(op.input, Prompt)
    if op.input.tokens is None:
        return op.input.text or ""
    return (await engine.call(Detokenize(tokens=op.input.tokens))).text


def _ratio(value: float, by: float) -> float:
    return round(value / by, 3) if by else 0.0
