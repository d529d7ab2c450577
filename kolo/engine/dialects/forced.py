"""What ``tool_choice`` demands of an answer."""

from __future__ import annotations

from kolo.errors import BadParameter
from kolo.types import Chat, Function


def demanded_tools(chat: Chat) -> list[Function]:
    """The functions of which one must be called; empty when none must.

    Raises BadParameter, for ``tool_choice``, when it names a tool there is not.
    """
    choice = chat.tool_choice
    if choice in ("none", "auto"):
        return []
    tools = [tool.function for tool in chat.tools or []]
    if choice == "required":
        found = tools
    elif choice.startswith("function:"):
        name = choice.removeprefix("function:")
        found = [function for function in tools if function.name == name]
    else:
        raise BadParameter(
            f"tool_choice {choice!r} is not known",
            hint="use 'none', 'auto', 'required', or name a function",
            param="tool_choice",
        )
    if not found:
        names = ", ".join(function.name for function in tools) or "none"
        raise BadParameter(
            f"tool_choice {choice!r} cannot be met: the tools are: {names}",
            hint="send the tool in 'tools', or set tool_choice to 'auto'",
            param="tool_choice",
        )
    return found


def may_reason(chat: Chat) -> bool:
    """The request does not forbid reasoning."""
    reasoning = chat.reasoning
    return reasoning is None or (reasoning.enabled is not False and reasoning.effort != "none")
