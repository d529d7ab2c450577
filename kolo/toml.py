"""Reads a TOML file and still knows on which line each key stood, which ``tomllib`` forgets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Keys = tuple[str, ...]


class Statement(NamedTuple):
    """A table's header, or a key with its value, which may go over several lines."""

    table: Keys
    key: Keys
    """Empty for a header."""
    first: int
    """Its first line, from 1."""
    last: int
    commented: bool = False
    """Behind a ``#``: a key that somebody could want."""


class Document:
    """A text with its keys. One that cannot be read is empty, and ``trouble`` says why."""

    def __init__(self, file: Path, text: str = "") -> None:
        self.file = file
        self.text = text
        self.place = str(file)
        self.trouble = ""
        self.table: dict[str, Any] = {}
        self._lines: dict[Keys, int] = {}
        try:
            self.table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            what, _, where = str(error).partition(" (at ")
            line = re.match(r"line (\d+)", where)
            self.place = f"{file}:{line[1] if line else text.count(chr(10)) + 1}"
            self.trouble = f"is not TOML: {what[:1].lower()}{what[1:]}"
            return
        real = [each for each in statements(text) if not each.commented]
        for each in real:
            self._lines.setdefault(each.table + each.key, each.first)
        for each in real:  # tables that only a longer name implies
            path = each.table + each.key
            for n in range(1, len(path)):
                self._lines.setdefault(path[:n], each.first)

    @classmethod
    def read(cls, file: Path, *, required: bool) -> Document:
        """The file's; one that is not there is empty, unless it is ``required``."""
        trouble = ""
        try:
            return cls(file, file.read_bytes().decode())
        except FileNotFoundError:
            trouble = "no such config file" if required else ""
        except OSError as error:
            trouble = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            trouble = f"is not UTF-8: {error.reason} at byte {error.start}"
        document = cls(file)
        document.trouble = trouble
        return document

    def origin(self, keys: Keys) -> str:
        """``FILE:LINE``, or ``FILE`` for a key written in some rare way."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return f"{self.file}:{self._lines[keys]}" if keys else str(self.file)


def statements(text: str) -> Iterator[Statement]:
    """What a TOML text is made of, from top to bottom, and the keys in its comments."""
    table: Keys = ()
    in_commented_table = False
    first = 0
    key: Keys = ()
    opened = ""
    for number, line in enumerate(lines_of(text), 1):
        if opened:
            opened = _still_open(line, opened)
            if not opened and key:
                yield Statement(table, key, first, number)
        elif header := re.match(r"\s*(#?)\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$", line):
            if path := dotted(header[2]):
                in_commented_table = bool(header[1])
                if not in_commented_table:
                    table = path
                    yield Statement(table, (), number, number)
        elif wish := re.match(r"\s*#\s?([\w.\"'-]+)\s*=\s", line):
            if not in_commented_table and (path := dotted(wish[1])):
                yield Statement(table, path, number, number, commented=True)
        elif found := re.match(r"\s*([\w\"'-][^=#]*?)\s*=(.*)", line):
            first, key = number, dotted(found[1])
            opened = _still_open(found[2], "")
            if not opened and key:
                yield Statement(table, key, number, number)


def lines_of(text: str) -> list[str]:
    """Its lines as TOML has them, at LF and CRLF: any other break is a part of a comment."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def dotted(text: str) -> Keys:
    """The parts of a TOML key, quoted or not; nothing for a text that is none."""
    if re.fullmatch(r"[\w-]+(\.[\w-]+)*", text, re.A):
        return tuple(text.split("."))
    try:
        level: Any = tomllib.loads(f"{text} = 0") if "\n" not in text else 0
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(level, dict):
        if len(level) != 1:
            return ()
        ((part, level),) = level.items()
        parts.append(part)
    return tuple(parts)


def shown_key(path: Keys) -> str:
    """A key as it is written: parts that need quotes have them."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part, re.A) else _quoted(part) for part in path)


def written(value: Any) -> str:
    """A text, number, truth, list or table as TOML; a text of several lines over several."""
    if isinstance(value, str) and "\n" in value:
        return _quoted_lines(value)
    return _in_line(value)


def _in_line(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_in_line, value))}]"
    if isinstance(value, dict):
        inside = (f"{shown_key((key,))} = {_in_line(each)}" for key, each in value.items())
        return f"{{{', '.join(inside)}}}"
    return repr(value)


def _quoted(text: str) -> str:
    """A basic string: TOML 1.0 wants every control character but the tab escaped."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return f'"{re.sub(_ESCAPED, lambda found: escapes.get(found[0], _unicode(found[0])), text)}"'


def _quoted_lines(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '""\\"')
    if escaped.endswith('"'):
        escaped = f'{escaped[:-1]}\\"'
    controls = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", lambda found: _unicode(found[0]), escaped)
    return f'"""\n{controls}"""'


_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"\\]")


def _unicode(character: str) -> str:
    return f"\\u{ord(character):04X}"


_TOKEN = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|\\.|[\[{]|[\]}]|#.*", re.S)


def _still_open(line: str, opened: str) -> str:
    """What a value needs to end after ``line``: quotes and brackets as a stack, outermost first."""
    stack = [*re.findall(r"\"\"\"|'''|\[", opened)]
    at = 0
    while at < len(line):
        if stack and stack[-1] in ('"""', "'''"):
            at = _string_end(line, at, stack[-1])
            if at < 0:
                return "".join(stack)
            stack.pop()
            continue
        token = _TOKEN.search(line, at)
        if token is None:
            break
        at = token.end()
        if token[0] in ('"""', "'''"):
            stack.append(token[0])
        elif token[0] in "[{":
            stack.append("[")
        elif token[0] in "]}" and stack:
            stack.pop()
        elif token[0].startswith("#"):
            break
    return "".join(stack)


def _string_end(line: str, at: int, quotes: str) -> int:
    """Where a multi-line string ends in ``line``, or -1. Up to two quotes may stand before its
    end (TOML 1.0, "String")."""
    ends = re.compile(r"\\.|\"{3,5}" if quotes == '"""' else r"'{3,5}")
    return next(
        (found.end() for found in ends.finditer(line, at) if found[0].startswith(quotes)), -1
    )
