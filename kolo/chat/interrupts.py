"""Work that Ctrl-C stops, without ending the program."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from kolo.chat.answer import Screen
from kolo.chat.lines import LineReader

RELEASE_S = 5.0
"""How long an engine may take to let go of a request when the whole command is stopped."""


class Interruptible:
    """Runs one thing at a time. The first Ctrl-C cancels it and lets it clean up; another, before
    it has, gives it up."""

    def __init__(self, editor: LineReader, screen: Screen) -> None:
        self._editor = editor
        self._screen = screen
        self._task: asyncio.Task[Any] | None = None
        self._given_up = asyncio.Event()
        self._early = False
        """Ctrl-C came when the line had been sent and what it asks for had not begun."""

    @property
    def given_up(self) -> bool:
        return self._given_up.is_set()

    def on_sigint(self) -> None:
        """Ctrl-C was typed, or a SIGINT came from outside."""
        if self._task is None:
            self._early = not self._editor.interrupt()
        elif not self._task.cancelling():
            self._task.cancel()
            self._screen.stopping()
        else:
            self._given_up.set()

    def at_prompt(self) -> None:
        """A line is about to be typed: what was pressed before is over."""
        self._early = False

    async def run(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do ``work``; its task, which is done unless it was given up."""
        self._task = task = asyncio.create_task(work)
        if self._early:
            self._early = False
            task.cancel()
        given_up = asyncio.create_task(self._given_up.wait())
        try:
            with self._editor.listening(self.on_sigint, self._screen.aside):
                await asyncio.wait({task, given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            given_up.cancel()
            task.cancel()
            if not self.given_up:
                await asyncio.wait({task}, timeout=RELEASE_S)
            self._task = None
        return task
