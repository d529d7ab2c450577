"""The turns of a chat, always in an order that a template takes: user, assistant, user…"""

from __future__ import annotations

from collections.abc import Sequence

from kolo.types import Message

SUMMARISE = (
    "Summarise our conversation so far, so that it can go on from your summary alone. Keep every "
    "fact, name, number, decision and open question that may matter, and code that is still "
    "being worked on."
)
"""What a summary is asked for with; no question of the person's."""


class Conversation:
    """A system message, if any, and the turns after it.

    ``left_out`` turns of the oldest are not sent any more; they stay here, and in what is saved.
    """

    def __init__(self, system: str | None = None, turns: Sequence[Message] = ()) -> None:
        self.system = system or None
        self._turns = list(turns)
        self.left_out = 0
        self.unanswered: str | None = None
        """The last question, if nothing came of it."""
        self._replaced: Message | None = None
        """The answer that another is to be had for."""
        if self._turns and self._turns[-1].role == "user":
            self.unanswered = self._turns.pop().content

    @property
    def turns(self) -> list[Message]:
        return list(self._turns)

    @property
    def messages(self) -> list[Message]:
        """What is sent: a new list each time."""
        return [*self._system, *self._turns[self.left_out :]]

    @property
    def all(self) -> list[Message]:
        """What is saved: also what is left out, and a question that got no answer."""
        open_question = [] if self.unanswered is None else [_user(self.unanswered)]
        return [*self._system, *self._turns, *open_question]

    def ask(self, text: str) -> None:
        """Add the user's turn."""
        self._turns.append(_user(text))
        self.unanswered = None
        self._replaced = None

    def answer(self, text: str, reasoning: str = "") -> None:
        """Add the assistant's turn, whole or as far as it came.

        With neither text nor reasoning there was no answer: the question becomes ``unanswered``,
        and an answer that was to be replaced stays.
        """
        if text or reasoning:
            self._turns.append(
                Message(role="assistant", content=text, reasoning_content=reasoning or None)
            )
        elif self._replaced is not None:
            self._turns.append(self._replaced)
        else:
            self.unanswered = self._turns.pop().content
        self._replaced = None

    def ask_again(self) -> bool:
        """Make ready for another answer to the last question; False when there is none."""
        if self.unanswered is not None:
            self.ask(self.unanswered)
            return True
        at = self._last_question()
        if at is None:
            return False
        self._replaced = self._turns[-1] if at < len(self._turns) - 1 else None
        del self._turns[at + 1 :]
        return True

    def undo(self) -> str | None:
        """Take back the last question and what came of it; its text, None when there is none."""
        if self.unanswered is not None:
            text, self.unanswered = self.unanswered, None
            return text
        at = self._last_question()
        if at is None:
            return None
        question = self._turns[at].content or ""
        del self._turns[at:]
        self.left_out = min(self.left_out, len(self._turns))
        return question

    def last_answer(self) -> str | None:
        """The text of the last answer."""
        texts = [turn.content for turn in self._turns if turn.role == "assistant" and turn.content]
        return texts[-1] if texts else None

    def exchanges(self) -> list[int]:
        """Where, among ``turns``, each question is that is still sent."""
        return [
            at for at in range(self.left_out, len(self._turns)) if self._turns[at].role == "user"
        ]

    def before_last(self, *, whole: bool = False) -> list[Message]:
        """What is sent but the last exchange, which stays beside a summary; all, if it is alone.
        With ``whole`` also what is left out."""
        at = self._last_question()
        begin = 0 if whole else self.left_out
        upto = at if at is not None and at > begin else None
        return [*self._system, *self._turns[begin:upto]]

    def clear(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()
        self.left_out = 0
        self.unanswered = self._replaced = None

    def summarised(self, request: str, summary: str) -> Conversation:
        """A new one that goes on from a summary: it, and the last exchange as it was."""
        at = self._last_question()
        last = [] if at is None or at == 0 else self._turns[at:]
        told = [_user(request), Message(role="assistant", content=summary)]
        after = Conversation(self.system, [*told, *last])
        after.unanswered = self.unanswered
        return after

    @property
    def _system(self) -> list[Message]:
        return [Message(role="system", content=self.system)] if self.system else []

    def _last_question(self) -> int | None:
        users = [at for at, turn in enumerate(self._turns) if turn.role == "user"]
        return users[-1] if users else None

    def __len__(self) -> int:
        return len(self._turns)


def _user(text: str) -> Message:
    return Message(role="user", content=text)
