"""A reader around a generator that reads the whole answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from kolo.engine.dialects.answer import Answer
from kolo.engine.dialects.cursor import Cursor, Wait
from kolo.engine.dialects.surface import Piece
from kolo.types import Chat


class StepwiseReader(ABC):
    """Steps through ``_read_all`` with every piece of text; it ends with the text, or when
    the answer is done."""

    def __init__(self, chat: Chat, ids: Callable[[], str]) -> None:
        self._cursor = Cursor()
        self._answer = Answer(chat, ids, self._cursor)
        self.reasoning_open = False
        self._steps = self._read_all()
        self._over = False

    @abstractmethod
    def _read_all(self) -> Wait[None]: ...

    @property
    def called(self) -> bool:
        return self._answer.n_calls > 0

    @property
    def done(self) -> bool:
        return self._answer.done

    def feed(self, text: str) -> Piece:
        if not self._over:
            self._cursor.push(text)
            self._step()
        return self._answer.take()

    def finish(self) -> Piece:
        self._cursor.ended = True
        self._step()
        return self._answer.take()

    def _step(self) -> None:
        try:
            next(self._steps)
        except StopIteration:
            self._over = True
