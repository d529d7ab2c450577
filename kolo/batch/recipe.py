"""What holds for every request of a run: how an answer is to be drawn, and of what form."""

from __future__ import annotations

from msgspec import Struct

from kolo.types import Chat, Constraint, Generate, Message, Prompt, Sampling


class Recipe(Struct, frozen=True, kw_only=True):
    system: str | None = None
    raw: bool = False
    """No chat template: the model carries the text on."""
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    """How many likely tokens are told beside each; None tells none."""

    def of_text(self, text: str) -> Generate:
        return self._of(Prompt(text=text)) if self.raw else self.of_messages([_user(text)])

    def of_messages(self, messages: list[Message]) -> Generate:
        """A conversation; the system message goes before one that has none."""
        if self.system and not any(each.role in ("system", "developer") for each in messages):
            messages = [Message(role="system", content=self.system), *messages]
        return self._of(Chat(messages=messages))

    def _of(self, input: Chat | Prompt) -> Generate:
        return Generate(
            input=input,
            sampling=self.sampling,
            constraint=self.constraint,
            max_tokens=self.max_tokens,
            stop=list(self.stop),
            n=self.n,
            logprobs=self.logprobs is not None,
            top_logprobs=self.logprobs or 0,
        )


def _user(text: str) -> Message:
    return Message(role="user", content=text)
