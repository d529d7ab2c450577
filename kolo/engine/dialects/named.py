"""Calls as a name and then a JSON object: ``[TOOL_CALLS]f[ARGS]{"a": 1}`` and relatives."""

from __future__ import annotations

from msgspec import Struct

from kolo.engine.dialects.answer import Answer
from kolo.engine.dialects.cursor import Cursor, Mismatch, Wait
from kolo.engine.dialects.jsontext import stream_arguments
from kolo.engine.dialects.lark import Lark
from kolo.engine.dialects.typed import parameters_of
from kolo.types import Function


class NamedCalls(Struct, frozen=True, kw_only=True):
    opens: tuple[str, ...]
    closes: tuple[str, ...] = ()
    kind: str = ""
    """A word and separator that may stand before the name: DeepSeek's ``function``."""
    after_name: tuple[str, ...] = ()
    """What follows the name, the first as written; none is needed before a ``{``."""
    id_mark: str = ""
    """What follows the name when an id does: Mistral's ``[CALL_ID]``."""
    writes_id: bool = False
    numbered: bool = False
    """The name is Kimi's ``functions.f:0``, which is the call's id as well."""
    prefix: str = ""
    suffix: str = ""
    between: str = ""
    """Written between calls."""
    everyone: str = ""
    """The name that addresses the user: what follows it is content."""
    single: bool = False

    @property
    def literals(self) -> tuple[str, ...]:
        return (*self.opens, *self.closes, *self.after_name, self.id_mark)

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        cursor = answer.cursor
        if self.kind:
            yield from cursor.accept(self.kind)
        else:
            yield from cursor.space()
        name = yield from cursor.word()
        if self.everyone and name == self.everyone:
            yield from cursor.expect(*self.after_name)
            answer.marker()
            return
        call_id = name if self.numbered else ""
        if self.id_mark and (yield from cursor.accept(self.id_mark)):
            call_id = yield from cursor.word()
        yield from self._after_name(cursor)
        answer.begin(_unnumbered(name) if self.numbered else name, call_id)
        yield from cursor.space()
        if (yield from stream_arguments(cursor, answer.arguments, self.closes)):
            answer.end()
        if answer.done or not self.closes:
            return
        yield from self._close(cursor)

    def _after_name(self, cursor: Cursor) -> Wait[None]:
        if (yield from cursor.accept(*self.after_name)):
            return
        yield from cursor.space()
        yield from cursor.accept("```json", "```")
        yield from cursor.space()
        if not (yield from cursor.stands("{")):
            raise Mismatch

    def _close(self, cursor: Cursor) -> Wait[None]:
        cursor.mark()
        yield from cursor.space()
        yield from cursor.accept("```")
        yield from cursor.space()
        closed = yield from cursor.accept(*self.closes)
        if not closed and not cursor.breaks_off(*self.closes):
            cursor.rewind()

    # Written ------------------------------------------------------------------------------

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        call = lark.add(lark.one_of(lark.add(self._call(lark, tool)) for tool in tools))
        if not many or self.single:
            return call
        return f"{call} ({lark.text(self.between)} {call})*"

    def _call(self, lark: Lark, tool: Function) -> str:
        arguments = lark.json(parameters_of(tool))
        name = lark.text(f"{self.prefix}{'functions.' if self.numbered else ''}{tool.name}")
        if self.numbered:
            name += ' ":" /[0-9]{1,4}/'
        if self.writes_id:
            name += f" {lark.text(self.id_mark)} /[a-zA-Z0-9]{{9}}/"
        after = lark.text(self.after_name[0])
        return f"{name} {after} {arguments} {lark.text(self.suffix)}"


def _unnumbered(reference: str) -> str:
    """``f`` of ``functions.f:0``."""
    name, colon, number = reference.rpartition(":")
    return name if colon and number.isdigit() else reference
