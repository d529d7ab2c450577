"""Calls that stand together between two markers."""

from __future__ import annotations

from msgspec import Struct

from kolo.engine.dialects.answer import Answer
from kolo.engine.dialects.cursor import Mismatch, Wait
from kolo.engine.dialects.lark import Lark
from kolo.engine.dialects.named import NamedCalls
from kolo.engine.dialects.params import ParamCalls
from kolo.types import Function


class Section(Struct, frozen=True, kw_only=True):
    begins: tuple[str, ...]
    ends: tuple[str, ...]
    item: NamedCalls | ParamCalls
    loose: bool = True
    """A call is read where its section's marker is missing, too."""
    layout: tuple[str, str] = ("", "")
    """Written after the opening marker and before the closing one."""
    each: bool = False
    """Written with one call to a section."""

    @property
    def opens(self) -> tuple[str, ...]:
        return (*self.begins, *self.item.opens) if self.loose else self.begins

    @property
    def literals(self) -> tuple[str, ...]:
        return (*self.begins, *self.ends, *self.item.literals)

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        cursor = answer.cursor
        before = answer.n_calls
        found = opened if opened in self.item.opens else ""
        while True:
            if not found:
                yield from cursor.space()
                found = yield from cursor.accept(*self.item.opens)
            if not found:
                break
            yield from self.item.read(answer, found)
            if answer.done:
                return
            found = ""
            cursor.mark()
        if answer.n_calls == before:
            raise Mismatch
        closed = yield from cursor.accept(*self.ends)
        if not closed and not cursor.breaks_off(*self.ends, *self.item.opens):
            cursor.rewind()

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        begin = lark.text(self.begins[0] + self.layout[0])
        end = lark.text(self.layout[1] + self.ends[0])
        if not self.each:
            return f"{begin} {self.item.write(lark, tools, many)} {end}"
        one = lark.add(f"{begin} {self.item.write(lark, tools, False)} {end}")
        return f'{one} ("\\n"? {one})*' if many else one
