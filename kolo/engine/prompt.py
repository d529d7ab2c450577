"""From a conversation to the text the model reads.

``Template`` is a model's chat template, compiled and tried out once at load. It renders a Chat
with the template's own variables, adapted to what the template can take
(``prompt_messages``), and says whether the text ends inside a thought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from kolo.engine.jinja import Program
from kolo.engine.prompt_caps import REASONING_TAGS, Caps, find_caps
from kolo.engine.prompt_messages import adapt
from kolo.errors import BadParameter, BadTemplate
from kolo.types import Chat, Message, Role

__all__ = ["REASONING_TAGS", "RenderedPrompt", "Template"]

DEFAULT_TEMPLATE = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""ChatML, for files that come without a template."""

TOOLS_TEMPLATE = "tool_use"
"""The named template that ``transformers`` takes when there are tools."""

_OWN_FIELDS = frozenset({"messages", "tools", "add_generation_prompt"})
_ALWAYS_KNOWN = frozenset({"enable_thinking", "documents"})
_ROLES = frozenset(get_args(Role))
_TAIL_CHARS = 256
_END = "@@kolo-the-prompt-ends-here@@"


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """``opens_reasoning``: the text ends inside a thought, so the answer begins in one."""

    text: str
    opens_reasoning: bool


class Template:
    """A model's chat template, compiled once at load.

    ``source`` None or empty stands for ChatML. ``named`` are the file's further templates
    (GGUF's ``tokenizer.chat_template.NAME``); ``tool_use`` serves requests with tools.
    ``given`` says that the source came from the caller and not from the file.
    LoadFailed if one does not compile.
    """

    def __init__(
        self,
        source: str | None,
        *,
        bos_token: str,
        eos_token: str,
        named: Mapping[str, str] | None = None,
        given: bool = False,
    ) -> None:
        self.source_kind: Literal["file", "default", "given"] = (
            "default" if not source else "given" if given else "file"
        )
        self.source = source or DEFAULT_TEMPLATE
        self._special = {"bos_token": bos_token, "eos_token": eos_token}
        self._plain = _Variant(self.source, "chat template", self._special)
        self._with_tools = self._plain
        if named and named.get(TOOLS_TEMPLATE, self.source) != self.source:
            name = f"chat template {TOOLS_TEMPLATE!r}"
            self._with_tools = _Variant(named[TOOLS_TEMPLATE], name, self._special)
        self.caps: dict[str, bool] = self._with_tools.caps.flags()
        """What the template takes (``prompt_caps.Caps``); with tools, if that is another one."""
        self.reasoning_tags = self._plain.caps.reasoning_tags
        """How thoughts begin and end in this template's text; None if it has none."""

    def render(
        self, chat: Chat, *, now: datetime | None = None, add_generation_prompt: bool = True
    ) -> RenderedPrompt:
        """The prompt of ``chat``; ``now`` is what the template takes for the time.

        BadTemplate for what the template cannot take, BadParameter for a variable that it
        does not read.
        """
        has_tools = bool(chat.tools) and chat.tool_choice != "none"
        variant = self._with_tools if has_tools else self._plain
        variables = _variables(chat, variant)
        if chat.continue_last:
            return self._continue(chat, variant, variables, now)
        text = self._text(chat, variant, variables, now, add_generation_prompt)
        tags = _opened(text) if add_generation_prompt else None
        if tags and variables.get("enable_thinking") is False:
            return RenderedPrompt(text + tags[1], opens_reasoning=False)
        return RenderedPrompt(text, opens_reasoning=tags is not None)

    def _text(
        self,
        chat: Chat,
        variant: _Variant,
        variables: dict[str, Any],
        now: datetime | None,
        add_generation_prompt: bool,
    ) -> str:
        messages, tools = adapt(chat, variant.caps)
        given = {
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **self._special,
            **variables,
        }
        text = variant.program.render(given, now=now)
        _check_roles(chat.messages, text)
        return text

    # Carrying on an answer ----------------------------------------------------------------

    def _continue(
        self, chat: Chat, variant: _Variant, variables: dict[str, Any], now: datetime | None
    ) -> RenderedPrompt:
        """The prompt up to the end of the last message, and nothing after it.

        The message is rendered with a mark at its end, and the text cut there: what a template
        does to a message differs too much to be undone. A thought that is still open is put
        after the generation prompt instead, as templates take thoughts out of answers.
        """
        last = _last_answer(chat)
        content = last.content or ""
        if not content and last.reasoning_content:
            return self._continue_thought(chat, variant, variables, now, last.reasoning_content)
        opening, closing = variant.caps.reasoning_tags or ("", "")
        is_thought = bool(opening) and content.rfind(opening) > content.rfind(closing)
        if is_thought and content.lstrip().startswith(opening):
            return self._continue_thought(chat, variant, variables, now, content)
        marked = _replace_last(chat, content + _END)
        text, mark, _ = self._text(marked, variant, variables, now, False).rpartition(_END)
        if not mark:
            raise _cannot_continue("the chat template leaves the last message out")
        if not text.endswith(content):
            kept = content.rpartition(closing)[2].lstrip() if closing else content.lstrip()
            if not text.endswith(kept):
                raise _cannot_continue("the chat template rewrites the last message")
            if content.endswith(kept) and not content[: len(content) - len(kept)].strip():
                text = text.removesuffix(kept) + content
        return RenderedPrompt(text, opens_reasoning=is_thought)

    def _continue_thought(
        self,
        chat: Chat,
        variant: _Variant,
        variables: dict[str, Any],
        now: datetime | None,
        thought: str,
    ) -> RenderedPrompt:
        """``thought`` as it is, its opening tag only once."""
        tags = variant.caps.reasoning_tags
        if tags is None:
            raise _cannot_continue("the chat template knows no reasoning")
        if variables.get("enable_thinking") is False:
            raise _cannot_continue("it is a thought, and reasoning is turned off")
        before = msgspec.structs.replace(chat, messages=chat.messages[:-1], continue_last=False)
        variables = {**variant.caps.thinking_on, **variables}
        text = self._text(before, variant, variables, now, True)
        opening = tags[0]
        begins = thought.lstrip().startswith(opening)
        if _opened(text) is None:
            text += "" if begins else opening
        elif begins:
            text = text.rstrip().removesuffix(opening.rstrip())
        return RenderedPrompt(text + thought, opens_reasoning=True)


