"""String patterns: JSON Schema's ``pattern`` (ECMA-262) and ``format``, as llguidance takes them.

llguidance reads Rust's regex syntax, where several things mean something else (``.``, ``\\s``,
``[a&&b]``, inline flags). Everything is written anew here: each character as ``\\x{..}``, each
class by its ranges, so that nothing is left to differ. What a regular expression cannot say
(look-around, back references, word boundaries) is refused.

Control characters that JSON can write only as ``\\uXXXX`` are taken out of every class: the
engine's JSON does not use that escape (see ``schema``).
"""

from __future__ import annotations

import re
from typing import NoReturn

MAX_PATTERN_CHARS = 10_000
UNWRITABLE = r"\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}"
"""Characters that JSON without ``\\u`` cannot hold, as the inside of a class."""
_UNWRITABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")

_LINE_ENDS = r"\x{a}\x{d}\x{2028}\x{2029}"
_SPACE = (
    r"\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}"
    r"\x{3000}\x{feff}"
)
_SETS = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_QUANTIFIER = re.compile(r"\{(\d{1,9})(?:(,)(\d{1,9})?)?\}")
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_PROPERTY = re.compile(r"[pP]\{[A-Za-z_]+(?:=[A-Za-z_]+)?\}")


class PatternError(ValueError):
    """What is wrong with a pattern, without the place in the schema."""


def is_writable(text: str) -> bool:
    """Whether JSON without ``\\u`` escapes, encoded in UTF-8, can hold ``text``."""
    return not _UNWRITABLE.search(text) and not any("\ud800" <= c <= "\udfff" for c in text)


