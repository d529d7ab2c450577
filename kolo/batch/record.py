"""What a result looks like as JSON (``kolo help json``)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from kolo.batch.answer import Answer, Choice
from kolo.batch.request import Id
from kolo.errors import KoloError
from kolo.types import FinishReason, Generate, Timings, TokenLogprob, Usage


class Likely(Struct, frozen=True):
    """A token that could have been drawn."""

    token: str
    logprob: float


class Token(Struct, frozen=True):
    """A token of an answer and its natural log-probability."""

    token: str
    logprob: float
    top: list[Likely]
    """The likeliest at this place, as many as ``--logprobs`` says."""


class ChoiceRecord(Struct, frozen=True, kw_only=True):
    """One of the answers to a request."""

    text: str
    finish_reason: FinishReason
    """``stop``, or ``length`` when the limit cut it (exit code 8)."""
    reasoning: str | UnsetType = UNSET
    """What the model thought before, if it did."""
    logprobs: list[Token] | UnsetType = UNSET
    """With ``--logprobs``."""


class Completion(ChoiceRecord, frozen=True, kw_only=True):
    """The answer to a request; of several the first."""

    model: str
    usage: Usage
    """Tokens of all answers; ``cached_tokens`` of the prompt's were not computed again."""
    timings: Timings
    """In milliseconds: ``ttft_ms`` to the first token, ``decode_ms`` from there to the last."""
    seed: int
    """Repeats the answer when given as ``--seed``."""
    choices: list[ChoiceRecord] | UnsetType = UNSET
    """With ``--n``: all of them, the first too."""


class CompletionLine(Completion, frozen=True, kw_only=True):
    """The answer to a request of ``--jsonl``."""

    index: int
    """Which request, from 0."""
    id: Id | UnsetType = UNSET
    """What the request called itself, if it did."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why there is no answer."""

    code: str
    """A word for programs, such as ``context_length_exceeded``."""
    message: str
    hint: str | UnsetType = UNSET
    param: str | UnsetType = UNSET
    """The field that it is about."""


class FailedLine(Struct, frozen=True, kw_only=True):
    """A request of ``--jsonl`` that has no answer."""

    index: int
    id: Id | UnsetType = UNSET
    error: Problem


def completion(model: str, op: Generate, answer: Answer) -> Completion:
    assert answer.result is not None
    choices = [_choice(choice, op) for choice in answer.choices]
    timings = asdict(answer.result.timings)
    return Completion(
        **asdict(choices[0]),
        model=model,
        usage=answer.result.usage,
        # What is below a microsecond is noise.
        timings=Timings(**{name: round(value, 3) for name, value in timings.items()}),
        seed=answer.result.seed,
        choices=choices if op.n > 1 else UNSET,
    )


def completion_line(index: int, id: Id | None, record: Completion) -> CompletionLine:
    return CompletionLine(**asdict(record), index=index, id=_or_unset(id))


def failed_line(index: int, id: Id | None, error: KoloError) -> FailedLine:
    problem = Problem(
        code=error.code,
        message=error.message,
        hint=error.hint or UNSET,
        param=error.param or UNSET,
    )
    return FailedLine(index=index, id=_or_unset(id), error=problem)


def encoded(record: Struct) -> bytes:
    """As JSON; in a line, which request it is about comes first."""
    fields = msgspec.to_builtins(record)
    first = {name: fields[name] for name in ("index", "id") if name in fields}
    return msgspec.json.encode(first | fields)


def _or_unset(id: Id | None) -> Id | UnsetType:
    return UNSET if id is None else id


def _choice(choice: Choice, op: Generate) -> ChoiceRecord:
    assert choice.finish is not None
    return ChoiceRecord(
        text=choice.text,
        finish_reason=choice.finish,
        reasoning=choice.reasoning or UNSET,
        logprobs=[_scored(token) for token in choice.logprobs] if op.logprobs else UNSET,
    )


def _scored(token: TokenLogprob) -> Token:
    top = [Likely(text, logprob) for _, text, _, logprob in token.top]
    return Token(token.text, token.logprob, top)