class _Variant:
    """One compiled template and what it can take."""

    def __init__(self, source: str, name: str, special: dict[str, str]) -> None:
        self.program = Program(source, name=name)
        self.caps: Caps = find_caps(self.program, **special)


def _variables(chat: Chat, variant: _Variant) -> dict[str, Any]:
    """The template's variables: what ``reasoning`` asks for, then ``template_kwargs``."""
    caps = variant.caps
    variables: dict[str, Any] = {}
    reasoning = chat.reasoning
    if reasoning is not None:
        effort = reasoning.effort if reasoning.effort != "none" else None
        if reasoning.enabled is False or reasoning.effort == "none" or reasoning.budget_tokens == 0:
            if effort is not None:
                raise BadParameter(
                    f"reasoning is turned off and given the effort {effort!r}",
                    hint="send the one or the other",
                    param="reasoning_effort",
                )
            variables = dict(caps.thinking_off)
        elif reasoning.enabled or effort is not None:
            variables = dict(caps.thinking_on)
        if effort is not None:
            if caps.effort_name is None:
                raise BadParameter(
                    "this model's chat template knows no reasoning effort",
                    hint='leave reasoning_effort out, or send "none" to turn reasoning off',
                    param="reasoning_effort",
                )
            variables["reasoning_effort"] = effort
            variables[caps.effort_name] = effort
        if reasoning.budget_tokens is not None and "thinking_budget" in variant.program.names:
            variables["thinking_budget"] = reasoning.budget_tokens
    kwargs = chat.template_kwargs or {}
    for name in kwargs:
        if name in _OWN_FIELDS:
            raise BadParameter(
                f"chat_template_kwargs may not replace {name!r}",
                hint="it has a field of its own in the request",
                param=f"chat_template_kwargs.{name}",
            )
        if name not in variant.program.names and name not in _ALWAYS_KNOWN:
            raise BadParameter(
                f"this model's chat template reads no variable {name!r}",
                hint="leave it out, or look up the names in the template (GET /props)",
                param=f"chat_template_kwargs.{name}",
            )
    return variables | kwargs


def _opened(text: str) -> tuple[str, str] | None:
    """The tags of the thought that ``text`` ends with the opening of."""
    tail = text[-_TAIL_CHARS:].rstrip()
    return next((tags for tags in REASONING_TAGS if tail.endswith(tags[0].rstrip())), None)


def _check_roles(messages: list[Message], text: str) -> None:
    """Some templates pass over roles they do not know; the caller must hear of it."""
    for index, message in enumerate(messages):
        if message.role not in _ROLES and (message.content or "").strip() not in text:
            raise BadTemplate(
                f"messages[{index}]: the chat template leaves out role {message.role!r}",
                hint=f"the roles are {', '.join(sorted(_ROLES))}",
                param=f"messages[{index}].role",
            )


def _last_answer(chat: Chat) -> Message:
    if not chat.messages or chat.messages[-1].role != "assistant":
        raise _cannot_continue("it is not the assistant's")
    if chat.messages[-1].tool_calls:
        raise _cannot_continue("it has tool calls")
    return chat.messages[-1]


def _replace_last(chat: Chat, content: str) -> Chat:
    last = msgspec.structs.replace(chat.messages[-1], content=content)
    return msgspec.structs.replace(chat, messages=[*chat.messages[:-1], last])


def _cannot_continue(why: str) -> BadTemplate:
    return BadTemplate(
        f"the last message cannot be carried on: {why}",
        hint="end with an assistant message of plain text, or do not ask to continue it",
        param="messages",
    )