def from_ecma(pattern: str) -> str:
    """``pattern`` in the syntax of llguidance, found anywhere unless anchored.

    Raises PatternError.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PatternError(f"longer than {MAX_PATTERN_CHARS} characters")
    return _Translator(pattern).run()


class _Translator:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.out: list[str] = []

    def run(self) -> str:
        depth = 0
        repeatable = False
        while char := self.peek():
            if char == "(":
                self.open_group()
                depth += 1
                repeatable = False
                continue
            if char == ")":
                depth -= 1
                if depth < 0:
                    self.fail("an unmatched )")
                self.take(")")
            elif char in "|^$":
                self.take(char)
            elif char in "*+?" or _QUANTIFIER.match(self.source, self.at):
                if not repeatable:
                    self.fail("nothing to repeat")
                self.quantifier()
                repeatable = False
                continue
            else:
                self.atom(char)
            repeatable = char not in "|^$"
        if depth:
            self.fail("an unclosed (")
        return "".join(self.out)

    def open_group(self) -> None:
        if self.peek(1) != "?":
            self.at += 1
        elif self.peek(2) == ":":
            self.at += 3
        elif name := re.compile(r"\(\?<[A-Za-z_$][\w$]*>").match(self.source, self.at):
            self.at = name.end()
        elif self.source.startswith(("(?=", "(?!", "(?<=", "(?<!"), self.at):
            self.fail("look-around")
        else:
            self.fail("a group that ECMA-262 does not know")
        self.out.append("(?:")

    def quantifier(self) -> None:
        match = _QUANTIFIER.match(self.source, self.at)
        text = match.group() if match else self.peek()
        if match and match[3] and int(match[3]) < int(match[1]):
            self.fail("a reversed repetition")
        self.take(text)
        if self.peek() == "?":
            self.at += 1

    def atom(self, char: str) -> None:
        if char == ".":
            self.at += 1
            self.out.append(f"[^{_LINE_ENDS}{UNWRITABLE}]")
        elif char == "[":
            self.out.append(self.char_class())
        elif char == "\\":
            single, members = self.escape(in_class=False)
            self.out.append(_code(self.writable(single)) if single else _class(members))
        elif char == "{" and self.source.startswith("{,", self.at):
            self.fail("{,n}, which ECMA-262 does not know")
        else:
            self.at += 1
            self.out.append(_code(self.writable(char)))

    def char_class(self) -> str:
        self.at += 1
        negated = self.peek() == "^"
        self.at += negated
        members = ""
        while self.peek() != "]":
            low, group = self.class_member()
            if group or self.peek() != "-" or self.peek(1) in ("]", ""):
                members += group or _code(low)
                continue
            self.at += 1
            high, group = self.class_member()
            if group:
                members += _code(low) + _code("-") + group
            elif high < low:
                self.fail("a reversed range")
            else:
                members += f"{_code(low)}-{_code(high)}"
        self.at += 1
        if not members and not negated:
            self.fail("an empty class, which matches nothing,")
        return f"[^{members}{UNWRITABLE}]" if negated else _class(members)

    def class_member(self) -> tuple[str, str]:
        """A single character, or the inside of a class that an escape stands for."""
        char = self.peek()
        if not char:
            self.fail("an unclosed [")
        if char == "\\":
            return self.escape(in_class=True)
        self.at += 1
        return char, ""

    def escape(self, *, in_class: bool) -> tuple[str, str]:
        kind = self.peek(1)
        self.at += 1
        if hexadecimal := _HEX.match(self.source, self.at):
            self.at = hexadecimal.end()
            return self.code_unit(int(next(filter(None, hexadecimal.groups())), 16)), ""
        if named := _PROPERTY.match(self.source, self.at):
            self.at = named.end()
            return "", "\\" + named.group()
        self.at += 1
        if kind.lower() in _SETS and kind:
            inside = _SETS[kind.lower()]
            return "", inside if kind.islower() else f"[^{inside}]"
        if kind in _CONTROLS and kind:
            return _CONTROLS[kind], ""
        if kind == "b" and in_class:
            return "\b", ""
        if kind == "0" and not self.peek().isdigit():
            return "\0", ""
        if kind == "c" and self.peek().isascii() and self.peek().isalpha():
            self.at += 1
            return chr(ord(self.source[self.at - 1]) % 32), ""
        if kind in ("b", "B"):
            self.fail("a word boundary")
        if kind.isdigit() or kind == "k":
            self.fail("a back reference")
        if not kind or kind.isalnum():
            self.fail(f"the escape \\{kind}, which ECMA-262 does not know,")
        return kind, ""

    def code_unit(self, value: int) -> str:
        """The character of ``value``, a surrogate joined with the one that follows."""
        follow = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self.source, self.at)
        if 0xD800 <= value < 0xDC00 and follow:
            self.at = follow.end()
            value = 0x10000 + ((value - 0xD800) << 10) + int(follow[1], 16) - 0xDC00
        if value > 0x10FFFF or 0xD800 <= value < 0xE000:
            self.fail("a code point that is none")
        return chr(value)

    def writable(self, char: str) -> str:
        if not is_writable(char):
            self.fail(f"the character U+{ord(char):04X}, which JSON here cannot hold,")
        return char

    def take(self, text: str) -> None:
        self.out.append(text)
        self.at += len(text)

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.source[at] if at < len(self.source) else ""

    def fail(self, what: str) -> NoReturn:
        raise PatternError(f"{what} near character {min(self.at, len(self.source)) + 1}")


def _code(char: str) -> str:
    return char if char.isascii() and char.isalnum() else rf"\x{{{ord(char):x}}}"


def _class(members: str) -> str:
    return f"[[{members}]--[{UNWRITABLE}]]"


# Formats -----------------------------------------------------------------------------------
# Each is a part of what its RFC allows: what every validator takes, at a bounded length where
# that costs nothing. A narrower answer is still a valid one.

_YEAR = "[12][0-9]{3}"
_LEAP = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|1200|1600|2000|2400|2800)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_CLOCK})"
_N = "[0-9]{1,6}"
_HMS = f"T(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)"
_DURATION = f"P(?:(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)(?:{_HMS})?|{_HMS}|{_N}W)"
_LABEL = "[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,2}}"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_{|}~-]"
_EMAIL = rf"{_ATOM}{{1,30}}(?:\.{_ATOM}{{1,15}}){{0,2}}@(?:{_LABEL}\.){{1,3}}[A-Za-z]{{2,20}}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_H16 = "[0-9A-Fa-f]{1,4}"
_IPV6 = f"(?:(?:{_H16}:){{7}}{_H16}|(?:{_H16}:){{1,6}}:{_H16}|::{_H16}|::)"
_HEX4 = "[0-9A-Fa-f]{4}"
_UUID = f"{_HEX4}{_HEX4}(?:-{_HEX4}){{3}}-{_HEX4}{_HEX4}{_HEX4}"
_PCHAR = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_PATH = f"{_PCHAR}*(?:/{_PCHAR}*)*"
_URI = (
    "[A-Za-z][A-Za-z0-9+.-]{0,30}:"
    f"(?://(?:[A-Za-z0-9._~-]{{1,40}}@)?{_HOST}(?::[0-9]{{1,5}})?(?:/{_PATH})?|{_PCHAR}{_PATH})"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)
_BASE64_CHAR = "[A-Za-z0-9+/]"
_BASE64 = (
    f"(?:{_BASE64_CHAR}{{4}})*(?:{_BASE64_CHAR}{{2}}==|{_BASE64_CHAR}{{3}}=|{_BASE64_CHAR}{{4}})?"
)

FORMATS: dict[str, str | None] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uuid": _UUID,
    "uri": _URI,
    "byte": _BASE64,
    "base64": _BASE64,
    "binary": None,
    "password": None,
}
"""Formats of strings as expressions that match the whole string. None: any string will do, by
the format's own definition (OpenAPI's format registry)."""

INTEGER_FORMATS: dict[str, tuple[int, int]] = {
    name: bounds
    for bits in (8, 16, 32, 64)
    for name, bounds in (
        (f"int{bits}", (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)),
        (f"uint{bits}", (0, 2**bits - 1)),
    )
}
"""Formats of integers as their least and greatest value."""
