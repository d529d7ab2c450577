"""Which rows are shown, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def matches(wanted: str, *texts: str) -> bool:
    """Whether every word of ``wanted`` is in one of ``texts``, however it is written."""
    folded = [text.casefold() for text in texts]
    return all(any(word in text for text in folded) for word in wanted.casefold().split())


def in_order(
    items: Iterable[T],
    values: Mapping[str, Callable[[T], Any]],
    by: str,
    *,
    reverse: bool,
) -> Sequence[T]:
    """``items`` by one of ``values``; what has none comes last in either direction. An empty or
    unknown ``by`` leaves them as they come."""
    items = list(items)
    value = values.get(by)
    if value is None:
        return items[::-1] if reverse else items
    known = [(value(item), item) for item in items]
    some = [(key, item) for key, item in known if key is not None]
    some.sort(key=lambda pair: pair[0], reverse=reverse)
    return [item for _, item in some] + [item for key, item in known if key is None]
