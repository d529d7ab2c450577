"""Values in Python's notation or Gemma's, turned into JSON while they are being written.

Python: ``'text'``, ``True``, ``None``, ``[1, (2, 3)]``, ``{'key': 0.5}``; JSON's own literals
are taken as well, since models mix the two. Gemma: ``<|"|>text<|"|>`` and bare keys.
"""

from __future__ import annotations

import ast
import json
import re

from kolo.engine.dialects.answer import escaped
from kolo.engine.dialects.cursor import Cursor, Mismatch, Sink, Wait, finder

GEMMA_QUOTE = '<|"|>'
DEEPEST = 64
"""Nesting beyond which the text is no value anyone meant."""

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_BARE = re.compile(r"[^,:()\[\]{}'\"<>=|]*")
_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_AFTER_STRING = ",)]}:"


def stream_value(cursor: Cursor, sink: Sink, depth: int = 0) -> Wait[bool]:
    """One value as JSON; True when it came to its end. Mismatch if none stands here."""
    if depth > DEEPEST:
        raise Mismatch
    yield from cursor.space()
    char = yield from cursor.char()
    if char in ("'", '"'):
        return (yield from _stream_quoted(cursor, sink, char))
    if (yield from cursor.accept(GEMMA_QUOTE)):
        return (yield from _stream_gemma_string(cursor, sink))
    if char in _BRACKETS:
        cursor.pos += 1
        return (yield from _stream_items(cursor, sink, char, depth))
    word = yield from _read_bare(cursor)
    if not word:
        raise Mismatch
    if not (yield from cursor.char()):
        sink(word if _NUMBER.fullmatch(word) else "")
        return False
    sink(_as_json(word))
    return True


def _stream_items(cursor: Cursor, sink: Sink, opening: str, depth: int) -> Wait[bool]:
    """What is in a list, tuple or dict, and its closing bracket."""
    closing = _BRACKETS[opening]
    sink("{" if opening == "{" else "[")
    first = True
    while True:
        yield from cursor.space()
        if (yield from cursor.accept(closing)):
            sink("}" if opening == "{" else "]")
            return True
        if not first:
            yield from cursor.expect(",")
            yield from cursor.space()
            if (yield from cursor.stands(closing)):
                continue
            sink(", ")
        first = False
        if opening == "{" and not (yield from _stream_key(cursor, sink)):
            return False
        if not (yield from stream_value(cursor, sink, depth + 1)):
            return False


def _stream_key(cursor: Cursor, sink: Sink) -> Wait[bool]:
    key = yield from read_key(cursor)
    yield from cursor.space()
    if not (yield from cursor.char()):
        return False
    yield from cursor.expect(":")
    sink(f'"{escaped(key)}": ')
    return True


def read_key(cursor: Cursor) -> Wait[str]:
    """A key, quoted or bare; Mismatch if it is empty or does not end."""
    char = yield from cursor.char()
    if char not in ("'", '"', "<"):
        key = yield from _read_bare(cursor)
        if not key or not (yield from cursor.char()):
            raise Mismatch
        return key
    parts: list[str] = []
    if not (yield from stream_value(cursor, parts.append)):
        raise Mismatch
    try:
        return str(json.loads("".join(parts)))
    except ValueError as error:
        raise Mismatch from error


def _stream_quoted(cursor: Cursor, sink: Sink, quote: str) -> Wait[bool]:
    """A Python string. Templates paste text between quotes as it is, so a quote ends the
    string only where a value may end."""
    cursor.pos += 1
    sink('"')
    ends = finder((quote, "\\"))
    while True:
        found = yield from cursor.until(ends, lambda text: sink(escaped(text)))
        if not found:
            return False
        if found == "\\":
            yield from _stream_escape(cursor, sink)
            continue
        if (yield from _value_ends(cursor)):
            sink('"')
            return True
        sink(escaped(quote))


def _value_ends(cursor: Cursor) -> Wait[bool]:
    """The next character but spaces is one that follows a value, or there is none."""
    ahead = 0
    while True:
        rest = cursor.text[cursor.pos + ahead :]
        stripped = rest.lstrip()
        if stripped:
            return stripped[0] in _AFTER_STRING
        if cursor.ended:
            return True
        ahead += len(rest)
        yield


def _stream_escape(cursor: Cursor, sink: Sink) -> Wait[None]:
    """What a backslash and the next characters mean in Python."""
    char = yield from cursor.char()
    cursor.pos += len(char)
    if char in _HEX_DIGITS:
        digits = ""
        while len(digits) < _HEX_DIGITS[char]:
            digit = yield from cursor.char()
            if not digit or digit not in "0123456789abcdefABCDEF":
                break
            digits += digit
            cursor.pos += 1
        code = int(digits, 16) if len(digits) == _HEX_DIGITS[char] else 0x110000
        if char == "u" and 0xD800 <= code < 0xE000:
            sink(f"\\u{digits}")
        else:
            sink(escaped(chr(code) if code < 0x110000 else f"\\{char}{digits}"))
    elif char in _ESCAPES:
        sink(escaped(_ESCAPES[char]))
    elif char in ("'", '"', "\\", "/"):
        sink(escaped(char))
    else:
        sink(escaped("\\" + char))


def _stream_gemma_string(cursor: Cursor, sink: Sink) -> Wait[bool]:
    sink('"')
    end = finder((GEMMA_QUOTE,))
    found = yield from cursor.until(end, lambda text: sink(escaped(text)), keep_rest=False)
    if found:
        sink('"')
    return bool(found)


def _read_bare(cursor: Cursor) -> Wait[str]:
    """A number or a word, up to a delimiter."""
    while True:
        found = _BARE.match(cursor.text, cursor.pos)
        end = found.end() if found else cursor.pos
        if end < len(cursor.text) or cursor.ended:
            break
        yield
    word = cursor.text[cursor.pos : end].strip()
    cursor.pos = end
    return word


def _as_json(word: str) -> str:
    """A bare word as a JSON value; what is none of Python's or JSON's becomes a string."""
    if word in ("true", "false", "null") or _NUMBER.fullmatch(word):
        return word
    if word in _WORDS:
        return _WORDS[word]
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return json.dumps(word, ensure_ascii=False)
    return json.dumps(value if isinstance(value, int | float) else word, ensure_ascii=False)
