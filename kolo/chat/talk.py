"""One chat: everything that its commands look at and change."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kolo.chat.answer import Answer, Screen
from kolo.chat.attach import Attachment
from kolo.chat.choices import Choices
from kolo.chat.conversation import Conversation
from kolo.chat.session import Keeper, Session, Shelf
from kolo.connect import Connection
from kolo.errors import InternalError
from kolo.stats import EngineStats
from kolo.types import Generate, Inspect, Message

Names = Callable[[], Awaitable[list[str]]]
"""The models that ``/model`` may be told."""


class Leave(NamedTuple):
    """The chat is over."""


class Ask(NamedTuple):
    """The conversation's last question is to be sent."""


Next = Leave | Ask | None
"""What a command wants done after it."""


@dataclass
class Totals:
    """Of all answers so far."""

    started_s: float = field(default_factory=time.monotonic)
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    decode_ms: float = 0.0
    prefill_ms: float = 0.0

    def add(self, answer: Answer) -> None:
        result = answer.result
        if result is not None:
            self.answers += 1
            self.prompt_tokens += result.usage.prompt_tokens
            self.cached_tokens += result.usage.cached_tokens
            self.completion_tokens += result.usage.completion_tokens
            self.decode_ms += result.timings.decode_ms
            self.prefill_ms += result.timings.prefill_ms


class Talk:
    """The state of a chat. ``keeper`` None keeps nothing on disk."""

    def __init__(
        self,
        connection: Connection,
        model: str,
        screen: Screen,
        *,
        conversation: Conversation | None = None,
        choices: Choices | None = None,
        shelf: Shelf | None = None,
        keeper: Keeper | None = None,
        names: Names | None = None,
        stats: bool = True,
    ) -> None:
        self.connection = connection
        self.model = model
        self.screen = screen
        self.conversation = Conversation() if conversation is None else conversation
        self.choices = choices or Choices()
        self.shelf = shelf
        self.keeper = keeper
        self.names = names or _nobody
        self.stats = stats
        self.n_ctx = 0
        """Tokens of the model's context; 0 while that is not known."""
        self.used = 0
        """Tokens that the conversation takes of it; 0 while that is not known."""
        self.warned = False
        self.attachments: list[Attachment] = []
        """They go with the next message."""
        self.draft = ""
        """What the next line begins with."""
        self.totals = Totals()
        self._complained = False

    async def choose(self, model: str) -> None:
        """Talk with ``model``, which is loaded if need be. Raises KoloError, and then nothing
        has changed."""
        stats = await self.connection.call(model, Inspect())
        if not isinstance(stats, EngineStats):
            raise InternalError(f"Inspect was answered with {type(stats).__name__}")
        self.model = model
        self.n_ctx = stats.n_ctx
        self.forget_size()

    def request(self, messages: Sequence[Message]) -> Generate:
        """What is sent to have an answer to ``messages``."""
        return self.choices.request(messages, local=self.connection.where == "local")

    def forget_size(self) -> None:
        """The conversation has become another: how large it is must be found out again."""
        self.used = 0
        self.warned = False

    def adopt(self, session: Session, keeper: Keeper | None) -> None:
        """Go on with another conversation."""
        self.conversation = session.conversation
        self.choices = session.choices
        self.keeper = keeper
        self.attachments.clear()
        self.forget_size()

    def session(self) -> Session:
        return Session(conversation=self.conversation, choices=self.choices, model=self.model)

    def save(self) -> None:
        """Put the conversation on disk, if it is kept. That this fails is said once."""
        if self.keeper is None:
            return
        try:
            remark = self.keeper.save(self.session())
        except OSError as error:
            if not self._complained:
                self.screen.note(
                    f"the conversation is not saved: {error.strerror}: {error.filename}"
                )
            self._complained = True
            return
        self._complained = False
        if remark:
            self.screen.note(remark)


async def _nobody() -> list[str]:
    return []
