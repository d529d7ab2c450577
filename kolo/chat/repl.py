"""The conversation loop: read a line, stream the answer, and never lose the conversation.

Ctrl-C stops an answer and keeps what came as the assistant's turn; pressed again before the
engine has let go it leaves. At the prompt it clears the line, and twice in two seconds leaves.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from kolo.chat.answer import Answer, Screen, ask
from kolo.chat.commands import Action, Say, Unknown, help_text, read_line
from kolo.chat.conversation import Conversation
from kolo.chat.stats import stats_line
from kolo.connect import Connection
from kolo.errors import ContextLengthExceeded, KoloError
from kolo.types import Generate, Message

TWICE_S = 2.0
RELEASE_S = 5.0
"""How long an engine may take to let go of a request when the whole command is stopped."""
INTERRUPTED = 130


class LineReader(Protocol):
    """Where the person types."""

    @property
    def text(self) -> str:
        """What an interrupt has left on the line, as far as it is known."""

    async def read(self) -> str:
        """One message. KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D on an empty line."""

    def interrupt(self) -> None:
        """Do as if Ctrl-C had been typed."""

    def listening(self, on_interrupt: Callable[[], None]) -> AbstractContextManager[None]:
        """While an answer is shown: keys do not appear in it; Ctrl-C is not lost."""


class Repl:
    """One chat at a terminal. ``request`` turns the messages into what is sent."""

    def __init__(
        self,
        connection: Connection,
        model: str,
        conversation: Conversation,
        request: Callable[[list[Message]], Generate],
        screen: Screen,
        editor: LineReader,
    ) -> None:
        self._connection = connection
        self._model = model
        self._conversation = conversation
        self._request = request
        self._screen = screen
        self._editor = editor
        self._answering: asyncio.Task[None] | None = None
        self._given_up = asyncio.Event()
        self._pressed_at = -TWICE_S

    async def run(self) -> int:
        """Talk until the person leaves; returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_sigint)
        while True:
            try:
                line = read_line(await self._editor.read())
            except EOFError:
                return 0
            except KeyboardInterrupt:
                if self._pressed_twice():
                    return INTERRUPTED
                continue
            match line:
                case Action.LEAVE:
                    return 0
                case Action.CLEAR:
                    self._conversation.clear()
                    self._screen.note("the conversation is forgotten")
                case Action.HELP:
                    self._screen.note(help_text())
                case Unknown(message):
                    self._screen.note(message)
                case Say(text):
                    await self._say(text)
                    if self._given_up.is_set():
                        return INTERRUPTED

    def _pressed_twice(self) -> bool:
        """Take note of a Ctrl-C at the prompt; True when it is the second, on an empty line."""
        now = time.monotonic()
        again = now - self._pressed_at < TWICE_S
        self._pressed_at = now
        if self._editor.text:
            return False
        if not again:
            self._screen.note("Ctrl-D or /exit leaves, and so does another Ctrl-C")
        return again

    def _on_sigint(self) -> None:
        if self._answering is None:
            self._editor.interrupt()
        elif not self._answering.cancelling():
            self._answering.cancel()
            self._screen.stopping()
        else:
            self._given_up.set()

    async def _say(self, text: str) -> None:
        """Send one message and show its answer; whatever happens, the chat can go on."""
        self._conversation.ask(text)
        answer = Answer()
        op = self._request(self._conversation.messages)
        self._answering = asyncio.create_task(
            ask(self._connection, self._model, op, self._screen, answer)
        )
        given_up = asyncio.create_task(self._given_up.wait())
        try:
            with self._editor.listening(self._on_sigint):
                await asyncio.wait({self._answering, given_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            given_up.cancel()
            self._answering.cancel()
            if not self._given_up.is_set():
                await asyncio.wait({self._answering}, timeout=RELEASE_S)
        await self._screen.end()
        self._conversation.answer(answer.text, answer.reasoning)
        if self._answering.done():
            self._remark(self._answering, op, answer)
            self._screen.gap()
        self._answering = None

    def _remark(self, task: asyncio.Task[None], op: Generate, answer: Answer) -> None:
        """The line after an answer: its numbers, or why it is not whole."""
        if task.cancelled():
            self._screen.note(f"^C stopped ({answer.n_tokens} tokens)")
            return
        error = task.exception()
        if isinstance(error, ContextLengthExceeded):
            self._screen.error(
                ContextLengthExceeded(
                    error.message,
                    hint="a shorter message, or /clear to begin anew; "
                    "all before this message is kept",
                )
            )
        elif isinstance(error, KoloError):
            self._screen.error(error)
            if not answer.text:
                self._screen.note("your message was not answered: ↑ brings it back")
        elif error is not None:
            raise error
        elif answer.result is not None:
            self._screen.note(stats_line(answer.result))
            if answer.finish == "length" and answer.n_tokens == op.max_tokens:
                self._screen.note(f"cut at {answer.n_tokens} tokens, as -n says")
            elif answer.finish == "length":
                self._screen.note("cut here, the context is full: /clear begins anew")
