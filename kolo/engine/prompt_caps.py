"""What a chat template can take, found by rendering small conversations and looking.

Templates do not say what they support, so each capability is tried with words that can be
found again in the text (the way of llama.cpp's ``chat_template_caps``). Done once, at load.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from kolo.engine.jinja import Program
from kolo.errors import BadTemplate

REASONING_TAGS: tuple[tuple[str, str], ...] = (
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<think:opensource>", "</think:opensource>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<think>", "</think>"),
)
"""How the published models open and close a thought; the particular ones first."""

_EFFORT_NAMES = ("reasoning_effort", "thinking_effort", "reasoning_strength")
_NO_EFFORT_WORDS = ("none", "no_think")

_PROBE_CPU_S = 0.5
_NOW = datetime(2024, 7, 26)

_SYSTEM = "kolo-system-words"
_USER = "kolo-user-words"
_ANSWER = "kolo-answer-words"
_THOUGHT = "kolo-thought-words"
_TOOL = "kolo_tool"
_KEY = "kolo_key"
_VALUES = ("kolo-first-value", "kolo-second-value")
_RESULTS = ("kolo-first-result", "kolo-second-result")
_IDS = (("call_kolo1", "call_kolo2"), ("kolocall1", "kolocall2"))
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": _TOOL,
            "description": "A tool.",
            "parameters": {
                "type": "object",
                "properties": {_KEY: {"type": "string", "description": "A text."}},
                "required": [_KEY],
            },
        },
    }
]

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Caps:
    """What a template takes, and how it wants to be given it."""

    supports_system_role: bool
    knows_developer_role: bool
    supports_tools: bool
    supports_tool_calls: bool
    supports_parallel_tool_calls: bool
    supports_tool_responses: bool
    requires_object_arguments: bool
    requires_text_arguments: bool
    """Arguments of a call as JSON text; else as an object, the way of ``transformers``."""
    requires_typed_content: bool
    """Contents as ``[{"type": "text", "text": ...}]``."""
    requires_non_null_content: bool
    """Of an answer that is only calls: "" and not None."""
    requires_null_content: bool
    requires_short_call_ids: bool
    """Nine letters and digits, as Mistral's templates insist on."""
    requires_tools_list: bool
    """An empty list where there are no tools; None breaks it."""
    supports_thinking: bool
    thinking_in_history: bool
    """Thoughts of turns before the last user message are shown again."""
    reads_thinking_alias: bool
    """Looks for a message's ``thinking``, not its ``reasoning_content``."""
    thinking_on: dict[str, Any] = field(default_factory=dict)
    thinking_off: dict[str, Any] = field(default_factory=dict)
    effort_name: str | None = None
    """Variable that says how much to think."""
    reasoning_tags: tuple[str, str] | None = None

    def flags(self) -> dict[str, bool]:
        values = ((entry.name, getattr(self, entry.name)) for entry in fields(self))
        return {name: value for name, value in values if isinstance(value, bool)}


def find_caps(program: Program, *, bos_token: str, eos_token: str) -> Caps:
    """Try ``program`` out. A template that fails at everything has no capabilities."""
    probe = _Probe(program, bos_token, eos_token)
    requires_list = not probe.shows([_user()], _USER) and probe.shows([_user()], _USER, tools=[])
    probe.no_tools = [] if requires_list else None
    probe.typed = not probe.shows([_user()], _USER)
    probe.typed = probe.typed and probe.shows([_user()], _USER)
    system, developer = ({"role": role, "content": _SYSTEM} for role in ("system", "developer"))
    calls = _find_calls(probe)
    alias = "reasoning_content" not in program.source and "thinking" in program.source
    thoughts = _find_thoughts(probe, alias, calls)
    effort = next((name for name in _EFFORT_NAMES if name in program.names), None)
    on, off = _find_switch(probe, effort)
    tails = [probe.tail(**on), probe.tail(), probe.tail(**off)]
    tags = _find_tags(program.source, [*tails, *thoughts])
    shown = [_THOUGHT in text for text in thoughts]
    return Caps(
        supports_system_role=probe.shows([system, _user()], _SYSTEM, _USER),
        knows_developer_role=(
            any(f"{quote}developer{quote}" in program.source for quote in "'\"")
            and probe.shows([developer, _user()], _SYSTEM, _USER)
        ),
        supports_tools=(
            probe.shows([_user()], _TOOL, tools=_TOOLS)
            or probe.shows([system, _user()], _TOOL, tools=_TOOLS)
        ),
        supports_tool_calls=calls.supported,
        supports_parallel_tool_calls=calls.supported and calls.parallel(probe),
        supports_tool_responses=probe.shows(calls.messages(1), _RESULTS[0], tools=_TOOLS),
        requires_object_arguments=calls.requires_object,
        requires_text_arguments=calls.as_text,
        requires_typed_content=probe.typed,
        requires_non_null_content=calls.supported and not calls.null_works,
        requires_null_content=calls.supported and not calls.empty_works,
        requires_short_call_ids=calls.short_ids,
        requires_tools_list=requires_list,
        supports_thinking=bool(tags) or tails[0] != tails[2] or any(shown),
        thinking_in_history=shown[0],
        reads_thinking_alias=alias,
        thinking_on=on,
        thinking_off=off,
        effort_name=effort,
        reasoning_tags=tags,
    )


