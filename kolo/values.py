"""A value of the settings, as it was written, made into the type that its key wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from kolo.errors import ConfigError
from kolo.units import Budget, Bytes, Seconds, parse_budget, parse_duration, parse_size

_CUSTOM: dict[Any, Callable[[object], Any]] = {
    Seconds: parse_duration,
    Bytes: parse_size,
    Budget: parse_budget,
}


def convert(raw: Any, kind: Any, key: str, origin: str, *, strict: bool = True) -> Any:
    """``raw`` as ``kind``; ConfigError with ``key``, its ``origin``, and what was expected."""
    for custom, parse in _CUSTOM.items():
        if kind is custom or custom in get_args(kind):
            try:
                return parse(raw)
            except ValueError as error:
                raise _wrong(key, origin, str(error), raw) from None
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        allowed = [value for value in _options(kind) if isinstance(value, str)]
        expected = f"Expected one of {', '.join(allowed)}" if allowed else str(error)
        raise _wrong(key, origin, expected, raw) from None


def convert_text(text: str, kind: Any, key: str, origin: str) -> Any:
    """A value written as text: a list is ``a,b`` or JSON, a table is JSON."""
    if not any(get_origin(part) in (list, dict) for part in (kind, *get_args(kind))):
        return convert(text, kind, key, origin, strict=False)
    if text.lstrip().startswith(("[", "{")):
        try:
            return convert(msgspec.json.decode(text), kind, key, origin, strict=False)
        except msgspec.DecodeError as error:
            raise _wrong(key, origin, f"Expected JSON ({error})", text) from None
    return convert([part.strip() for part in text.split(",")], kind, key, origin, strict=False)


def _options(kind: Any) -> Iterator[Any]:
    """The values of a Literal, however deep in unions."""
    for part in get_args(kind):
        yield from (part,) if get_origin(kind) is Literal else _options(part)


def _wrong(key: str, origin: str, expected: str, found: Any) -> ConfigError:
    expected = re.sub(r", got `.*?`|`| \| null", "", expected)
    return ConfigError(
        f"{origin}: {key}: {expected[:1].lower()}{expected[1:]}, found {found!r}", param=key
    )
