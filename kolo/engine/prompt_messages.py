"""From OpenAI's messages to what a particular template can take.

Templates differ in more than words: one wants a call's arguments as an object, one as text; one
has no system role, one no tools. What a template cannot take is said in a way that it can, so
that the model still reads it; nothing is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import msgspec

from kolo.engine.prompt_caps import Caps, Messages, typed_content
from kolo.errors import BadTemplate
from kolo.types import Chat, Message, Tool, ToolCall

_INSTRUCTIONS = """\
# Tools

You may call one or more functions to help with the user's request.
You are given their signatures within <tools></tools> tags:
<tools>
{tools}
</tools>

For each call, answer with a JSON object of the function's name and arguments within \
<tool_call></tool_call> tags:
<tool_call>
{{"name": <function name>, "arguments": <object of arguments>}}
</tool_call>
The result of a call is given to you within <tool_response></tool_response> tags."""

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_SHORT_ID_CHARS = 9


def adapt(chat: Chat, caps: Caps) -> tuple[Messages, list[dict[str, Any]] | None]:
    """Messages and tools as the template with ``caps`` is to be given them, all newly made.

    * ``developer`` is ``system`` where the template does not know it;
    * arguments become objects, or stay text where the template wants that;
    * a tool's result gets the name of the function it answers;
    * without a system role, its text opens the next user message;
    * without tools, they are described in the system message, in Hermes's manner, and calls
      and results written out in the same (``<tool_call>``, ``<tool_response>``), even where
      the template has words of its own for those: the model must see one way only;
    * without parallel calls, the calls of one answer become turns of their own.

    ``tool_choice`` "none" leaves the tools out. BadTemplate for arguments that are no JSON.
    """
    tools = [_tool(tool) for tool in chat.tools or ()] if chat.tool_choice != "none" else []
    messages = [_message(index, message, caps) for index, message in enumerate(chat.messages)]
    _name_results(messages)
    describes = bool(tools) and not caps.supports_tools
    if describes or not caps.supports_tool_calls:
        messages = [_calls_as_text(message) for message in messages]
    elif not caps.supports_parallel_tool_calls:
        messages = _one_call_a_turn(messages)
    if describes or not caps.supports_tool_responses:
        messages = _results_as_user(messages)
    if describes:
        messages = _with_instructions(messages, tools)
        tools = []
    if not caps.supports_system_role:
        messages = _system_into_user(messages)
    if caps.requires_typed_content:
        messages = [typed_content(message) for message in messages]
    return messages, tools or ([] if caps.requires_tools_list else None)


# Field by field ---------------------------------------------------------------------------


def _tool(tool: Tool) -> dict[str, Any]:
    """OpenAI lets description and parameters be left out; templates expect both."""
    made: dict[str, Any] = msgspec.to_builtins(tool)
    function = made["function"]
    function.setdefault("description", "")
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return made


def _message(index: int, message: Message, caps: Caps) -> dict[str, Any]:
    role = message.role
    if role == "developer" and not caps.knows_developer_role:
        role = "system"
    made: dict[str, Any] = {"role": role, "content": message.content or ""}
    if message.tool_calls:
        if not message.content and (
            caps.requires_null_content
            or (message.content is None and not caps.requires_non_null_content)
        ):
            made["content"] = None
        made["tool_calls"] = [
            _call(call, f"messages[{index}].tool_calls[{at}]", caps)
            for at, call in enumerate(message.tool_calls)
        ]
    if message.reasoning_content is not None:
        made["reasoning_content"] = message.reasoning_content
        if caps.reads_thinking_alias:
            made["thinking"] = message.reasoning_content
    if message.name is not None:
        made["name"] = message.name
    if message.tool_call_id is not None:
        made["tool_call_id"] = _call_id(message.tool_call_id, caps)
    return made


def _call(call: ToolCall, where: str, caps: Caps) -> dict[str, Any]:
    text = call.function.arguments or "{}"
    try:
        arguments = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadTemplate(
            f"{where}: the arguments of {call.function.name!r} are not a JSON object: {error}",
            hint="send arguments as the JSON text of an object, as the model wrote it",
            param=f"{where}.function.arguments",
        ) from error
    as_text = caps.supports_tool_calls and caps.requires_text_arguments
    function = {"name": call.function.name, "arguments": text if as_text else arguments}
    made: dict[str, Any] = {"type": call.type, "function": function}
    return {"id": _call_id(call.id, caps), **made} if call.id else made


def _call_id(call_id: str, caps: Caps) -> str:
    """The id, or nine characters that stand for it where the template takes no others."""
    if not caps.requires_short_call_ids or _SHORT_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:_SHORT_ID_CHARS]


def _name_results(messages: Messages) -> None:
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            names[call.get("id", "")] = call["function"]["name"]
        if message["role"] == "tool" and "name" not in message:
            name = names.get(message.get("tool_call_id", ""))
            if name is not None:
                message["name"] = name


# What the template has no words for -------------------------------------------------------


def _calls_as_text(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.pop("tool_calls", ())
    if calls:
        written = [f"<tool_call>\n{_json(call['function'])}\n</tool_call>" for call in calls]
        message["content"] = "\n".join([message["content"] or "", *written]).lstrip("\n")
    return message


def _results_as_user(messages: Messages) -> Messages:
    """Neighbouring results, and the user's words after them, become one message: many of these
    templates insist on user and assistant taking turns."""
    made: Messages = []
    open_results = False
    for message in messages:
        is_result = message["role"] == "tool"
        content = message["content"]
        if is_result:
            content = f"<tool_response>\n{content}\n</tool_response>"
        if open_results and message["role"] in ("tool", "user"):
            made[-1]["content"] += "\n" + content
        elif is_result:
            made.append({"role": "user", "content": content})
        else:
            made.append(message)
        open_results = is_result
    return made


def _one_call_a_turn(messages: Messages) -> Messages:
    """Each call of an answer with several is followed by its own result."""
    made: Messages = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        calls = message.get("tool_calls", ())
        if len(calls) < 2:
            made.append(message)
            continue
        results: Messages = []
        while index < len(messages) and messages[index]["role"] == "tool":
            results.append(messages[index])
            index += 1
        for call in calls:
            made.append({**message, "tool_calls": [call]})
            message = {"role": "assistant", "content": message["content"] and ""}
            answered = [result.get("tool_call_id") for result in results]
            if call.get("id") in answered:
                made.append(results.pop(answered.index(call.get("id"))))
        made += results
    return made


def _with_instructions(messages: Messages, tools: list[dict[str, Any]]) -> Messages:
    text = _INSTRUCTIONS.format(tools="\n".join(map(_json, tools)))
    if messages and messages[0]["role"] == "system":
        first, *others = messages
        return [{**first, "content": f"{first['content']}\n\n{text}"}, *others]
    return [{"role": "system", "content": text}, *messages]


def _system_into_user(messages: Messages) -> Messages:
    """The system's text opens the next user message, or is one where none follows."""
    made: Messages = []
    pending: list[str] = []
    for message in messages:
        if message["role"] == "system":
            pending.append(message["content"])
            continue
        if pending and message["role"] == "user":
            message = {**message, "content": "\n\n".join([*pending, message["content"]])}
        elif pending:
            made.append({"role": "user", "content": "\n\n".join(pending)})
        pending = []
        made.append(message)
    if pending:
        made.append({"role": "user", "content": "\n\n".join(pending)})
    return made


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
