"""Calls as JSON objects, each with its name and arguments, alone or in a list.

``<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>`` and its many relatives. What
models do is read, whichever way the family writes: a list or single objects, a code fence
around them, ``parameters`` for ``arguments``, the arguments before the name.
"""

from __future__ import annotations

import json

from msgspec import Struct

from kolo.engine.dialects.answer import Answer
from kolo.engine.dialects.cursor import Cursor, Mismatch, Wait
from kolo.engine.dialects.jsontext import (
    read_scalar,
    read_string,
    skip_value,
    stream_arguments,
)
from kolo.engine.dialects.lark import Lark
from kolo.engine.dialects.typed import parameters_of
from kolo.types import Function

BARE = "{"
"""Among the markers that open calls: an object without any marker, before any content."""

_NAMES = ("name", "tool_name", "function")
_ARGUMENTS = ("arguments", "parameters")
_IDS = ("id", "call_id", "tool_call_id")
_KNOWN = frozenset((*_NAMES, *_ARGUMENTS, *_IDS, "type"))


class JsonCalls(Struct, frozen=True, kw_only=True):
    opens: tuple[str, ...]
    closes: tuple[str, ...] = ()
    prefix: str = ""
    """Written before the objects: the marker and its layout."""
    suffix: str = ""
    brackets: tuple[str, str, str] | None = None
    """Opening, separator and closing of the one list that calls are written in; else each
    call has its own prefix and suffix."""
    name_key: str = "name"
    arguments_key: str = "arguments"
    id_first: str = ""
    """Written before the name: a position the family counts, read but not kept."""
    id_last: bool = False
    """The object's id follows its arguments, and the next prompt needs it: the call is held
    until it has come."""
    keyed: bool = False
    """The name is the key of the arguments: ``{"f": {"a": 1}}``."""
    single: bool = False
    """The family makes one call at a time."""

    @property
    def literals(self) -> tuple[str, ...]:
        return tuple(marker for marker in (*self.opens, *self.closes) if marker != BARE)

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        cursor = answer.cursor
        yield from cursor.space()
        fenced = yield from cursor.accept("```json", "```")
        yield from cursor.space()
        listed = yield from cursor.accept("[")
        while True:
            yield from cursor.space()
            yield from _ObjectReader(self, answer, bare=opened == BARE).read()
            if answer.done:
                return
            cursor.mark()
            yield from cursor.space()
            yield from cursor.accept(",", ";")
            yield from cursor.space()
            if not (yield from cursor.stands("{")):
                cursor.rewind()
                break
        yield from self._close(cursor, "]" if listed else "", "```" if fenced else "")

    def _close(self, cursor: Cursor, bracket: str, fence: str) -> Wait[None]:
        """The closing marker, and what a model may have written in excess before it."""
        if self.closes:
            while (yield from cursor.char()) in _LOOSE_ENDS:
                cursor.pos += 1
            if (yield from cursor.accept(*self.closes)) or cursor.breaks_off(*self.closes):
                return
            cursor.rewind()
        for closing in filter(None, (bracket, fence)):
            yield from cursor.space()
            yield from cursor.accept(closing)

    # Written ------------------------------------------------------------------------------

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        call = lark.add(lark.one_of(self._call(lark, tool) for tool in tools))
        prefix, suffix = lark.text(self.prefix), lark.text(self.suffix)
        many = many and not self.single
        if self.brackets:
            opening, separator, closing = map(lark.text, self.brackets)
            more = f"({separator} {call})*" if many else ""
            return f"{prefix} {opening} {call} {more} {closing} {suffix}"
        one = lark.add(f"{prefix} {call} {suffix}".strip())
        return f'{one} ("\\n"? {one})*' if many else one

    def _call(self, lark: Lark, tool: Function) -> str:
        arguments = lark.json(parameters_of(tool))
        name = json.dumps(tool.name, ensure_ascii=False)
        if self.keyed:
            return f'{lark.text("{" + name + ": ")} {arguments} "}}"'
        begin = lark.text("{")
        if self.id_first:
            begin += " " + lark.text(f'"{self.id_first}": "') + r' /[0-9]{1,4}/ "\", "'
        begin += " " + lark.text(f'"{self.name_key}": {name}, "{self.arguments_key}": ')
        end = r'", \"id\": \"" /[a-zA-Z0-9]{9}/ "\"}"' if self.id_last else '"}"'
        return f"{begin} {arguments} {end}"


_LOOSE_ENDS = frozenset("}]` \t\r\n")


class _ObjectReader:
    """Reads one object, which becomes a call as soon as its name is known to be a tool's."""

    def __init__(self, shape: JsonCalls, answer: Answer, *, bare: bool) -> None:
        self._shape = shape
        self._answer = answer
        self._cursor = answer.cursor
        self._bare = bare
        self._name = ""
        self._id = ""
        self._held: list[str] = []
        self._begun = False
        self._has_arguments = False
        self._closed = False

    @property
    def _complete(self) -> bool:
        return bool(self._name) and (self._has_arguments or self._closed)

    def read(self) -> Wait[None]:
        try:
            yield from self._members(inner=False)
        except Mismatch:
            self._deliver()
            raise
        self._deliver()

    def _deliver(self) -> None:
        if self._name and not self._begun:
            self._begin()
        if self._complete:
            self._answer.end()

    def _members(self, *, inner: bool) -> Wait[None]:
        cursor = self._cursor
        yield from cursor.expect("{")
        while True:
            yield from cursor.space()
            if (yield from cursor.accept("}")):
                break
            if self._complete and not (yield from cursor.stands('"')):
                return
            key = yield from read_string(cursor)
            if self._bare and not self._begun and key not in _KNOWN:
                raise Mismatch
            yield from cursor.space()
            yield from cursor.expect(":")
            yield from cursor.space()
            yield from self._member(key, inner)
            yield from cursor.space()
            yield from cursor.accept(",")
        if not self._name:
            raise Mismatch
        self._closed = True

    def _member(self, key: str, inner: bool) -> Wait[None]:
        first = yield from self._cursor.char()
        if self._shape.keyed and not self._name:
            self._named(key)
            yield from self._arguments()
        elif key in _NAMES and first == '"' and not self._name:
            self._named((yield from read_string(self._cursor)))
        elif key == "function" and first == "{" and not inner and not self._name:
            yield from self._members(inner=True)
        elif key in _ARGUMENTS and not self._has_arguments:
            yield from self._arguments()
        elif key in _IDS and self._shape.id_last:
            yield from self._read_id(first)
        else:
            yield from skip_value(self._cursor)

    def _named(self, name: str) -> None:
        self._name = self._answer.function(name).name
        if not self._shape.id_last:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        self._answer.begin(self._name, self._id)
        self._answer.arguments("".join(self._held))

    def _arguments(self) -> Wait[None]:
        sink = self._answer.arguments if self._begun else self._held.append
        closes = self._shape.closes
        self._has_arguments = yield from stream_arguments(self._cursor, sink, closes)

    def _read_id(self, first: str) -> Wait[None]:
        if first == '"':
            self._id = yield from read_string(self._cursor)
        else:
            self._id = yield from read_scalar(self._cursor)
