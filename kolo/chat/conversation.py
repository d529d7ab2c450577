"""The turns of a chat, always in an order that a template takes: user, assistant, user…"""

from __future__ import annotations

from kolo.types import Message


class Conversation:
    """A system message, if any, and the turns after it."""

    def __init__(self, system: str | None = None) -> None:
        self._system = [Message(role="system", content=system)] if system else []
        self._turns: list[Message] = []

    @property
    def messages(self) -> list[Message]:
        """What is sent: a new list each time."""
        return [*self._system, *self._turns]

    def ask(self, text: str) -> None:
        """Add the user's turn."""
        self._turns.append(Message(role="user", content=text))

    def answer(self, text: str, reasoning: str = "") -> None:
        """Add the assistant's turn, whole or as far as it came.

        With neither text nor reasoning there was no answer, and the question is taken back.
        """
        if not text and not reasoning:
            self._turns.pop()
            return
        self._turns.append(
            Message(role="assistant", content=text, reasoning_content=reasoning or None)
        )

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()

    def __len__(self) -> int:
        return len(self._turns)
