"""Deltas and answers in llama-server's own words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from kolo.manager.engine import Engine
from kolo.server.answer import Choice
from kolo.server.envelope import Problem
from kolo.server.llama.generation import (
    FinalReply,
    GenerationBody,
    PartialReply,
    TokenProbability,
    TopProbability,
)
from kolo.server.llama.props import settings_of
from kolo.server.openai.common import prompt_text, timings_reply
from kolo.server.openai.replies import ProgressReply
from kolo.server.openai.stream import Clock
from kolo.server.sse import Renderer, error_event, event
from kolo.stats import SlotStats
from kolo.types import Delta, Generate, Generated, TokenLogprob


class Writer:
    """Writes the final replies of one request. ``prompts`` are the texts of ``ops``."""

    def __init__(
        self,
        engine: Engine,
        ops: Sequence[Generate],
        prompts: Sequence[str],
        settings: dict[str, Any],
    ) -> None:
        self._model = engine.id
        self._ops = ops
        self._prompts = prompts
        self._settings = settings

    @classmethod
    async def of(cls, engine: Engine, ops: Sequence[Generate], body: GenerationBody) -> Writer:
        prompts = [await prompt_text(engine, op) for op in ops]
        return cls(engine, ops, prompts, _settings(engine, ops[0], body))

    def final(
        self,
        choice: Choice,
        results: Sequence[Generated],
        *,
        content: str,
        tokens: list[int],
        probabilities: list[TokenProbability] | None = None,
    ) -> FinalReply:
        at = choice.index // self._ops[0].n
        result = results[at]
        return FinalReply(
            index=choice.index,
            content=content,
            tokens=tokens,
            id_slot=choice.slot,
            model=self._model,
            tokens_predicted=choice.n_tokens,
            tokens_evaluated=result.usage.prompt_tokens,
            generation_settings={**self._settings, "seed": result.seed},
            prompt=self._prompts[at],
            has_new_line=any("\n" in text for text in choice.text),
            stop_type=_stop_type(choice),
            stopping_word=choice.stop_sequence or "",
            tokens_cached=result.usage.cached_tokens,
            timings=timings_reply([result]),
            completion_probabilities=UNSET if probabilities is None else probabilities,
        )


class NativeRenderer(Renderer):
    """An event per piece of text, and one that ends each choice."""

    def __init__(self, body: GenerationBody, ops: Sequence[Generate], *, shows: bool) -> None:
        self.wants_progress = bool(body.return_progress)
        self.wants_start = bool(body.timings_per_token)
        self._body = body
        self._ops = ops
        self._shows_probabilities = shows
        self._clock = Clock() if body.timings_per_token else None
        self._began_s = 0.0
        self._n_prompt: int | msgspec.UnsetType = UNSET
        self._choices = {index: Choice(index) for index in range(sum(op.n for op in ops))}
        self._writer: Writer

    async def begin(self, engine: Engine) -> bytes:
        self._began_s = time.monotonic()
        self._writer = await Writer.of(engine, self._ops, self._body)
        return b""

    def progress(self, slot: SlotStats) -> bytes:
        reply = PartialReply(index=0, content="", tokens=[], id_slot=slot.id, tokens_predicted=0)
        reply.tokens_evaluated = slot.prompt_tokens
        reply.prompt_progress = ProgressReply(
            total=slot.prompt_tokens,
            cache=slot.prompt_cached,
            processed=slot.prompt_done,
            time_ms=round((time.monotonic() - self._began_s) * 1000),
        )
        return event(reply)

    def started(self, slot: SlotStats) -> None:
        self._n_prompt = slot.prompt_tokens
        if self._clock is not None:
            self._clock.knows(slot)

    def deltas(self, batch: Sequence[Delta]) -> bytes:
        return b"".join(self._partial(delta) for delta in batch)

    def end(self, results: Sequence[Generated]) -> bytes:
        return b"".join(
            event(self._writer.final(choice, results, content="", tokens=[]))
            for choice in self._choices.values()
        )

    def failed(self, problem: Problem) -> bytes:
        return error_event(problem)

    def _partial(self, delta: Delta) -> bytes:
        choice = self._choices[delta.index]
        choice.add(delta)
        timings = self._clock.tick(delta.n_tokens, self._began_s) if self._clock else UNSET
        if not (delta.text or delta.logprobs):
            return b""
        reply = PartialReply(
            index=delta.index,
            content=delta.text,
            tokens=[token.token for token in delta.logprobs],
            id_slot=delta.slot,
            tokens_predicted=choice.n_tokens,
            tokens_evaluated=self._n_prompt,
            timings=timings,
        )
        if self._shows_probabilities:
            reply.completion_probabilities = probabilities(delta.logprobs)
        return event(reply)


def probabilities(tokens: Sequence[TokenLogprob]) -> list[TokenProbability]:
    return [
        TokenProbability(
            id=token.token,
            token=token.text,
            bytes=list(token.raw),
            logprob=token.logprob,
            top_logprobs=[
                TopProbability(id=id, token=text, bytes=list(raw), logprob=logprob)
                for id, text, raw, logprob in token.top
            ],
        )
        for token in tokens
    ]


def _settings(engine: Engine, op: Generate, body: GenerationBody) -> dict[str, Any]:
    return {
        **settings_of(engine, op),
        "stop": op.stop,
        "stream": bool(body.stream),
        "grammar": body.grammar or "",
        "n_ctx": engine.info.n_ctx,
        "model": engine.id,
    }


def _stop_type(choice: Choice) -> Literal["none", "eos", "limit", "word"]:
    if choice.stop_sequence is not None:
        return "word"
    return "limit" if choice.finish == "length" else "eos"
