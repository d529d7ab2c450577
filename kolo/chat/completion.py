"""What Tab offers on a line: commands, what may stand after them, and files after an @."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from kolo.chat.arguments import files
from kolo.chat.commands import COMMANDS, find
from kolo.chat.talk import Talk
from kolo.errors import KoloError


class Completed(NamedTuple):
    text: str
    replaces: int
    """How many characters before the cursor it stands in for."""
    about: str = ""


Complete = Callable[[str], Awaitable[list[Completed]]]
"""From the text before the cursor."""


async def completions(talk: Talk, text: str) -> list[Completed]:
    """What may stand where ``text`` ends. Nothing, where asking for it fails."""
    word = text[max(text.rfind(" "), text.rfind("\n")) + 1 :]
    try:
        if not text.startswith("/") or "\n" in text:
            if not word.startswith("@"):
                return []
            return [Completed(f"@{name}", len(word)) for name in await files(talk, word[1:])]
        if " " not in text:
            return [
                Completed(name, len(text), command.help)
                for command in COMMANDS
                for name in command.names
                if name.startswith(text.lower())
            ]
        command = find(text.split()[0])
        if command is None or command.words is None:
            return []
        words = await command.words(talk, word)
    except (KoloError, OSError):
        return []  # an offer that cannot be made is none: the person can still type
    return [Completed(each, len(word)) for each in words if each.startswith(word)]
