"""Harmony, the format of gpt-oss: messages on channels, calls as messages to a function.

``<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>commentary to=functions.f
<|constrain|>json<|message|>{...}<|call|>``. Source: OpenAI's harmony guide. What is on the
analysis channel is reasoning, what goes to one of the request's functions is a call, all else
is content.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from kolo.engine.dialects.cursor import Mismatch, Wait, finder
from kolo.engine.dialects.forced import demanded_tools, may_reason
from kolo.engine.dialects.jsontext import stream_container
from kolo.engine.dialects.lark import Lark
from kolo.engine.dialects.stepwise import StepwiseReader
from kolo.engine.dialects.surface import Reader, plain_reader
from kolo.engine.dialects.typed import parameters_of
from kolo.types import Chat, Function

CHANNEL, MESSAGE, START = "<|channel|>", "<|message|>", "<|start|>"
END, CALL, RETURN, CONSTRAIN = "<|end|>", "<|call|>", "<|return|>", "<|constrain|>"
LONGEST_HEADER = 512

_BODY_ENDS = (END, CALL, RETURN, START, CHANNEL)
_RECIPIENT = "to="
_HEADER_STARTS = (CHANNEL, START, _RECIPIENT)
_CHANNELS = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENTS = re.compile(r"to=([^\s<]+)")


class Harmony(Struct, frozen=True, kw_only=True):
    name: str = "harmony"
    native_tools: bool = True
    stops: tuple[str, ...] = (RETURN, CALL)
    markers: frozenset[str] = frozenset((CHANNEL, MESSAGE, START, END, CALL, RETURN, CONSTRAIN))
    reasoning_close: str = END

    def opens_reasoning(self, prompt: str) -> bool:
        return prompt.rstrip().endswith(f"{CHANNEL}analysis{MESSAGE}")

    def reader(self, chat: Chat, *, opens_reasoning: bool, ids: Callable[[], str]) -> Reader:
        if not chat.parse:
            return plain_reader()
        return HarmonyReader(chat, ids, opens_reasoning=opens_reasoning)

    def call_grammar(self, chat: Chat, *, special: Callable[[str], int | None]) -> str | None:
        """One call: the token that ends a call ends the turn, too."""
        tools = demanded_tools(chat)
        if not tools:
            return None
        lark = Lark(special, self.markers)
        call = lark.one_of(lark.add(_written(lark, tool)) for tool in tools)
        if not may_reason(chat):
            return lark.source(call)
        thought = lark.text(f"{CHANNEL}analysis{MESSAGE}")
        restart = lark.text(f"{START}assistant")
        return lark.source(f"({thought})? ({restart})? {call}")


def _written(lark: Lark, tool: Function) -> str:
    """A call with its recipient in the channel's header or, as the template has it, before."""
    header = lark.one_of(
        lark.text(text)
        for text in (
            f"{CHANNEL}commentary to=functions.{tool.name} {CONSTRAIN}json{MESSAGE}",
            f" to=functions.{tool.name}{CHANNEL}commentary json{MESSAGE}",
        )
    )
    return f"{header} {lark.json(parameters_of(tool))}"


class HarmonyReader(StepwiseReader):
    """Reads one answer, which begins after ``<|start|>assistant``."""

    def __init__(self, chat: Chat, ids: Callable[[], str], *, opens_reasoning: bool) -> None:
        super().__init__(chat, ids)
        self._opens_reasoning = opens_reasoning
        self._step()

    def _read_all(self) -> Wait[None]:
        header = f"{CHANNEL}analysis" if self._opens_reasoning else (yield from self._header(""))
        while True:
            ended = yield from self._body(header)
            if self._answer.done or not ended:
                return
            header = yield from self._header(ended)

    def _header(self, before: str) -> Wait[str]:
        """What stands before a message's body, where ``before`` was read last. Empty if that
        is no header: then the text is content."""
        cursor = self._cursor
        begun = before if before in (START, CHANNEL) else ""
        if not begun:
            yield from cursor.space()
            cursor.mark()
            begun = yield from cursor.accept(*_HEADER_STARTS)
        try:
            header = begun and begun + (yield from cursor.through(MESSAGE, LONGEST_HEADER))
        except Mismatch:
            header = ""
            if begun == _RECIPIENT:
                cursor.rewind()
            elif cursor.ended:
                cursor.pos = len(cursor.text)
        cursor.release()
        return header

    def _body(self, header: str) -> Wait[str]:
        """One message, as far as the marker that ends it; empty at the end of the text."""
        channels, recipients = _CHANNELS.findall(header), _RECIPIENTS.findall(header)
        recipient = next((one for one in reversed(recipients) if one != "assistant"), "")
        try:
            self._answer.begin(recipient)
        except Mismatch:
            return (yield from self._text(thinking=channels[-1:] == ["analysis"]))
        return (yield from self._call())

    def _text(self, *, thinking: bool) -> Wait[str]:
        answer = self._answer
        answer.marker()
        self.reasoning_open = thinking
        sink = answer.think if thinking else answer.say
        ended = yield from self._cursor.until(finder(_BODY_ENDS), sink)
        if ended:
            self.reasoning_open = False
            answer.marker()
        else:
            answer.close(thinking=thinking)
        return ended

    def _call(self) -> Wait[str]:
        """Arguments; those that are no object are passed on as they are."""
        cursor, answer = self._cursor, self._answer
        yield from cursor.space()
        if (yield from cursor.stands("{")):
            complete = yield from stream_container(cursor, answer.arguments, _BODY_ENDS)
            if complete:
                answer.end()
                if answer.done:
                    return ""
            return (yield from cursor.until(finder(_BODY_ENDS), answer.say))
        ended = yield from cursor.until(finder(_BODY_ENDS), answer.arguments)
        if ended:
            answer.end()
        return ended
