"""A Generate in OpenAI's words, with llama-server's where OpenAI has none."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from kolo.errors import Unsupported
from kolo.types import Chat, Constraint, Generate, Prompt, Reasoning


def path_of(op: Generate) -> str:
    return "/v1/chat/completions" if isinstance(op.input, Chat) else "/v1/completions"


def with_seed(op: Generate) -> Generate:
    """``op`` with a seed: a reply does not tell which one was drawn, so it is drawn here."""
    if op.sampling.seed is not None and op.sampling.seed >= 0:
        return op
    sampling = msgspec.structs.replace(op.sampling, seed=int.from_bytes(os.urandom(4)))
    return msgspec.structs.replace(op, sampling=sampling)


def body_of(model: str, op: Generate) -> dict[str, Any]:
    """The JSON body of a streamed request. Unsupported for what cannot be said over HTTP."""
    _refuse(op)
    body = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,  # the only place that says how many tokens a chunk holds
        "max_tokens": -1 if op.max_tokens is None else op.max_tokens,
        **msgspec.to_builtins(op.sampling),
    }
    if op.min_tokens:
        body["min_tokens"] = op.min_tokens
    if op.stop:
        body["stop"] = op.stop
    if op.n > 1:
        body["n"] = op.n
    if not op.cache_prompt:
        body["cache_prompt"] = False
    if op.user:
        body["user"] = op.user
    if op.logprobs:
        body |= _scores(op)
    if op.constraint is not None:
        body |= _constraint(op.constraint)
    return body | (_chat(op.input) if isinstance(op.input, Chat) else _prompt(op.input))


def messages_of(chat: Chat) -> dict[str, Any]:
    """What of a body says the conversation, and how the template is to render it."""
    return _chat(chat)


def _refuse(op: Generate) -> None:
    unsaid = {
        "prompt_logprobs": op.prompt_logprobs,
        "deadline_ms": op.deadline_ms is not None,
    }
    if isinstance(op.input, Chat):
        reasoning = op.input.reasoning
        unsaid["reasoning.enabled"] = reasoning is not None and reasoning.enabled is True
    else:
        unsaid["prefix_context"] = op.input.prefix_context is not None
        unsaid["add_special"] = not op.input.add_special
        unsaid["parse_special"] = not op.input.parse_special
    for name in (name for name, given in unsaid.items() if given):
        raise Unsupported(
            f"{name} is not carried to a server",
            hint="--local, for an engine of your own",
            param=name,
        )


def _scores(op: Generate) -> dict[str, Any]:
    if isinstance(op.input, Chat):
        return {"logprobs": True, "top_logprobs": op.top_logprobs}
    return {"logprobs": op.top_logprobs}


def _constraint(constraint: Constraint) -> dict[str, Any]:
    if constraint.grammar is not None:
        return {"grammar": constraint.grammar}
    if constraint.json_schema is not None:
        return {"json_schema": constraint.json_schema}
    if constraint.choices is not None:
        return {"grammar": f"root ::= {' | '.join(map(_literal, constraint.choices))}"}
    return {"json_schema": {"type": "object"}}


def _literal(text: str) -> str:
    """Text in GBNF, where a server has no word for choices."""
    plain = (char if char.isascii() and char.isalnum() else f"\\U{ord(char):08x}" for char in text)
    return f'"{"".join(plain)}"'


def _prompt(prompt: Prompt) -> dict[str, Any]:
    said: dict[str, Any] = {"prompt": prompt.text if prompt.tokens is None else prompt.tokens}
    if prompt.suffix is not None:
        said["suffix"] = prompt.suffix
    return said


def _chat(chat: Chat) -> dict[str, Any]:
    said: dict[str, Any] = {"messages": msgspec.to_builtins(chat.messages)}
    if chat.tools is not None:
        said["tools"] = msgspec.to_builtins(chat.tools)
        said["tool_choice"] = _tool_choice(chat.tool_choice)
        said["parallel_tool_calls"] = chat.parallel_tool_calls
    if chat.template_kwargs is not None:
        said["chat_template_kwargs"] = chat.template_kwargs
    if chat.continue_last:
        said["continue_final_message"] = True
    if not chat.parse:
        said["reasoning_format"] = "none"
    if chat.reasoning is not None:
        said |= _reasoning(chat.reasoning)
    return said


def _tool_choice(choice: str) -> Any:
    kind, _, name = choice.partition(":")
    return {"type": "function", "function": {"name": name}} if kind == "function" else choice


def _reasoning(reasoning: Reasoning) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if reasoning.enabled is False:
        said["reasoning_effort"] = "none"
    elif reasoning.effort is not None:
        said["reasoning_effort"] = reasoning.effort
    if reasoning.budget_tokens is not None:
        said["reasoning_budget_tokens"] = reasoning.budget_tokens
    return said
