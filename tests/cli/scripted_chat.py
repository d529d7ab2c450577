"""A chat at the terminal whose model does what the message says; run on a pty by the tests.

``stall`` never answers, ``prefill`` reads its prompt for ever, ``stream`` begins and never ends,
``hold`` cannot be cancelled, ``crash`` dies before and ``break`` dies after the first words,
``long`` does not fit, ``cut`` is cut by the context, ``escape`` answers with an escape sequence,
``think`` reasons first, ``markdown`` answers in Markdown, ``half`` stops within a long line,
``count`` and more lines are counted. Anything else is answered with the roles and texts of all
messages. Its context has 2,000 tokens, and a token is a character.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from kolo.chat.conversation import Conversation
from kolo.chat.cooked import PlainEditor
from kolo.chat.lines import LineReader
from kolo.chat.repl import Repl
from kolo.chat.session import Keeper, Shelf
from kolo.chat.talk import Talk
from kolo.cli import loop
from kolo.cli.boundary import Stopped, report
from kolo.cli.chatting import toolbar
from kolo.cli.live import LiveScreen
from kolo.cli.output import look
from kolo.cli.screen import StandardScreen
from kolo.errors import ContextLengthExceeded, EngineCrashed, InternalError, ModelNotFound
from kolo.stats import EngineStats
from kolo.types import (
    Chat,
    Delta,
    Generate,
    Generated,
    Inspect,
    Message,
    Operation,
    Render,
    Rendered,
    Result,
    Timings,
    Tokenize,
    Tokenized,
    Usage,
)

FOREVER = asyncio.Event
N_CTX = 2000
MARKDOWN = """# Title

Some **bold** words.

- one
- two

```python
def f():
    return 1
```

The end."""


class ScriptedStream:
    def __init__(self, messages: list[Message], reading: Callable[[float], None] | None) -> None:
        self._messages = messages
        self._reading = reading
        self._order = messages[-1].content or ""
        self.result: Generated | None = None

    async def __aiter__(self) -> AsyncIterator[Delta]:
        n_prompt = sum(len(message.content or "") for message in self._messages)
        match self._order:
            case "stall":
                await FOREVER().wait()
            case "prefill":
                while True:
                    await asyncio.sleep(0.05)
                    if self._reading is not None:
                        self._reading(0.62)
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
            case "markdown":
                for at in range(0, len(MARKDOWN), 3):
                    yield Delta(1, 0, MARKDOWN[at : at + 3], 1)
            case "half":
                yield Delta(1, 0, "first line\n\n" + "many words " * 20, 2)
                await FOREVER().wait()
            case order if order.startswith("count\n"):
                n_lines, n_turns = order.count("\n") + 1, len(self._messages) - 1
                yield Delta(1, 0, f"{n_lines} lines in {n_turns} turn", 5, finish="stop")
            case order if order.startswith("Summarise"):
                yield Delta(1, 0, "It was about rivers.", 5, finish="stop")
            case _:
                turns = [f"{turn.role[0]}:{turn.content}" for turn in self._messages]
                text = "|".join(turns)
                yield Delta(1, 0, text, 4, finish="stop")
                n_prompt += len(text)
        self.result = Generated(
            usage=Usage(prompt_tokens=n_prompt, completion_tokens=4, cached_tokens=1100),
            timings=Timings(ttft_ms=210, decode_ms=30),
        )

    async def aclose(self) -> None:
        if self._order == "hold":
            await FOREVER().wait()


class ScriptedConnection:
    where = "local"

    async def generate(
        self, model: str, op: Generate, *, reading: Callable[[float], None] | None = None
    ) -> ScriptedStream:
        assert isinstance(op.input, Chat)
        return ScriptedStream(op.input.messages, reading)

    async def call(self, model: str, op: Operation) -> Result:
        match op:
            case Inspect():
                if model not in ("scripted", "other"):
                    raise ModelNotFound(f"no model named {model!r}", hint="kolo ls")
                return EngineStats(n_ctx=N_CTX)
            case Render():
                texts = [f"{turn.role}:{turn.content}" for turn in op.chat.messages]
                return Rendered(prompt="".join(texts))
            case Tokenize():
                return Tokenized(tokens=[1] * len(op.text), pieces=[])
        raise InternalError("not scripted")


async def names() -> list[str]:
    return ["other", "scripted"]


async def chat(folder: Path, plain: bool) -> int:
    how = look(sys.stdout)
    live = how.redraw and not plain
    with LiveScreen() if live else StandardScreen(still=plain) as screen:
        shelf = Shelf(folder / "chats")
        talk = Talk(
            ScriptedConnection(),
            "scripted",
            screen,
            conversation=Conversation("S"),
            shelf=shelf,
            keeper=Keeper(shelf),
            names=names,
        )
        await talk.choose("scripted")
        editor: LineReader = PlainEditor()
        if how.redraw:
            from kolo.chat.completion import completions
            from kolo.chat.editor import Editor
            from kolo.chat.history import open_history

            editor = Editor(
                open_history(folder / "history", screen.note),
                toolbar=None if plain else partial(toolbar, talk),
                complete=partial(completions, talk),
            )
        return await Repl(talk, editor).run()


if __name__ == "__main__":
    try:
        sys.exit(loop.run(chat(Path(sys.argv[1]), "--plain" in sys.argv)))
    except Stopped as stopped:
        sys.exit(report(stopped))
