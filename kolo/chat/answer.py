"""One answer: what has come of it so far, and how it gets onto a screen."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from kolo.connect import Connection
from kolo.errors import KoloError
from kolo.types import Delta, FinishReason, Generate, Generated


class Screen(Protocol):
    """Where answers and remarks are shown."""

    show_thoughts: bool
    """What the model thinks before it answers is shown."""

    def waiting(self) -> None:
        """A request was sent and nothing has come yet."""

    def reading(self, fraction: float) -> None:
        """How far the prompt has been read, 0 to 1."""

    def stopping(self) -> None:
        """The person has stopped the answer, and the engine must let go of it yet."""

    async def text(self, text: str) -> None:
        """A piece of the answer."""

    async def reasoning(self, text: str) -> None:
        """A piece of what the model thinks before it answers."""

    async def end(self) -> None:
        """The answer is whole, or as whole as it will be."""

    def note(self, text: str) -> None:
        """A remark of ours."""

    def gap(self) -> None:
        """An empty line between two turns."""

    def error(self, error: KoloError) -> None:
        """Something went wrong and the conversation goes on."""

    async def show(self, text: str) -> None:
        """A whole answer of before."""

    def control(self, sequence: str) -> bool:
        """Have the terminal do something; False where there is none that could."""

    def aside(self) -> AbstractContextManager[None]:
        """While this is held, others write on the terminal."""


class Answer:
    """What has come so far; ``result`` is there once the answer is whole."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.n_tokens = 0
        self.finish: FinishReason | None = None
        self.result: Generated | None = None

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.n_tokens += delta.n_tokens
        self.finish = delta.finish or self.finish


async def ask(
    connection: Connection, model: str, op: Generate, screen: Screen, answer: Answer
) -> None:
    """Send ``op`` and show its answer as it comes; ``answer`` holds it, also after an error.

    Cancelled, it takes the request back from the engine before it returns.
    """
    screen.waiting()
    stream = await connection.generate(model, op, reading=screen.reading)
    try:
        async for delta in stream:
            answer.add(delta)
            await screen.reasoning(delta.reasoning)
            await screen.text(delta.text)
        answer.result = stream.result
    finally:
        await stream.aclose()
    await screen.end()
