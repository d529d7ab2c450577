"""What may stand after a command, for completion: names, keys, files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kolo.chat.choices import KEYS
from kolo.chat.talk import Talk

MAX_FILES = 500
Words = Callable[[Talk, str], Awaitable[list[str]]]
"""All that may stand where a word has been begun; the caller takes those that go on with it."""


def one_of(*words: str) -> Words:
    """Fixed words."""

    async def all_of_them(talk: Talk, begun: str) -> list[str]:
        return list(words)

    return all_of_them


async def models(talk: Talk, begun: str) -> list[str]:
    return await talk.names()


async def keys(talk: Talk, begun: str) -> list[str]:
    return list(KEYS)


async def conversations(talk: Talk, begun: str) -> list[str]:
    names = [] if talk.shelf is None else [one.name for one in talk.shelf.saved()]
    return names + await files(talk, begun)


async def files(talk: Talk, begun: str) -> list[str]:
    """Files and folders that go on with ``begun``, as they would be typed."""
    return await asyncio.to_thread(_files, begun)


async def mentioned_files(talk: Talk, begun: str) -> list[str]:
    """Files after an @."""
    if not begun.startswith("@"):
        return []
    return [f"@{name}" for name in await files(talk, begun[1:])]


def _files(begun: str) -> list[str]:
    head, slash, start = begun.rpartition("/")
    found = []
    try:
        for path in Path(f"{head}{slash}" or ".").expanduser().iterdir():
            if path.name.startswith(start) and (start or not path.name.startswith(".")):
                found.append(f"{head}{slash}{path.name}{'/' if path.is_dir() else ''}")
                if len(found) == MAX_FILES:
                    break
    except (OSError, RuntimeError):  # the latter for the home of nobody who is known
        return []
    return sorted(found)
