"""JSON passed on as it is written, without waiting for its end.

Models write almost-JSON now and then. What can be put right without knowing the future is:
raw control characters in a string, escapes JSON does not have, brackets still open when the
family's closing marker comes. Anything else is passed on as written, for the caller to judge,
as OpenAI's own API does.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from kolo.engine.dialects.answer import escaped
from kolo.engine.dialects.cursor import Cursor, Mismatch, Sink, Wait

LONGEST_KEY = 4096
"""Characters of a key, name or id beyond which the text is taken for prose."""

_IN_STRING = re.compile(r'["\\\x00-\x1f]')
_SCALAR = re.compile(r"[^\s,}\]<`|\uff5c]*")
_CLOSER = {"{": "}", "[": "]"}
_ESCAPES = frozenset('"\\/bfnrtu')


@lru_cache(maxsize=64)
def _outside(ends: tuple[str, ...]) -> re.Pattern[str]:
    firsts = "".join(sorted({re.escape(end[0]) for end in ends}))
    return re.compile(rf'["{{}}\[\]{firsts}]')


def stream_arguments(cursor: Cursor, sink: Sink, ends: tuple[str, ...]) -> Wait[bool]:
    """The arguments of a call, wherever a value may stand: normally an object.

    An object inside a string is taken out of it, null is the empty object. ``ends`` are the
    markers after which no JSON can go on. True when the value came to its end.
    """
    first = yield from cursor.char()
    if first in ("{", "["):
        return (yield from stream_container(cursor, sink, ends))
    if first == '"':
        inner: list[str] = []
        complete = yield from stream_string(cursor, inner.append)
        sink(_unwrapped("".join(inner)))
        return complete
    scalar = yield from read_scalar(cursor)
    if not (yield from cursor.char()):
        return False
    sink("{}" if scalar in ("null", "None", "") else scalar)
    return True


def _unwrapped(quoted: str) -> str:
    """The object inside a JSON string, or the string itself if there is none in it."""
    try:
        inner = json.loads(quoted)
        return inner if isinstance(json.loads(inner), dict) else quoted
    except (ValueError, TypeError, RecursionError):
        return quoted


def stream_container(cursor: Cursor, sink: Sink, ends: tuple[str, ...] = ()) -> Wait[bool]:
    """An object or array, given to ``sink`` as it comes; True when it came to its end."""
    search = _outside(ends).search
    open_brackets: list[str] = []
    while True:
        found = search(cursor.text, cursor.pos)
        stop = found.start() if found else len(cursor.text)
        if stop > cursor.pos:
            passed = cursor.text[cursor.pos : stop]
            cursor.pos = stop
            sink(passed)
        if found is None:
            if cursor.ended:
                return False
            yield
            continue
        char = found[0]
        if char == '"':
            if not (yield from stream_string(cursor, sink)):
                return False
            continue
        if char in "{}[]":
            if char in _CLOSER:
                open_brackets.append(_CLOSER[char])
            else:
                open_brackets.pop()
        elif (yield from cursor.stands(*ends)):
            sink("".join(reversed(open_brackets)))
            return True
        elif cursor.breaks_off(*ends):
            return False
        cursor.pos += 1
        sink(char)
        if not open_brackets:
            return True


def stream_string(cursor: Cursor, sink: Sink) -> Wait[bool]:
    """A string, quotes included, from its opening quote on; True when it came to its end."""
    sink('"')
    cursor.pos += 1
    while True:
        found = _IN_STRING.search(cursor.text, cursor.pos)
        stop = found.start() if found else len(cursor.text)
        if stop > cursor.pos:
            passed = cursor.text[cursor.pos : stop]
            cursor.pos = stop
            sink(passed)
        if found is None:
            if cursor.ended:
                return False
            yield
            continue
        char = found[0]
        cursor.pos += 1
        if char == '"':
            sink(char)
            return True
        if char == "\\":
            escape = yield from cursor.char()
            if not escape:
                return False
            cursor.pos += 1
            sink("\\" + escape if escape in _ESCAPES else _mended(escape))
        else:
            sink(escaped(char))


def _mended(escape: str) -> str:
    """An escape that JSON does not have, as one that means what was meant."""
    return escape if escape == "'" else "\\\\" + escaped(escape)


def read_string(cursor: Cursor) -> Wait[str]:
    """A short string's value; Mismatch if none stands here or it does not end."""
    if (yield from cursor.char()) != '"':
        raise Mismatch
    parts: list[str] = []
    length = 0

    def keep(text: str) -> None:
        nonlocal length
        length += len(text)
        if length > LONGEST_KEY:
            raise Mismatch
        parts.append(text)

    if not (yield from stream_string(cursor, keep)):
        raise Mismatch
    try:
        return str(json.loads("".join(parts)))
    except ValueError as error:
        raise Mismatch from error


def read_scalar(cursor: Cursor) -> Wait[str]:
    """A number or word, as it is written."""
    while True:
        found = _SCALAR.match(cursor.text, cursor.pos)
        end = found.end() if found else cursor.pos
        if end < len(cursor.text) or cursor.ended:
            break
        yield
    scalar = cursor.text[cursor.pos : end]
    cursor.pos = end
    return scalar


def skip_value(cursor: Cursor) -> Wait[None]:
    """A value that nobody wants; Mismatch if it does not end."""
    first = yield from cursor.char()
    if first in ("{", "["):
        complete = yield from stream_container(cursor, _drop)
    elif first == '"':
        complete = yield from stream_string(cursor, _drop)
    else:
        complete = bool((yield from read_scalar(cursor)))
    if not complete:
        raise Mismatch


def _drop(text: str) -> None:
    pass
