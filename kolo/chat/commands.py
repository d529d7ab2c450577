"""Lines that begin with a slash: one table, and how a typed line is read."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Coroutine
from difflib import get_close_matches
from typing import Any, NamedTuple

from kolo.chat import arguments
from kolo.chat.arguments import Words
from kolo.chat.handlers import asking, keeping, looking, turns
from kolo.chat.lines import QUOTES
from kolo.chat.talk import Next, Talk

MIN_HELP_CELLS = 20
Handler = Callable[[Talk, str], Coroutine[Any, Any, Next]]


class Command(NamedTuple):
    names: tuple[str, ...]
    args: str
    """As the help shows them; a command without any refuses them."""
    help: str
    run: Handler
    words: Words | None = None
    """What may stand after it, for completion."""


async def _names(talk: Talk, begun: str) -> list[str]:
    return [command.names[0].removeprefix("/") for command in COMMANDS]


async def _help(talk: Talk, rest: str) -> Next:
    talk.screen.note(help_text(rest, shutil.get_terminal_size().columns))
    return None


COMMANDS = (
    Command(("/help", "/?"), "[COMMAND]", "this list", _help, _names),
    Command(("/retry",), "", "another answer to the last message", turns.retry),
    Command(("/edit",), "", "change the last message and send it again", turns.edit),
    Command(("/undo",), "", "take back the last message and its answer", turns.undo),
    Command(
        ("/system",),
        "[TEXT|@FILE|-]",
        "show, set or remove the system message",
        asking.system,
        arguments.mentioned_files,
    ),
    Command(
        ("/model",),
        "[NAME]",
        "list the models, or talk with another from now on",
        asking.model,
        arguments.models,
    ),
    Command(
        ("/set",),
        "[KEY [VALUE]]",
        "show or change how answers are drawn; the value default unsets",
        asking.set_,
        arguments.keys,
    ),
    Command(
        ("/show",),
        "[WHAT]",
        "params, messages, prompt, system or session",
        looking.show,
        arguments.one_of(*looking.VIEWS),
    ),
    Command(
        ("/save",),
        "[-f] [NAME|FILE]",
        "name this conversation, or write it to a file",
        keeping.save,
        arguments.files,
    ),
    Command(
        ("/load",),
        "[NAME|FILE]",
        "list the conversations, or go on with one",
        keeping.load,
        arguments.conversations,
    ),
    Command(
        ("/copy",),
        "[code|all]",
        "the last answer, its code, or everything to the clipboard",
        turns.copy,
        arguments.one_of("code", "all"),
    ),
    Command(
        ("/file",),
        "[PATH|-]",
        "a text file that goes with the next message, as @PATH in one does",
        keeping.file,
        arguments.files,
    ),
    Command(
        ("/think",),
        "[HOW]",
        "on, off, auto, low, medium, high, a number of tokens; show or hide",
        asking.think,
        arguments.one_of("on", "off", "auto", "low", "medium", "high", "show", "hide"),
    ),
    Command(
        ("/stats",),
        "[on|off]",
        "what was done so far, or the line after each answer",
        asking.stats,
        arguments.one_of("on", "off"),
    ),
    Command(
        ("/json",),
        "[on|off|FILE|SCHEMA]",
        "have answers that are JSON, and fit a schema",
        asking.json_,
        arguments.files,
    ),
    Command(("/tokens",), "[TEXT]", "how large the conversation, or a text, is", looking.tokens),
    Command(
        ("/export",),
        "md|json [FILE]",
        "write the conversation to a file",
        keeping.export,
        arguments.one_of("md", "json"),
    ),
    Command(
        ("/compact",),
        "[ABOUT]",
        "have the model summarise the conversation, and go on from that",
        turns.compact,
    ),
    Command(("/clear",), "", "forget the conversation; the system message stays", turns.clear),
    Command(("/exit", "/bye", "/quit"), "", "leave (Ctrl-D does too)", turns.leave),
)
KEYS = (
    ("//text", "a text that begins with a slash"),
    (f"{QUOTES} … {QUOTES}", "a message of several lines; Enter sends after the second"),
    ("Alt-Enter", "a new line; Enter sends, a paste never does"),
    ("Up, Down", "what was typed before, if it begins like the line"),
    ("Ctrl-R", "what was typed before, by a part of it"),
    ("Ctrl-G", "write the message in $EDITOR"),
    ("Ctrl-C", "stops the answer, and keeps what came; clears a line"),
    ("Ctrl-Z", "suspends; fg comes back"),
)
_BY_NAME = {name: command for command in COMMANDS for name in command.names}


class Say(NamedTuple):
    """The line is for the model. ``quoted``: as it is, without looking for files in it."""

    text: str
    quoted: bool = False


class Call(NamedTuple):
    """The line is a command; ``rest`` stands after it."""

    command: Command
    rest: str


class Unknown(NamedTuple):
    """The line looks like a command and is none; ``message`` says so."""

    message: str


def read_line(line: str) -> Say | Call | Unknown | None:
    """What a typed line means; None for an empty one. ``//`` stands for a slash of the text."""
    text = line.strip()
    if not text.strip('"'):
        return None
    if text.startswith(QUOTES):
        inner = text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
        return Say(inner, quoted=True) if inner.strip() else None
    if text.startswith("//"):
        return Say(text[1:])
    if not text.startswith("/"):
        return Say(text)
    name, *rest = text.split(maxsplit=1)
    command = find(name)
    if command is None:
        near = get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.7)
        advice = f"did you mean {near[0]}?" if near else "/help lists all"
        return Unknown(f"no command {name}: {advice} (// sends a line that begins with /)")
    if rest and not command.args:
        return Unknown(f"{name} takes nothing after it, not {rest[0]!r}")
    return Call(command, rest[0].strip() if rest else "")


def find(name: str) -> Command | None:
    """The command called ``name``, its slash included."""
    return _BY_NAME.get(name.lower())


def help_text(about: str = "", columns: int = 0) -> str:
    """The table of commands and keys, or the line of one command; not wider than ``columns``."""
    one = find(f"/{about.lstrip('/')}") if about else None
    if one is not None:
        return f"  {', '.join(one.names)} {one.args}\n  {one.help}"
    rows = [(f"{', '.join(each.names)} {each.args}".rstrip(), each.help) for each in COMMANDS]
    rows += KEYS
    width = max(len(left) for left, _ in rows)
    room = columns - width - 5 if columns else 1000
    lines = []
    if room < MIN_HELP_CELLS:  # what each does goes below it
        room = max(columns - 7, MIN_HELP_CELLS)
        for left, right in rows:
            lines += [f"  {left}", *(f"      {each}" for each in textwrap.wrap(right, room))]
        return "\n".join(lines)
    for left, right in rows:
        first, *more = textwrap.wrap(right, room)
        lines += [f"  {left:{width}}  {first}", *(f"{'':{width + 4}}{each}" for each in more)]
    return "\n".join(lines)
