"""Calls with named arguments: ``[f(a=1, b='x')]`` and Gemma 4's ``call:f{a:1,b:<|"|>x<|"|>}``."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kolo.engine.dialects.answer import Answer, escaped
from kolo.engine.dialects.cursor import Mismatch, Wait
from kolo.engine.dialects.lark import Lark, sequence
from kolo.engine.dialects.loose import GEMMA_QUOTE, read_key, stream_value
from kolo.engine.dialects.schemas import GemmaValues, parameter_list, python_value, takes_any
from kolo.types import Function


class KeywordCalls(Struct, frozen=True, kw_only=True):
    opens: tuple[str, ...]
    closes: tuple[str, ...]
    before_name: str = ""
    brackets: tuple[str, str] = ("(", ")")
    equals: str = "="
    listed: bool = True
    """Several calls stand in one list, comma between them."""
    methods: tuple[str, ...] = ()
    """What may follow the name before the bracket: Llama's ``.call``."""

    @property
    def literals(self) -> tuple[str, ...]:
        return (*self.opens, *self.closes, GEMMA_QUOTE)

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        cursor = answer.cursor
        yield from cursor.space()
        listed = self.listed and (yield from cursor.accept("["))
        while True:
            yield from cursor.space()
            yield from self._call(answer)
            if answer.done:
                return
            cursor.mark()
            yield from cursor.space()
            if not (listed and (yield from cursor.accept(","))):
                break
        if listed:
            yield from cursor.accept("]")
            yield from cursor.space()
        closed = yield from cursor.accept(*self.closes)
        if not closed and not cursor.breaks_off(*self.closes):
            cursor.rewind()

    def _call(self, answer: Answer) -> Wait[None]:
        """One call, which begins once its first argument has shown that it is one."""
        cursor = answer.cursor
        opening, closing = self.brackets
        if self.before_name:
            yield from cursor.expect(self.before_name)
        name = yield from cursor.word()
        for method in self.methods:
            name = name.removesuffix(method)
        answer.function(name)
        yield from cursor.expect(opening)
        first = True
        while True:
            yield from cursor.space()
            if (yield from cursor.accept(closing)):
                break
            key = yield from read_key(cursor)
            yield from cursor.space()
            yield from cursor.expect(self.equals)
            if first:
                answer.begin(name)
            answer.arguments(("{" if first else ", ") + f'"{escaped(key)}": ')
            first = False
            if not (yield from stream_value(cursor, answer.arguments)):
                raise Mismatch
            yield from cursor.space()
            yield from cursor.accept(",")
        if first:
            answer.begin(name)
        else:
            answer.arguments("}")
        answer.end()

    # Written ------------------------------------------------------------------------------

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        call = lark.add(lark.one_of(lark.add(self._write_call(lark, tool)) for tool in tools))
        begin, end = lark.text(self.opens[0]), lark.text(self.closes[0])
        if self.listed:
            more = f'(", " {call})*' if many else ""
            return f'{begin} "[" {call} {more} "]" {end}'
        one = lark.add(f"{begin} {call} {end}")
        return f"{one} ({one})*" if many else one

    def _write_call(self, lark: Lark, tool: Function) -> str:
        opening, closing = self.brackets
        root, listed = parameter_list(tool)
        begin = lark.text(f"{self.before_name}{tool.name}{opening}")
        if self.equals == "=":
            members = _python_members(lark, root, listed)
        else:
            members = GemmaValues(lark, root).members(root)
        return f"{begin} {members} {lark.text(closing)}"


def _python_members(lark: Lark, root: dict[str, Any], listed: list[tuple[str, Any, bool]]) -> str:
    if not listed and takes_any(root):
        value = python_value(lark, root.get("additionalProperties", {}), root)
        one = lark.add(f"/[A-Za-z_][A-Za-z0-9_]{{0,63}}=/ {value}")
        return f'({one} (", " {one})*)?'
    items = [
        (lark.add(f"{lark.text(f'{key}=')} {python_value(lark, schema, root)}"), required)
        for key, schema, required in listed
    ]
    return sequence(items, '", "', lark)
