"""A value of the settings, as it was written, made into the type that its key wants; and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from kolo.units import (
    Budget,
    Bytes,
    Seconds,
    budget_text,
    duration_text,
    parse_budget,
    parse_duration,
    parse_size,
    size_text,
)

_CUSTOM: dict[Any, Callable[[object], Any]] = {
    Seconds: parse_duration,
    Bytes: parse_size,
    Budget: parse_budget,
}
_TEXTS: dict[Any, Callable[[Any], str]] = {
    Seconds: duration_text,
    Bytes: size_text,
    Budget: budget_text,
}

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
"""What msgspec calls a type, in words."""


def convert(raw: Any, kind: Any, *, strict: bool = True) -> Any:
    """``raw`` as ``kind``; ValueError says what was expected, and nothing of what was found."""
    if (custom := custom_kind(kind)) is not None:
        try:
            return _CUSTOM[custom](raw)
        except ValueError as error:
            raise ValueError(_expected(str(error))) from None
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        allowed = [value for value in choices(kind) if isinstance(value, str)]
        text = f"Expected one of {', '.join(allowed)}" if allowed else str(error)
        raise ValueError(_expected(text)) from None


def convert_text(text: str, kind: Any) -> Any:
    """A value written as text: a list is ``a,b`` or JSON, a table is JSON."""
    if not holds(kind, list, dict):
        return convert(text, kind, strict=False)
    if text.lstrip().startswith(("[", "{")):
        try:
            return convert(msgspec.json.decode(text), kind, strict=False)
        except msgspec.DecodeError as error:
            raise ValueError(f"expected JSON ({error})") from None
    return convert([part.strip() for part in text.split(",")], kind, strict=False)


def plain(value: Any, kind: Any) -> Any:
    """``value`` as it would be written in the file: text, number, truth, list, table or None.

    ``convert`` makes the same value of it again.
    """
    custom = custom_kind(kind)
    if custom is not None and value is not None:
        return _TEXTS[custom](value)
    return str(value) if isinstance(value, Path) else msgspec.to_builtins(value)


def choices(kind: Any) -> Iterator[Any]:
    """The values of a Literal, however deep in unions."""
    for part in get_args(kind):
        yield from (part,) if get_origin(kind) is Literal else choices(part)


def holds(kind: Any, *wanted: Any) -> bool:
    """Whether ``kind`` is one of ``wanted`` or a union or annotation with one of them."""
    if kind in wanted or get_origin(kind) in wanted:
        return True
    return get_origin(kind) not in (list, dict, tuple, Literal) and any(
        holds(part, *wanted) for part in get_args(kind)
    )


def custom_kind(kind: Any) -> Any:
    """Which of our own types (``Seconds``, ``Bytes``, ``Budget``) ``kind`` is or may be."""
    return next((custom for custom in _CUSTOM if holds(kind, custom)), None)


def _expected(text: str) -> str:
    text = re.sub(r", got `.*?`| \| null", "", text)
    text = re.sub(r"`(\w+)`", lambda found: _KINDS.get(found[1], found[1]), text).replace("`", "")
    return f"{text[:1].lower()}{text[1:]}"
