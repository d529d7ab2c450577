from __future__ import annotations

import base64
import ipaddress
import json
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from grammar_cases import accepts, sample, schema

from kolo.engine.constraint.pattern import FORMATS, PatternError, from_ecma

# ECMA-262's meaning: found anywhere, \d and \w of ASCII, no multi-line mode.
MEANING: list[tuple[str, list[str], list[str]]] = [
    ("b", ["abc", "b"], ["", "a"]),
    ("^a|b$", ["ax", "xb"], ["xax", "bx"]),
    ("(^a$)|(^b$)", ["a", "b"], ["ab", "xa"]),
    ("^(?:a|b){2}$", ["ab"], ["a", "abc"]),
    ("^(?<year>[0-9]{4})$", ["2024"], ["20245"]),
    ("^a*?b+?$", ["aab", "bb"], ["a"]),
    (r"^\d$", ["7"], ["٣", "a"]),
    (r"^\w$", ["_", "Z"], ["é", "-"]),
    (r"^\W\D\S$", ["é-x"], ["a-x", "é1x", "é- "]),
    (r"^\s$", ["\u00a0", "\ufeff", "\n"], ["x"]),
    ("^.$", ["x", "😀"], ["\n", "\r", "\u2028"]),
    ("^[^]$", ["x", "\n"], [""]),
    ("^[a&&b]$", ["a", "&", "b"], ["c"]),
    ("^[[a]$", ["[", "a"], ["]"]),
    (r"^[\w-]+$", ["a-b"], ["a b"]),
    (r"^[a\]\-z]$", ["]", "-"], ["b"]),
    ("^[^a-c]$", ["d", "\n"], ["b"]),
    (r"^\u0041\x42\u{43}\ud83d\ude00$", ["ABC😀"], ["ABC"]),
    (r"^\p{Lu}\P{L}$", ["É1"], ["é1", "ÉÉ"]),
    (r"^\/\.\$\_$", ["/.$_"], ["/a$_"]),
    ("^a{2}b{1,}c{0,2}$", ["aabbcc", "aab"], ["abc"]),
    ("^a{x}]$", ["a{x}]"], ["aa"]),
    ("^#a b$", ["#a b"], ["ab"]),
    ('^"\\\\$', ['"\\'], ["x"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), MEANING, ids=[case[0] for case in MEANING])
def test_patterns_mean_what_ecma_262_says(pattern: str, good: list[str], bad: list[str]) -> None:
    matcher = schema({"type": "string", "pattern": pattern})
    for text in good:
        assert accepts(matcher, json.dumps(text, ensure_ascii=False)), text
    for text in bad:
        assert not accepts(matcher, json.dumps(text, ensure_ascii=False)), text


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(?=a)b", "look-around near character 1"),
        ("a(?<!b)", "look-around near character 2"),
        (r"(a)\1", "a back reference"),
        (r"(?<n>a)\k<n>", "a back reference"),
        (r"\bfoo", "a word boundary"),
        ("(?i)a", "a group that ECMA-262 does not know"),
        ("(?P<n>a)", "a group that ECMA-262 does not know"),
        (r"\q", "the escape \\q"),
        (r"\A", "the escape \\A"),
        ("(a", "an unclosed ("),
        ("a)", "an unmatched )"),
        ("[a", "an unclosed ["),
        ("[z-a]", "a reversed range"),
        ("[]", "an empty class"),
        ("a{3,2}", "a reversed repetition"),
        ("a{,2}", "{,n}"),
        ("*a", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        (r"\ud800", "a code point that is none"),
        ("\x01", "the character U+0001"),
        (r"\0", "the character U+0000"),
        ("a" * 10_001, "longer than"),
    ],
)
def test_what_a_pattern_cannot_keep_is_named(pattern: str, says: str) -> None:
    with pytest.raises(PatternError, match=re.escape(says)):
        from_ecma(pattern)


def is_duration(text: str) -> bool:
    return text[-1].isalpha() and text[0] == "P" and not text.endswith("T")


def is_address(text: str) -> bool:
    name, _, host = text.rpartition("@")
    return bool(name) and len(name) <= 64 and len(host) <= 253 and ".." not in text


CHECKS: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "time": lambda text: datetime.fromisoformat(f"2000-01-01T{text.partition('.')[0][:8]}Z"),
    "date-time": lambda text: datetime.fromisoformat(text[:19]),
    "duration": is_duration,
    "email": is_address,
    "hostname": lambda text: len(text) <= 253 and all(len(p) <= 63 for p in text.split(".")),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "uuid": uuid.UUID,
    "uri": lambda text: urlsplit(text).scheme,
    "byte": lambda text: base64.b64decode(text, validate=True) is not None,
    "base64": lambda text: base64.b64decode(text, validate=True) is not None,
    "binary": lambda text: True,
    "password": lambda text: True,
}


@pytest.mark.parametrize("name", FORMATS)
def test_answers_of_a_format_are_of_that_format(name: str) -> None:
    matcher = schema({"type": "string", "format": name})
    for seed in range(6):
        text, whole = sample(matcher.clone(), seed, 90)
        assert whole, text
        assert CHECKS[name](json.loads(text)), text


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", ["2024-02-29", "2000-02-29", "1999-12-31"], ["2023-02-29", "1900-02-29"]),
        ("time", ["23:59:59Z", "08:00:00.25+01:00"], ["24:00:00Z", "08:00:00", "8:00:00Z"]),
        ("date-time", ["2024-01-31T00:00:00Z"], ["2024-01-31 00:00:00Z", "2024-01-31"]),
        ("duration", ["P1Y2M3D", "PT36H", "P4W"], ["P", "PT", "1D"]),
        ("email", ["first.last+tag@mail.example.org"], ["a@b", "a b@example.org", "@x.org"]),
        ("hostname", ["example.org", "xn-a.b"], ["-a.b", "a..b", "a_b"]),
        ("ipv4", ["127.0.0.1", "255.255.255.255"], ["256.1.1.1", "1.1.1", "01.1.1.1"]),
        ("ipv6", ["::1", "2001:db8::1", "1:2:3:4:5:6:7:8"], ["1::2::3", "12345::1"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000"]),
        (
            "uri",
            ["https://example.org/a?b=c#d", "urn:isbn:1", "mailto:a@b.c"],
            ["a/b", "http:// x"],
        ),
    ],
)
def test_formats_take_what_is_usual_and_nothing_wrong(
    name: str, good: list[str], bad: list[str]
) -> None:
    matcher = schema({"type": "string", "format": name})
    assert [text for text in good if not accepts(matcher, json.dumps(text))] == []
    assert [text for text in bad if accepts(matcher, json.dumps(text))] == []
