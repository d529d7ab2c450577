"""Calls as tags around raw values: ``<function=f><parameter=a>1</parameter></function>``.

The arguments become JSON on the way: a parameter the schema calls a string is passed on as it
comes, any other once it is complete.
"""

from __future__ import annotations

import html
import re

from msgspec import Struct

from kolo.engine.dialects.answer import Answer, escaped
from kolo.engine.dialects.cursor import Cursor, Wait, finder
from kolo.engine.dialects.lark import Lark, sequence
from kolo.engine.dialects.schemas import parameter_list, raw_value, takes_any
from kolo.engine.dialects.typed import (
    Kind,
    is_nullable,
    json_of,
    parameter_kind,
)
from kolo.types import Function

LONGEST_KEY = 512
LONGEST_TAG = 1024

_ATTRIBUTE = re.compile(r'(string|type)="(\w*)"')
_CDATA = "<![CDATA["


class ParamCalls(Struct, frozen=True, kw_only=True):
    opens: tuple[str, ...]
    """What stands before the name."""
    name_close: str = ""
    """What stands after it; where ``tag_end`` is set, attributes may follow up to that."""
    name_attribute: str = ""
    """Written after the name's end, then a number in quotes: Kimi K3 counts its calls."""
    closes: tuple[str, ...]
    key_open: str
    key_close: str
    tag_end: str = ""
    value_open: str = ""
    value_close: str
    lines: bool = False
    """A newline after the tag and one before the closing tag are no part of the value."""
    string_attribute: str = ""
    """Written in the tag of a string; ``other_attribute``, with the value's type for
    ``{type}``, in that of anything else."""
    other_attribute: str = ""
    cdata: bool = False
    """A value may be wrapped in ``<![CDATA[`` and ``]]>``."""
    quoted_keys: bool = False
    """Names and keys have XML's entities."""
    layout: tuple[str, str, str] = ("", "", "")
    """Written after the name, between key and value, and after each parameter."""
    between: str = ""
    """Written between calls."""

    @property
    def literals(self) -> tuple[str, ...]:
        tags = (self.name_close, self.key_open, self.key_close, self.tag_end)
        return (*self.opens, *self.closes, *tags, self.value_open, self.value_close)

    # Read ---------------------------------------------------------------------------------

    def read(self, answer: Answer, opened: str) -> Wait[None]:
        cursor = answer.cursor
        yield from cursor.space()
        name = yield from cursor.word()
        function = answer.function(self._plain(name))
        if self.name_close:
            yield from cursor.expect(self.name_close)
        if self.tag_end:
            yield from cursor.through(self.tag_end, LONGEST_TAG)
        answer.begin(function.name)
        first = True
        while True:
            yield from cursor.space()
            if not (yield from cursor.accept(self.key_open)):
                break
            key = self._plain((yield from cursor.through(self.key_close, LONGEST_KEY)))
            answer.arguments(("{" if first else ", ") + f'"{escaped(key)}": ')
            first = False
            if not (yield from self._value(answer, function, key)):
                return
        closed = yield from cursor.accept(*self.closes)
        if closed or not cursor.breaks_off(self.key_open, *self.closes):
            answer.arguments("{}" if first else "}")
            answer.end()

    def _plain(self, name: str) -> str:
        return html.unescape(name) if self.quoted_keys else name

    def _value(self, answer: Answer, function: Function, key: str) -> Wait[bool]:
        """One value; False if the text ended in it."""
        cursor = answer.cursor
        kind = parameter_kind(function, key)
        nullable = is_nullable(function, key)
        if self.tag_end:
            kind = _declared((yield from cursor.through(self.tag_end, LONGEST_TAG)), kind)
        ends = finder((yield from self._value_ends(cursor)))
        if kind == "text" and not nullable:
            answer.arguments('"')
            found = yield from cursor.until(
                ends, lambda text: answer.arguments(escaped(text)), keep_rest=False
            )
            answer.arguments('"' if found else "")
            return bool(found)
        raw: list[str] = []
        found = yield from cursor.until(ends, raw.append, keep_rest=False)
        text = "".join(raw)
        answer.arguments(json_of(text, kind, nullable=nullable) if found else _begun(text, kind))
        return bool(found)

    def _value_ends(self, cursor: Cursor) -> Wait[tuple[str, ...]]:
        """Read what opens a value; return what may close it."""
        if self.value_open:
            yield from cursor.space()
            if not (yield from cursor.accept(self.value_open)):
                cursor.breaks_off(self.value_open)
        wrapped = self.cdata and (yield from cursor.accept(_CDATA))
        if self.cdata and not wrapped:
            cursor.breaks_off(_CDATA)
        close = f"]]>{self.value_close}" if wrapped else self.value_close
        if not self.lines:
            return (close,)
        yield from cursor.accept("\n")
        return (f"\n{close}", close)

    # Written ------------------------------------------------------------------------------

    def write(self, lark: Lark, tools: list[Function], many: bool) -> str:
        call = lark.add(lark.one_of(lark.add(self._call(lark, tool)) for tool in tools))
        return f"{call} ({lark.text(self.between)} {call})*" if many else call

    def _call(self, lark: Lark, tool: Function) -> str:
        root, listed = parameter_list(tool)
        items = [
            (self._parameter(lark, key, schema, root), required) for key, schema, required in listed
        ]
        name = html.escape(tool.name) if self.quoted_keys else tool.name
        begin = lark.text(f"{self.opens[0]}{name}{self.name_close}")
        if self.name_attribute:
            begin += " " + lark.text(f' {self.name_attribute}="') + ' /[0-9]{1,3}/ "\\""'
        begin += " " + lark.text(f"{self.tag_end}{self.layout[0]}")
        body = sequence(items, "", lark)
        if not items and takes_any(root):
            body = self._anything(lark, root)
        return f"{begin} {body} {lark.text(self.closes[0])}"

    def _parameter(self, lark: Lark, key: str, schema: object, root: dict[str, object]) -> str:
        name = html.escape(key) if self.quoted_keys else key
        value, is_string = raw_value(lark, schema, root, self.value_close, lines=self.lines)
        attribute = self.string_attribute
        if not is_string:
            attribute = self.other_attribute.replace("{type}", _type_name(schema))
        return lark.add(f"{lark.text(self._tag(name, attribute))} {value} {self._after(lark)}")

    def _tag(self, key: str, attribute: str) -> str:
        opening = f"{self.key_open}{key}{self.key_close}{attribute}{self.tag_end}"
        return f"{opening}{self.layout[1]}{self.value_open}" + ("\n" if self.lines else "")

    def _after(self, lark: Lark) -> str:
        return f"{lark.text(self.layout[2])}?" if self.layout[2] else ""

    def _anything(self, lark: Lark, root: dict[str, object]) -> str:
        """Any parameters, each of any text."""
        text, _ = raw_value(lark, {"type": "string"}, root, self.value_close, lines=self.lines)
        head, tail = self._tag("\0", self.string_attribute).split("\0")
        key = "/[A-Za-z_][A-Za-z0-9_]{0,63}/"
        one = f"{lark.text(head)} {key} {lark.text(tail)} {text} {self._after(lark)}"
        return f"({lark.add(one)})*"


def _begun(text: str, kind: Kind) -> str:
    """The JSON text of a value that broke off."""
    return f'"{escaped(text)}' if text and kind == "text" else text.strip()


def _type_name(schema: object) -> str:
    """JSON's name of a schema's type, as Kimi K3 declares it."""
    found = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(found, list):
        found = found[0] if found else None
    return "number" if found == "integer" else found if isinstance(found, str) else "object"


def _declared(attributes: str, kind: Kind) -> Kind:
    """The kind a tag declares: DSML's ``string="true"``, Kimi K3's ``type="number"``."""
    found = _ATTRIBUTE.search(attributes)
    if found is None:
        return kind
    return "text" if found[2] in ("true", "string") else "json"
