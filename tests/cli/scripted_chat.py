"""A chat at the terminal whose model does what the message says; run on a pty by the tests.

``stall`` never answers, ``stream`` begins and never ends, ``hold`` cannot be cancelled, ``crash``
dies before and ``break`` dies after the first words, ``long`` does not fit, ``cut`` is cut by
the context, ``escape`` answers with an escape sequence, ``think`` reasons first. Anything else
is answered with the roles and texts of all messages.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from kolo.chat.conversation import Conversation
from kolo.chat.cooked import PlainEditor
from kolo.chat.editor import Editor, open_history
from kolo.chat.repl import LineReader, Repl
from kolo.cli import loop
from kolo.cli.boundary import Stopped, report
from kolo.cli.output import look
from kolo.cli.screen import StandardScreen
from kolo.errors import ContextLengthExceeded, EngineCrashed, InternalError
from kolo.types import Chat, Delta, Generate, Generated, Message, Operation, Result, Timings, Usage

FOREVER = asyncio.Event


class ScriptedStream:
    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        self._order = messages[-1].content or ""
        self.result: Generated | None = None

    async def __aiter__(self) -> AsyncIterator[Delta]:
        match self._order:
            case "stall":
                await FOREVER().wait()
            case "stream" | "hold":
                yield Delta(1, 0, "one two", 2)
                await FOREVER().wait()
            case "crash":
                raise EngineCrashed("engine 'scripted' crashed")
            case "break":
                yield Delta(1, 0, "half an ans", 3)
                raise EngineCrashed("engine 'scripted' crashed")
            case "long":
                raise ContextLengthExceeded("9000 tokens and a context of 2048")
            case "cut":
                yield Delta(1, 0, "as far as", 3, finish="length")
            case "escape":
                yield Delta(1, 0, "a\x1b[2Jb", 2, finish="stop")
            case "think":
                yield Delta(1, 0, "", 2, reasoning="let me see")
                yield Delta(1, 0, "I see.", 2, finish="stop")
            case _:
                turns = [f"{turn.role[0]}:{turn.content}" for turn in self._messages]
                yield Delta(1, 0, "|".join(turns), 4, finish="stop")
        self.result = Generated(
            usage=Usage(completion_tokens=4, cached_tokens=1100),
            timings=Timings(ttft_ms=210, decode_ms=30),
        )

    async def aclose(self) -> None:
        if self._order == "hold":
            await FOREVER().wait()


class ScriptedConnection:
    where = "local"

    async def generate(self, model: str, op: Generate) -> ScriptedStream:
        assert isinstance(op.input, Chat)
        return ScriptedStream(op.input.messages)

    async def call(self, model: str, op: Operation) -> Result:
        raise InternalError("not scripted")


def request(messages: list[Message]) -> Generate:
    return Generate(input=Chat(messages=messages))


async def chat() -> int:
    with StandardScreen() as screen:
        editor: LineReader = PlainEditor()
        if look(sys.stdout).redraw:
            editor = Editor(open_history(Path(sys.argv[1]), screen.note))
        conversation = Conversation("S")
        repl = Repl(ScriptedConnection(), "scripted", conversation, request, screen, editor)
        return await repl.run()


if __name__ == "__main__":
    try:
        sys.exit(loop.run(chat()))
    except Stopped as stopped:
        sys.exit(report(stopped))
