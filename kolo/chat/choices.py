"""How answers are asked for: what ``/set``, ``/think`` and ``/json`` change."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from kolo.errors import UsageError
from kolo.types import Chat, Constraint, Generate, Message, Reasoning, Sampling

EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
_THINK = {"enable_thinking": True, "thinking": True}
"""What templates call it."""
_SHORT = {"temp": "temperature", "n": "max_tokens", "num_predict": "max_tokens"}
_TYPES: dict[str, Any] = {
    **get_type_hints(Sampling, include_extras=True),
    **{
        name: get_type_hints(Generate, include_extras=True)[name] for name in ("max_tokens", "stop")
    },
}
KEYS = tuple(_TYPES)
"""What ``/set`` knows."""


class Choices(Struct):
    """What holds for every answer until it is changed; what is unset is as the model has it."""

    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: list[str] = []
    constraint: Constraint | None = None
    reasoning: Reasoning | None = None

    def request(self, messages: Sequence[Message], *, local: bool) -> Generate:
        """What is sent. A server is told to let the model think in the template's own words."""
        reasoning, kwargs = self.reasoning, None
        if reasoning is not None and reasoning.enabled and not local:
            reasoning, kwargs = None, _THINK
        return Generate(
            input=Chat(messages=list(messages), reasoning=reasoning, template_kwargs=kwargs),
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            stop=self.stop,
            constraint=self.constraint,
        )

    def chosen(self) -> dict[str, Any]:
        """What differs from how the model has it, by the names of ``KEYS``."""
        found = {name: value for name, value in asdict(self.sampling).items() if value is not None}
        if not self.sampling.ignore_eos:
            del found["ignore_eos"]
        if self.max_tokens is not None:
            found["max_tokens"] = self.max_tokens
        if self.stop:
            found["stop"] = self.stop
        return found

    def set(self, name: str, text: str) -> None:
        """Change what ``name`` is called. UsageError says what is wrong; ``default`` unsets."""
        name = known_key(name)
        value = None if text == "default" else _value(name, text)
        if name == "max_tokens":
            self.max_tokens = value
        elif name == "stop":
            self.stop = [] if value is None else value
        elif name == "ignore_eos":
            self.sampling = replace(self.sampling, ignore_eos=bool(value))
        else:
            self.sampling = replace(self.sampling, **{name: value})

    def think(self, how: str) -> None:
        """``auto``, ``on``, ``off``, an effort, or a number of tokens. UsageError for others."""
        if how == "auto":
            self.reasoning = None
        elif how in ("on", "off"):
            self.reasoning = Reasoning(enabled=how == "on")
        elif how in EFFORTS:
            self.reasoning = Reasoning(effort=how)  # type: ignore[arg-type]
        elif how.isdecimal() and int(how) < 2**31:
            self.reasoning = Reasoning(budget_tokens=int(how))
        else:
            raise UsageError(
                f"/think does not know {how!r}",
                hint=f"/think {', '.join(('on', 'off', 'auto', *EFFORTS))}, a number, show or hide",
            )

    def thinking(self) -> str:
        """How ``think`` would be told what holds now."""
        chosen = self.reasoning
        if chosen is None:
            return "auto"
        if chosen.enabled is not None:
            return "on" if chosen.enabled else "off"
        return chosen.effort or f"{chosen.budget_tokens} tokens"

    def body(self) -> dict[str, Any]:
        """As fields of an OpenAI request, with llama-server's names where OpenAI has none."""
        found = self.chosen()
        if (limit := self.constraint) is not None:
            found["response_format"] = {"type": "json_object"}
            if limit.json_schema is not None:
                named = {"name": "answer", "schema": limit.json_schema}
                found["response_format"] = {"type": "json_schema", "json_schema": named}
        reasoning = self.reasoning
        if reasoning is not None and (effort := reasoning.effort or _off(reasoning)):
            found["reasoning_effort"] = effort
        if reasoning is not None and reasoning.enabled:
            found["chat_template_kwargs"] = _THINK
        if reasoning is not None and reasoning.budget_tokens is not None:
            found["reasoning_budget_tokens"] = reasoning.budget_tokens
        return found


def from_body(body: dict[str, Any]) -> Choices:
    """The way back, from a file that anybody may have written: what is not known is left."""
    choices = Choices()
    for name in KEYS:
        if (value := body.get(name)) is not None:
            choices.set(
                name, value if isinstance(value, str) else msgspec.json.encode(value).decode()
            )
    match body.get("response_format"):
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            choices.constraint = Constraint(json_schema=schema)
        case {"type": "json_object"}:
            choices.constraint = Constraint(json_object=True)
    effort = body.get("reasoning_effort")
    if effort in (*EFFORTS, "none"):
        choices.think("off" if effort == "none" else str(effort))
    elif body.get("chat_template_kwargs") == _THINK:
        choices.think("on")
    elif type(budget := body.get("reasoning_budget_tokens")) is int and 0 <= budget < 2**31:
        choices.think(str(budget))
    return choices


def known_key(name: str) -> str:
    """The whole name of a key. UsageError names the nearest."""
    whole = _SHORT.get(name.lower(), name.lower().replace("-", "_"))
    if whole in _TYPES:
        return whole
    near = get_close_matches(whole, [*KEYS, *_SHORT], n=1)
    raise UsageError(
        f"/set does not know {name!r}", hint=f"/set {near[0]}" if near else "/set lists all"
    )


def _value(name: str, text: str) -> Any:
    """``text`` as the type of ``name``: JSON where it is some, else what it says."""
    kind = _TYPES[name]
    try:
        raw = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        raw = text
    lists = any(part is list or getattr(part, "__origin__", None) is list for part in _parts(kind))
    if lists and not isinstance(raw, list):
        raw = [text]
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{name}: {str(error)[:1].lower()}{str(error)[1:]}", hint=f"/set {name} default"
        ) from None


def _parts(kind: Any) -> list[Any]:
    return [kind, *(deeper for part in get_args(kind) for deeper in _parts(part))]


def _off(reasoning: Reasoning) -> str:
    return "none" if reasoning.enabled is False else ""
