"""From a chat body to a Generate."""

from __future__ import annotations

import msgspec

from kolo.errors import BadParameter
from kolo.server.body import MissingParameter, check_free_form
from kolo.server.openai.schemas import (
    AllowedTools,
    ChatBody,
    ChatMessage,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedSchema,
    NamedTool,
    Part,
    RefusalPart,
    TextPart,
)
from kolo.server.openai.shared import (
    check_common,
    constraint,
    one_of,
    sampling,
    stops,
    token_bound,
)
from kolo.types import (
    Chat,
    Constraint,
    Function,
    FunctionCall,
    Generate,
    Message,
    Reasoning,
    Tool,
    ToolCall,
)


def chat_request(body: ChatBody, *, deadline_ms: int | None) -> Generate:
    """Raises BadParameter for what the types alone do not say."""
    check_common(body)
    if body.top_logprobs and not body.logprobs:
        raise BadParameter(
            "top_logprobs needs logprobs", hint="Send logprobs: true.", param="top_logprobs"
        )
    return Generate(
        input=chat(body),
        sampling=sampling(body),
        constraint=constraint(body, response_format=_format(body)),
        max_tokens=token_bound(body, "max_tokens", "max_completion_tokens", "n_predict"),
        min_tokens=body.min_tokens or 0,
        stop=stops(body),
        n=body.n or 1,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
        cache_prompt=body.cache_prompt is not False,
        deadline_ms=deadline_ms,
        user=body.user or "",
    )


def chat(body: ChatBody) -> Chat:
    """The conversation alone; also what is rendered where only the prompt is wanted."""
    tools, tool_choice = _tools(body)
    if body.chat_template_kwargs is not None:
        check_free_form(body.chat_template_kwargs, "chat_template_kwargs")
    if body.reasoning_format == "none" and tools:
        raise BadParameter(
            "reasoning_format none leaves the answer as it was written, and tools are to be "
            "read out of it",
            hint="Leave one of them out.",
            param="reasoning_format",
        )
    carries_on = bool(body.continue_final_message)
    if body.add_generation_prompt is not None and body.add_generation_prompt == carries_on:
        raise BadParameter(
            "add_generation_prompt is the opposite of continue_final_message",
            hint="Leave add_generation_prompt out.",
            param="add_generation_prompt",
        )
    return Chat(
        messages=[_message(message, at) for at, message in enumerate(body.messages)],
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        reasoning=_reasoning(body),
        template_kwargs=body.chat_template_kwargs or None,
        continue_last=carries_on,
        parse=body.reasoning_format != "none",
    )


# Messages --------------------------------------------------------------------------------


def _message(message: ChatMessage, at: int) -> Message:
    where = f"messages[{at}]"
    content = _content(message.content, f"{where}.content")
    if message.role != "assistant" and message.tool_calls:
        raise BadParameter(
            f"{where}.tool_calls: only an assistant calls tools",
            hint="Leave it out.",
            param=f"{where}.tool_calls",
        )
    return Message(
        role=message.role,
        content=content if content is not None else message.refusal,
        reasoning_content=message.reasoning_content,
        name=message.name,
        tool_calls=[
            ToolCall(
                id=call.id,
                function=FunctionCall(call.function.name, _arguments(call.function.arguments)),
            )
            for call in message.tool_calls or ()
        ]
        or None,
        tool_call_id=message.tool_call_id,
    )


def _content(content: str | list[Part] | None, where: str) -> str | None:
    """Parts of text joined as they are."""
    if content is None or isinstance(content, str):
        return content
    texts = []
    for at, part in enumerate(content):
        match part:
            case TextPart():
                texts.append(part.text)
            case RefusalPart():
                texts.append(part.refusal)
            case _:
                kind = part.__struct_config__.tag
                raise BadParameter(
                    f"{where}[{at}] is {kind}, and Kolo reads text only",
                    hint="Send parts of type text.",
                    param=f"{where}[{at}]",
                )
    return "".join(texts)


def _arguments(given: str | dict[str, object]) -> str:
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


# Tools -----------------------------------------------------------------------------------


def _tools(body: ChatBody) -> tuple[list[Tool] | None, str]:
    """The tools that may be called, and the choice among them in the engine's words."""
    tools: dict[str, Tool] = {}
    for at, tool in enumerate(body.tools or ()):
        function, where = tool.function, f"tools[{at}].function"
        if function.name in tools:
            raise BadParameter(
                f"{where}.name: there are two tools named {function.name!r}",
                hint="Give each a name of its own.",
                param=f"{where}.name",
            )
        if function.parameters is not None:
            check_free_form(function.parameters, f"{where}.parameters")
        tools[function.name] = Tool(
            function=Function(
                name=function.name,
                description=function.description,
                parameters=function.parameters,
                strict=function.strict,
            )
        )
    choice = body.tool_choice
    if not tools and choice not in (None, "none", "auto"):
        raise BadParameter(
            "tool_choice asks for a tool, and there are none",
            hint="Send tools, or leave tool_choice out.",
            param="tool_choice",
        )
    if isinstance(choice, AllowedTools):
        allowed = choice.allowed_tools
        chosen = [_known(tools, named) for named in allowed.tools]
        return chosen, allowed.mode
    if isinstance(choice, NamedTool):
        return list(tools.values()), f"function:{_known(tools, choice).function.name}"
    return list(tools.values()) or None, choice or "auto"


def _known(tools: dict[str, Tool], named: NamedTool) -> Tool:
    name = named.function.name
    if name not in tools:
        raise BadParameter(
            f"tool_choice names {name!r}, which is none of the tools",
            hint=f"The tools are {', '.join(tools)}.",
            param="tool_choice",
        )
    return tools[name]


# The answer's form, and thinking ---------------------------------------------------------


def param_names(body: ChatBody) -> dict[str, str]:
    """What the engine calls a field, where this body has another name for it."""
    where = _schema_place(body)
    return {} if where is None else {"json_schema": where}


def _format(body: ChatBody) -> Constraint | None:
    where = _schema_place(body)
    match body.response_format:
        case JsonObjectFormat(schema=None):
            return Constraint(json_object=True)
        case JsonSchemaFormat(json_schema=NamedSchema(), schema=other) if other is not None:
            raise BadParameter(
                "response_format has two places for a schema, and both are used",
                hint="Send json_schema alone.",
                param=where,
            )
        case JsonSchemaFormat(json_schema=NamedSchema(schema=schema)):
            pass
        case JsonObjectFormat(schema=schema) | JsonSchemaFormat(schema=schema):
            pass
        case _:
            return None
    assert where is not None
    if schema is None:
        raise MissingParameter(f"{where} is missing", hint="Send a JSON Schema.", param=where)
    check_free_form(schema, where)
    return Constraint(json_schema=schema)


def _schema_place(body: ChatBody) -> str | None:
    """Where in ``response_format`` a schema is, or should be."""
    match body.response_format:
        case JsonSchemaFormat(schema=None):
            return "response_format.json_schema.schema"
        case JsonObjectFormat() | JsonSchemaFormat():
            return "response_format.schema"
        case _:
            return None


def _reasoning(body: ChatBody) -> Reasoning | None:
    budget = one_of(body, "reasoning_budget_tokens", "thinking_budget_tokens", "reasoning_budget")
    budget = None if budget == -1 else budget
    if body.reasoning_effort is None and budget is None:
        return None
    return Reasoning(effort=body.reasoning_effort, budget_tokens=budget)
