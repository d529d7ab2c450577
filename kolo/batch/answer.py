"""One request asked and its answer gathered, all its choices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kolo.connect import Connection
from kolo.types import Delta, FinishReason, Generate, Generated, TokenLogprob


class Choice:
    """One of the answers to a request, as far as it has come."""

    def __init__(self) -> None:
        self.text = ""
        self.reasoning = ""
        self.n_tokens = 0
        self.finish: FinishReason | None = None
        self.logprobs: list[TokenLogprob] = []

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.n_tokens += delta.n_tokens
        self.logprobs += delta.logprobs
        self.finish = delta.finish or self.finish


class Answer:
    """``choices`` as they come; ``result`` is there once all of them are whole."""

    def __init__(self, n: int = 1) -> None:
        self.choices = [Choice() for _ in range(n)]
        self.result: Generated | None = None


async def ask(
    connection: Connection,
    model: str,
    op: Generate,
    show: Callable[[Delta], Awaitable[None]] | None = None,
) -> Answer:
    """Send ``op`` and gather what comes, each piece of it shown on its way.

    Cancelled, it takes the request back from the engine before it returns.
    """
    answer = Answer(op.n)
    stream = await connection.generate(model, op)
    try:
        async for delta in stream:
            answer.choices[delta.index].add(delta)
            if show is not None:
                await show(delta)
        answer.result = stream.result
    finally:
        await stream.aclose()
    return answer
