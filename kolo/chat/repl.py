"""The conversation loop: read a line, stream the answer, and never lose the conversation.

Ctrl-C stops an answer and keeps what came as the assistant's turn; pressed again before the
engine has let go it leaves. At the prompt it clears the line, and twice in two seconds leaves.
"""

from __future__ import annotations

import asyncio
import signal
import time

from kolo.chat.answer import Answer, ask
from kolo.chat.attach import mentioned, with_files
from kolo.chat.commands import Call, Say, Unknown, read_line
from kolo.chat.interrupts import Interruptible
from kolo.chat.lines import LineReader
from kolo.chat.room import make_room, warn
from kolo.chat.stats import size_text, stats_line
from kolo.chat.talk import Ask, Leave, Next, Talk
from kolo.errors import ContextLengthExceeded, KoloError, ServerUnreachable, UsageError

TWICE_S = 2.0
INTERRUPTED = 130
_UNSET = {"reasoning_effort": "/think auto", "json_schema": "/json off"}
"""What takes back what a field of a request was refused for."""


class Repl:
    """One chat at a terminal."""

    def __init__(self, talk: Talk, editor: LineReader) -> None:
        self._talk = talk
        self._screen = talk.screen
        self._editor = editor
        self._work = Interruptible(editor, talk.screen)
        self._pressed_at = -TWICE_S

    async def run(self) -> int:
        """Talk until the person leaves; returns the exit code."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._work.on_sigint)
        while True:
            try:
                line = await self._read()
            except EOFError:
                return 0
            except KeyboardInterrupt:
                if self._pressed_twice():
                    return INTERRUPTED
                continue
            if await self._do(line):
                return 0
            if self._work.given_up:
                return INTERRUPTED

    async def _read(self) -> str:
        await self._screen.end()
        draft, self._talk.draft = self._talk.draft, ""
        self._work.at_prompt()
        return await self._editor.read(draft)

    async def _do(self, line: str) -> bool:
        """What the line asks for; True to leave."""
        match read_line(line):
            case Unknown(message):
                self._screen.note(message)
            case Call() as call:
                return await self._command(call)
            case Say(text, quoted):
                await self._say(text, quoted=quoted)
            case None:
                pass
        return False

    async def _command(self, call: Call) -> bool:
        """Run a command; True to leave."""
        task = await self._work.run(self._run(call))
        await self._screen.end()
        if not task.done():
            return False
        if task.cancelled():
            self._screen.note("^C stopped")
            return False
        error = task.exception()
        if isinstance(error, KoloError):
            self._tell(error)
        elif error is not None:
            raise error
        elif isinstance(task.result(), Ask):
            await self._answer()
        return error is None and isinstance(task.result(), Leave)

    async def _run(self, call: Call) -> Next:
        self._screen.waiting()
        try:
            return await call.command.run(self._talk, call.rest)
        except OSError as error:  # of a file's name that no file can have, and the like
            raise UsageError(f"{call.command.names[0]}: {error.strerror or error}") from error

    async def _say(self, text: str, *, quoted: bool) -> None:
        """Send one message, with the files that go with it."""
        talk = self._talk
        files = list(talk.attachments)
        if not quoted:
            try:
                found = mentioned(text)
            except KoloError as error:
                self._screen.error(error)
                talk.draft = text
                return
            files += found.files
            for each in found.files:
                self._screen.note(f"attached {each.name} ({size_text(each.n_bytes)})")
            for name in found.missing:
                self._screen.note(f"there is no file {name}: @{name} is sent as it is")
        talk.attachments.clear()
        talk.conversation.ask(with_files(text, files))
        await self._answer()

    async def _answer(self) -> None:
        """Have the last question answered; whatever happens, the chat can go on."""
        talk, answer = self._talk, Answer()
        talk.save()
        task = await self._work.run(self._ask(answer))
        talk.conversation.answer(answer.text, answer.reasoning)
        if answer.result is not None:
            usage = answer.result.usage
            talk.used = usage.prompt_tokens + usage.completion_tokens
            talk.totals.add(answer)
        talk.save()
        await self._screen.end()
        if task.done():
            self._remark(task, answer)
            self._screen.gap()

    async def _ask(self, answer: Answer) -> None:
        talk = self._talk
        self._screen.waiting()
        await make_room(talk)
        op = talk.request(talk.conversation.messages)
        await ask(talk.connection, talk.model, op, self._screen, answer)

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

    def _remark(self, task: asyncio.Task[None], answer: Answer) -> None:
        """The lines after an answer: its numbers, or why it is not whole."""
        if task.cancelled():
            self._screen.note(f"^C stopped ({answer.n_tokens} tokens)")
            return
        error = task.exception()
        if isinstance(error, KoloError):
            self._failed(error, answer)
        elif error is not None:
            raise error
        elif answer.result is not None:
            if self._talk.stats:
                self._screen.note(stats_line(answer.result))
            if answer.finish == "length":
                self._cut(answer.n_tokens)
            elif answer.finish == "cancelled":
                self._screen.note("the engine ended the answer here; /retry has another")
            warn(self._talk)

    def _failed(self, error: KoloError, answer: Answer) -> None:
        if isinstance(error, ContextLengthExceeded):
            error = ContextLengthExceeded(
                error.message,
                hint="a shorter message, or /clear to begin anew; all before this message is kept",
            )
        elif isinstance(error, ServerUnreachable):
            again = "/retry" if not answer.text else "/retry for the whole answer"
            error = ServerUnreachable(
                error.message,
                hint=f"kolo serve starts it again, then {again}; "
                "or leave, and kolo chat --last --local goes on with an engine of its own",
            )
        elif error.param in _UNSET:
            error = UsageError(error.message, hint=_UNSET[error.param])
        self._tell(error)
        if answer.text:
            self._screen.note(f"what came is kept ({answer.n_tokens} tokens)")
        else:
            self._screen.note("your message was not answered: /retry sends it again")

    def _tell(self, error: KoloError) -> None:
        error.param = None  # which is told as an option, and here nobody has typed one
        self._screen.error(error)

    def _cut(self, n_tokens: int) -> None:
        if n_tokens == self._talk.choices.max_tokens:
            self._screen.note(f"cut at {n_tokens} tokens, as -n or /set max_tokens says")
        else:
            self._screen.note(
                "cut here, the context is full: /compact makes a summary of what was said, "
                "/clear begins anew"
            )
