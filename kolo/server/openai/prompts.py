"""From a text completion's body to one Generate for each of its prompts."""

from __future__ import annotations

from msgspec.structs import replace

from kolo.errors import BadParameter
from kolo.server.openai.schemas import MAX_PROMPTS, CompletionBody
from kolo.server.openai.shared import (
    check_alone,
    check_common,
    constraint,
    sampling,
    stops,
    token_bound,
)
from kolo.types import Generate, Prompt

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, of text completions alone."""


def completion_requests(body: CompletionBody, *, deadline_ms: int | None) -> list[Generate]:
    """Raises BadParameter for what the types alone do not say."""
    check_common(body)
    _check(body)
    unbounded = body.max_tokens is None and body.n_predict is None
    max_tokens = token_bound(body, "max_tokens", "n_predict")
    common = Generate(
        input=Prompt(),
        sampling=sampling(body),
        constraint=constraint(body),
        max_tokens=DEFAULT_MAX_TOKENS if unbounded else max_tokens,
        min_tokens=body.min_tokens or 0,
        stop=stops(body),
        n=body.n or 1,
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        prompt_logprobs=bool(body.echo) and body.logprobs is not None,
        cache_prompt=body.cache_prompt is not False,
        deadline_ms=deadline_ms,
        user=body.user or "",
    )
    found = prompts(body.prompt)
    check_alone(body, len(found))
    return [_with_prompt(common, prompt, body.suffix) for prompt in found]


def prompts(
    given: str | list[str | int | list[int]], *, param: str = "prompt", most: int = MAX_PROMPTS
) -> list[str | list[int]]:
    """The prompts of a field that takes one or a list: texts, or lists of token ids."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise BadParameter(f"{param} is empty", hint="Send a text.", param=param)
    ids = [item for item in given if isinstance(item, int)]
    if len(ids) == len(given):
        return [ids]
    if ids:
        raise BadParameter(
            f"{param} mixes token ids with texts or lists",
            hint="Send texts alone, or token ids alone.",
            param=param,
        )
    if len(given) > most:
        raise BadParameter(
            f"{param} has {len(given)} entries, at most {most} are taken",
            hint="Send several requests.",
            param=param,
        )
    for at, item in enumerate(given):
        if item == []:
            raise BadParameter(
                f"{param}[{at}] is empty", hint="Send some tokens.", param=f"{param}[{at}]"
            )
    return [item for item in given if not isinstance(item, int)]


def _check(body: CompletionBody) -> None:
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise BadParameter(
            "best_of cannot be honoured beyond n: Kolo sends every answer it writes",
            hint="Leave it out, or send the same as n.",
            param="best_of",
        )
    if body.echo and body.suffix is not None:
        raise BadParameter(
            "echo and suffix do not go together", hint="Leave one out.", param="suffix"
        )
    if body.echo and body.stream and body.logprobs is not None:
        raise BadParameter(
            "echo with logprobs cannot be streamed: the prompt's are known at the end",
            hint="Send stream: false, or leave echo or logprobs out.",
            param="echo",
        )


def _with_prompt(common: Generate, prompt: str | list[int], suffix: str | None) -> Generate:
    if isinstance(prompt, str):
        return replace(common, input=Prompt(text=prompt, suffix=suffix))
    if suffix is not None:
        raise BadParameter(
            "suffix needs a prompt of text", hint="Send the prompt as text.", param="suffix"
        )
    return replace(common, input=Prompt(tokens=prompt))
