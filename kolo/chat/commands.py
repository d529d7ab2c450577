"""Lines that begin with a slash: a table, and how a typed line is read."""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import NamedTuple


class Action(Enum):
    """What a slash command asks the conversation loop to do."""

    LEAVE = "leave"
    CLEAR = "clear"
    HELP = "help"


class Command(NamedTuple):
    names: tuple[str, ...]
    help: str
    action: Action


COMMANDS = (
    Command(("/help", "/?"), "show this list", Action.HELP),
    Command(("/clear",), "forget the conversation; the system message stays", Action.CLEAR),
    Command(("/exit", "/bye", "/quit"), "leave (Ctrl-D does too)", Action.LEAVE),
)
_ACTIONS = {name: command.action for command in COMMANDS for name in command.names}


class Say(NamedTuple):
    """The line is for the model."""

    text: str


class Unknown(NamedTuple):
    """The line looks like a command and is none; ``message`` says so."""

    message: str


def read_line(line: str) -> Say | Action | Unknown | None:
    """What a typed line means; None for an empty one. ``//`` stands for a slash of the text."""
    text = line.strip()
    if not text:
        return None
    if text.startswith("//"):
        return Say(text[1:])
    if not text.startswith("/"):
        return Say(text)
    name, *rest = text.split(maxsplit=1)
    action = _ACTIONS.get(name.lower())
    if action is None:
        near = get_close_matches(name.lower(), _ACTIONS, n=1)
        advice = f"did you mean {near[0]}?" if near else "/help lists all"
        return Unknown(f"no command {name}: {advice} (// sends a line that begins with /)")
    if rest:
        return Unknown(f"{name} takes nothing after it, not {rest[0]!r}")
    return action


def help_text() -> str:
    """The table of commands and keys."""
    rows = [(", ".join(command.names), command.help) for command in COMMANDS]
    rows += [
        ("//text", "a text that begins with a slash"),
        ("Alt-Enter", "a new line; Enter sends"),
        ("Ctrl-C", "stops the answer, and keeps what came; clears a line"),
    ]
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"  {left:{width}}  {right}" for left, right in rows)