class _Probe:
    """Renders conversations; what fails is an empty text. Gives up once it has cost too much."""

    def __init__(self, program: Program, bos_token: str, eos_token: str) -> None:
        self.program = program
        self.no_tools: list[Any] | None = None
        self.typed = False
        self._special = {"bos_token": bos_token, "eos_token": eos_token}
        self._deadline_s = time.thread_time() + _PROBE_CPU_S

    def text(self, messages: Messages, **variables: Any) -> str:
        left_s = self._deadline_s - time.thread_time()
        if left_s <= 0:
            return ""
        if self.typed:
            messages = [typed_content(message) for message in messages]
        given = {
            "messages": messages,
            "tools": self.no_tools,
            "documents": None,
            "add_generation_prompt": True,
            **self._special,
            **variables,
        }
        try:
            return self.program.render(given, now=_NOW, cpu_s=left_s)
        except BadTemplate:
            return ""

    def shows(self, messages: Messages, *words: str, **variables: Any) -> bool:
        text = self.text(messages, **variables)
        return all(word in text for word in words)

    def tail(self, **variables: Any) -> str:
        """What stands after the last user message."""
        return self.text([_user()], **variables).rpartition(_USER)[2]


@dataclass(slots=True)
class _Calls:
    """How a template wants the calls of an answer."""

    supported: bool = False
    as_text: bool = False
    short_ids: bool = False
    requires_object: bool = False
    empty_works: bool = False
    null_works: bool = False

    def messages(self, count: int, content: str | None = "", **extra: Any) -> Messages:
        """A user message, ``count`` calls in one answer, and their results."""
        ids = _IDS[self.short_ids][:count]
        made = []
        for call_id, value in zip(ids, _VALUES, strict=False):
            arguments = f'{{"{_KEY}": "{value}"}}' if self.as_text else {_KEY: value}
            function = {"name": _TOOL, "arguments": arguments}
            made.append({"id": call_id, "type": "function", "function": function})
        if content == "" and self.supported and not self.empty_works:
            content = None
        return [
            _user(),
            {"role": "assistant", "content": content, **extra, "tool_calls": made},
            *(
                {"role": "tool", "tool_call_id": call_id, "name": _TOOL, "content": result}
                for call_id, result in zip(ids, _RESULTS, strict=False)
            ),
        ]

    def rendered(self, probe: _Probe, content: str | None) -> str:
        """The text of one call, "" if it is not written as it should be."""
        messages = self.messages(1, content)
        for part in (messages, messages[:2]):
            text = probe.text(part, tools=_TOOLS)
            # Python's way to write an object, or JSON put into JSON once more.
            spoilt = f"{{'{_KEY}'" in text or f'\\"{_KEY}' in text
            if _TOOL in text and _VALUES[0] in text and not spoilt:
                return text
        return ""

    def parallel(self, probe: _Probe) -> bool:
        return probe.shows(self.messages(2), *_VALUES, tools=_TOOLS)


def _find_calls(probe: _Probe) -> _Calls:
    for short_ids in (False, True):
        for as_text in (False, True):
            calls = _Calls(as_text=as_text, short_ids=short_ids)
            empty, null = calls.rendered(probe, ""), calls.rendered(probe, None)
            if not empty and not null:
                continue
            calls.empty_works = bool(empty)
            calls.null_works = bool(null) and null.count("None") <= empty.count("None")
            calls.supported = True
            if not as_text:
                texts = _Calls(as_text=True, short_ids=short_ids)
                calls.requires_object = not (
                    texts.rendered(probe, "") or texts.rendered(probe, None)
                )
            return calls
    return _Calls()


def _find_thoughts(probe: _Probe, alias: bool, calls: _Calls) -> list[str]:
    """Renderings of a thought in an earlier turn, and of one among calls of this turn."""
    thought = {"reasoning_content": _THOUGHT} | ({"thinking": _THOUGHT} if alias else {})
    answer = {"role": "assistant", "content": _ANSWER, **thought}
    return [
        probe.text([_user(), answer, _user()]),
        probe.text(calls.messages(1, **thought), tools=_TOOLS),
    ]


def _find_switch(probe: _Probe, effort: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables that turn thinking on, and off; a word of ``effort`` where nothing else
    does, and then only if it changes how the answer begins."""
    names = probe.program.names
    switches = ["enable_thinking", *(["thinking"] if "thinking" in names else [])]
    on: dict[str, Any] = dict.fromkeys(switches, True)
    off: dict[str, Any] = dict.fromkeys(switches, False)
    if effort is None or names & {"enable_thinking", "thinking"}:
        return on, off
    most = probe.tail(**{effort: "high"})
    for word in _NO_EFFORT_WORDS:
        none = probe.tail(**{effort: word})
        if most and none and none != most:
            off[effort] = word
            if probe.tail() == none:
                on[effort] = "high"
            break
    return on, off


def _find_tags(source: str, texts: list[str]) -> tuple[str, str] | None:
    for opening, closing in REASONING_TAGS:
        if any(opening.rstrip() in text for text in (source, *texts)):
            return opening, closing
    return None


def typed_content(message: dict[str, Any]) -> dict[str, Any]:
    """``message`` with its text as a list of parts."""
    if not isinstance(message.get("content"), str):
        return message
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _user() -> dict[str, Any]:
    return {"role": "user", "content": _USER}
