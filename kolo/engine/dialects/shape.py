"""What every shape of call is asked to do."""

from __future__ import annotations

from typing import Protocol

from kolo.engine.dialects.answer import Answer
from kolo.engine.dialects.cursor import Wait
from kolo.engine.dialects.lark import Lark
from kolo.types import Function


class Shape(Protocol):
    """One way to write tool calls. Frozen data; a family is shapes with its own markers."""

    @property
    def opens(self) -> tuple[str, ...]:
        """The markers at which this shape is tried, wherever they stand in the content."""
        ...

    @property
    def literals(self) -> tuple[str, ...]:
        """Every marker of this shape."""
        ...

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        """Read what follows ``opened`` into ``answer``.

        Mismatch before the first call began means that it is no call: all of it is content.
        Later it means that the calls end here, and what follows the mark is content.
        """
        ...

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        """The expression of one call to one of ``tools``, or of one and more."""
        ...
