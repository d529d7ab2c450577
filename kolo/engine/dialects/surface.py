"""What a dialect is to the rest of the engine."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from typing import NamedTuple, Protocol

from kolo.types import Chat, ToolCallDelta

_ALNUM = string.ascii_letters + string.digits


class Piece(NamedTuple):
    """What a stretch of generated text added to the answer."""

    content: str
    reasoning: str
    tool_calls: list[ToolCallDelta]


class Reader(Protocol):
    """Reads one answer as it forms. Joined, its pieces depend on the text alone, not on
    where it was cut; none of its methods raises for anything a model can write."""

    @property
    def called(self) -> bool:
        """A tool call was seen."""
        ...

    @property
    def reasoning_open(self) -> bool:
        """The text so far ends inside a reasoning block."""
        ...

    @property
    def done(self) -> bool:
        """The one call that ``parallel_tool_calls: false`` allows is complete: whatever
        follows is dropped, so generation may as well stop."""
        ...

    def feed(self, text: str) -> Piece: ...

    def finish(self) -> Piece:
        """The text has ended. A marker left unfinished is content; a call left unfinished
        stays as far as it came."""
        ...


class Dialect(Protocol):
    """How one family of templates has its models write reasoning and tool calls."""

    @property
    def name(self) -> str: ...

    @property
    def native_tools(self) -> bool:
        """The template tells the model of its tools. If it does not, the prompt has to, in
        the Hermes convention: ``<tool_call>{"name": ..., "arguments": ...}</tool_call>``."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Text that ends a turn in this family, should a vocabulary not mark it as its end."""
        ...

    @property
    def markers(self) -> frozenset[str]:
        """Tokens whose text the reader wants to see even where they are control tokens."""
        ...

    @property
    def reasoning_close(self) -> str:
        """What ends a reasoning block; empty if the family has none."""
        ...

    def opens_reasoning(self, prompt: str) -> bool:
        """A rendered prompt ends inside a reasoning block."""
        ...

    def reader(self, chat: Chat, *, opens_reasoning: bool, ids: Callable[[], str]) -> Reader:
        """A reader for one answer to ``chat``. ``ids`` makes ids for calls that bring none."""
        ...

    def call_grammar(self, chat: Chat, *, special: Callable[[str], int | None]) -> str | None:
        """Lark source for llguidance that makes the answer the calls ``tool_choice`` demands.

        None when it demands none. ``special`` gives the id of the one token that is exactly
        this marker, or None where the vocabulary spells it out. What lies inside a reasoning
        block is not part of the grammar: the matcher rests while ``reasoning_open``, so the
        grammar has a block's opening (as a choice, where the template knows reasoning) and
        goes on after its closing. Raises BadParameter for a choice that cannot be met and
        BadGrammar for a schema this family cannot express.
        """
        ...


def new_call_id() -> str:
    """OpenAI's form: ``call_`` and 24 letters or digits."""
    return "call_" + "".join(secrets.choice(_ALNUM) for _ in range(24))


class PlainReader:
    """Everything is content."""

    called = False
    reasoning_open = False
    done = False

    def feed(self, text: str) -> Piece:
        return Piece(text, "", [])

    def finish(self) -> Piece:
        return Piece("", "", [])


def plain_reader() -> Reader:
    return PlainReader()
